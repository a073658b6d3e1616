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

from tierctl.deploy.worker import installing, locks, solving, verifying
from tierctl.deploy.worker.failures import Failed, text_of
from tierctl.deploy.worker.solving import Environments

Answer = dict[str, Any]


def main() -> None:
    """Serve until stdin ends, which it does at the latest with whoever asks.

    Then end at once, also in the middle of an answer, with all that was started
    for it: what is being built is about to be removed.
    """
    questions: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_serve, args=[questions], daemon=True).start()
    for line in sys.stdin.buffer:
        questions.put(line)
    os.killpg(0, signal.SIGKILL)  # the group is its own


def _serve(questions: SimpleQueue[bytes]) -> NoReturn:
    """Answer one question after the other."""
    solved: Environments = {}
    while True:
        line = questions.get()
        try:
            solved, answer = _answer(json.loads(line), solved)
        except Failed as error:
            answer = {"failed": error.reasons}
        except BaseException as error:  # noqa: BLE001 (an engine that panics is one, too)
            answer = {"failed": {"engine": text_of(error)}}
        _write(answer)


def _answer(asked: dict[str, Any], solved: Environments) -> tuple[Environments, Answer]:
    """Return what is solved now, and the answer."""
    match asked["verb"]:
        case "check":
            return solved, {"wrong": [solving.wrong(spec) for spec in asked["specs"]]}
        case "solve":
            solved = asyncio.run(solving.solve(asked))
            return solved, solving.packages(solved)
        case "like":
            solved = locks.read(asked)
            return solved, solving.packages(solved)
        case "open":
            from tierctl.deploy.worker import commands  # which only a dry run asks for

            return solved, asyncio.run(commands.listed(asked, solved))
        case "install":
            asyncio.run(_install(asked, solved))
        case "verify":
            return solved, verifying.verify(asked)
    return solved, {}


async def _install(asked: dict[str, Any], solved: Environments) -> None:
    """Install, and write the lock files meanwhile."""
    await asyncio.gather(
        installing.install_all(asked, solved, _write), asyncio.to_thread(locks.write, asked, solved)
    )


def _write(answer: Answer) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
