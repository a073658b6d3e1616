"""Reads questions, has them answered, writes the answers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from queue import SimpleQueue
from typing import Any, NoReturn

from tierctl.deploy.worker import solving
from tierctl.deploy.worker.failures import Failed, text_of
from tierctl.deploy.worker.records import Records
from tierctl.deploy.worker.solving import Environments

Answer = dict[str, Any]


def main() -> None:
    """Serve until stdin ends, which it does at the latest with whoever asks.

    Then end at once, also in the middle of an answer, with all that was started
    for it: what is being built is about to be removed.
    """
    questions: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_Server().serve, args=[questions], daemon=True).start()
    for line in sys.stdin.buffer:
        questions.put(line)
    os.killpg(0, signal.SIGKILL)  # the group is its own


# Nobody answers there: whatever asks all the same gets an error.
_NOBODY = "http://127.0.0.1:9"
_PROXIES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY")


class _Server:
    """Answers questions, one after the other; imports what is for one kind when it is asked."""

    def __init__(self) -> None:
        self._solved: Environments = {}
        self._records = Records()

    def serve(self, questions: SimpleQueue[bytes]) -> NoReturn:
        """Answer whatever comes."""
        while True:
            line = questions.get()
            try:
                answer = self._answer(json.loads(line))
            except Failed as error:
                answer = {"failed": error.reasons}
            except BaseException as error:  # noqa: BLE001 (an engine that panics is one, too)
                answer = {"failed": {"engine": text_of(error)}}
            _write(answer)

    def _answer(self, asked: dict[str, Any]) -> Answer:
        _set(asked)
        match asked["verb"]:
            case "check":
                return {"wrong": [solving.wrong(spec) for spec in asked["specs"]]}
            case "solve":
                self._solved = asyncio.run(solving.solve(asked))
                return solving.packages(self._solved)
            case "like":
                from tierctl.deploy.worker import locks

                self._solved = locks.read(asked)
                return solving.packages(self._solved)
            case "open":
                from tierctl.deploy.worker import commands

                return asyncio.run(commands.listed(asked, self._solved))
            case "install":
                from tierctl.deploy.worker import installing

                with self._records.read_ahead(asked["prefixes"].values()):
                    asyncio.run(self._install(asked))
                return {"tools": installing.tools(self._solved)}
            case "verify":
                from tierctl.deploy.worker import verifying

                return verifying.verify(asked, self._records)
            case verb:
                raise ValueError(verb)

    async def _install(self, asked: dict[str, Any]) -> None:
        """Install, and write the lock files meanwhile."""
        from tierctl.deploy.worker import installing, locks

        await asyncio.gather(
            installing.install_all(asked, self._solved, _write),
            asyncio.to_thread(locks.write, asked, self._solved),
        )


def _set(asked: dict[str, Any]) -> None:
    """Have this process be as a question wants it: whom it may ask, who may share what it makes."""
    os.umask(0o002 if asked["shared"] else 0o022)
    if asked["offline"]:
        os.environ |= dict.fromkeys(_PROXIES, _NOBODY)
        os.environ.pop("NO_PROXY", None)


def _write(answer: Answer) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
