"""Reads questions, has them answered, writes the answers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from contextlib import suppress
from os import path as paths
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NoReturn

from tierctl.deploy.engine.process import NO_PROXIES, PROXIES
from tierctl.deploy.engine.worker import confining, solving
from tierctl.deploy.engine.worker.failures import Failed, text_of
from tierctl.deploy.engine.worker.solving import Environments
from tierctl.fs import tree
from tierctl.fs.listing import Tree

if TYPE_CHECKING:
    from tierctl.deploy.engine.worker.fetching import Looked
    from tierctl.deploy.engine.worker.installing import Linked

Answer = dict[str, Any]

# Nobody answers there: whatever asks all the same gets an error.
_NOBODY = "http://127.0.0.1:9"
# Where processes that compile side by side have theirs.
_SEMAPHORES = "/dev/shm"  # noqa: S108 (nothing is made there by name)


def main() -> None:
    """Serve until stdin ends, which it does at the latest with whoever asks.

    Then end at once, also in the middle of an answer, with all that was started
    for it: what is being built is about to be removed.
    """
    questions: SimpleQueue[bytes] = SimpleQueue()
    server = _Server()
    threading.Thread(target=server.serve, args=[questions], daemon=True).start()
    for line in sys.stdin.buffer:
        questions.put(line)
    try:
        if server.scratch:
            tree.remove(server.scratch)
    finally:
        os.killpg(0, signal.SIGKILL)  # the group is its own


class _Server:
    """Answers questions, one after the other; imports what is for one kind when it is asked."""

    def __init__(self) -> None:
        self._is_set = False
        self._cache = ""
        self.scratch = ""  # where its temporary files are, if it has an own place for them
        self._solved: Environments = {}
        self._looked: Looked | None = None
        self._linked: dict[str, Linked] = {}
        self._environments: Tree = {}

    def serve(self, questions: SimpleQueue[bytes]) -> NoReturn:
        """Answer whatever comes."""
        if questions.empty():  # as whoever asks is still starting
            _import_installing()
        while True:
            line = questions.get()
            try:
                answer = self._answer(json.loads(line))
            except Failed as error:
                answer = {"failed": error.reasons}
            except BaseException as error:  # noqa: BLE001 (an engine that panics is one, too)
                answer = {"failed": {"engine": text_of(error)}}
            _write(answer)
            if "packages" in answer:
                self._look_ahead()

    def _look_ahead(self) -> None:
        """Look for what was solved in the cache, where an install begins with that.

        Nobody asks for a while: what the tier shows is looked at, and the room that there is.
        """
        from tierctl.deploy.engine.worker import fetching

        with suppress(Exception):  # as it fails again when it is asked for
            self._looked = fetching.look_at_all(self._solved, self._cache)

    def _answer(self, asked: dict[str, Any]) -> Answer:
        if not self._is_set:
            self._set(asked)
            self._is_set = True
        match asked["verb"]:
            case "check":
                return {"wrong": [solving.wrong(spec) for spec in asked["specs"]]}
            case "solve":
                self._solved = asyncio.run(solving.solve(asked))
                return solving.packages(self._solved)
            case "like":
                from tierctl.deploy.engine.worker import locks

                self._solved = locks.read(asked)
                return solving.packages(self._solved)
            case "foresee":
                from tierctl.deploy.engine.worker import foresight

                return asyncio.run(foresight.foreseen(asked, self._solved))
            case "install":
                return self._install(asked)
            case "seal" | "verify" as verb:
                try:
                    return self._seal(asked) if verb == "seal" else self._verify(asked)
                except OSError as error:
                    return {"error": [error.errno, error.strerror, error.filename]}
            case verb:
                raise ValueError(verb)

    def _seal(self, asked: dict[str, Any]) -> Answer:
        from tierctl.deploy.engine.worker import verifying

        self._environments = verifying.seal(asked)
        return {}

    def _verify(self, asked: dict[str, Any]) -> Answer:
        from tierctl.deploy.engine.worker import manifests, verifying

        verified = verifying.verify(asked, self._linked, self._environments)
        is_whole = not any(verified.wrong.values())
        return {
            "wrong": verified.wrong,
            "damaged": verified.damaged,
            "scripts": verified.scripts,
            "manifest": manifests.write(asked, verified, self._environments) if is_whole else "",
        }

    def _set(self, asked: dict[str, Any]) -> None:
        """Have this thread, which starts all others, be as the first question wants it.

        That is: where it writes, who may share what it makes, whom it may ask.
        """
        self._cache = asked["cache"]
        if asked["confined"]:
            self.scratch = tree.move_scratch()
            also = filter(paths.isdir, [paths.realpath(_SEMAPHORES)])  # an admin may have moved it
            confining.confine((*asked["within"], asked["cache"], self.scratch, *also))
        os.umask(0o002 if asked["shared"] else 0o022)
        if asked["offline"]:
            os.environ |= dict.fromkeys(PROXIES, _NOBODY)
            for name in NO_PROXIES:
                os.environ.pop(name, None)

    def _install(self, asked: dict[str, Any]) -> Answer:
        from tierctl.deploy.engine.worker import clashes, fetching, installing, locks

        looked = self._looked or fetching.look_at_all(self._solved, asked["cache"])
        self._looked = None  # it is not believed a second time

        async def install() -> None:
            self._linked, _ = await asyncio.gather(
                installing.install_all(asked, self._solved, looked, _write),
                asyncio.to_thread(locks.write, asked, self._solved),
            )

        asyncio.run(install())
        told = {name: clashes.in_words(owners) for name, (_, owners) in self._linked.items()}
        return {"tools": installing.tools(self._solved), "clashes": told}


def _import_installing() -> None:
    """Import what an install needs, but for what few environments do."""
    with suppress(Exception):  # as it fails again when it is asked for
        from tierctl.deploy.engine.worker import installing, locks, manifests  # noqa: F401


def _write(answer: Answer) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
