"""Processes that look at the links of a target all the time, and count what is wrong.

Two links are never read at one moment. But production, staging and production
again, read while there was at most one change, and production the same both
times: then the three belong together, and staging has to be the other one.
"""

import json
import mmap
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

READERS = 4
# The file that is opened through the links, in each of the two versions.
FILE = "etc/version"
_LONGEST_WAIT_S = 1.0


class Clock:
    """How many changes there were, twice; odd while one is under way. Processes share it.

    And whether a reader has noticed something wrong so far.
    """

    SIZE = 16

    def __init__(self, path: str) -> None:
        with open(path, "r+b") as file:
            self._words = memoryview(mmap.mmap(file.fileno(), self.SIZE)).cast("Q")

    @property
    def now(self) -> int:
        return self._words[0]

    @contextmanager
    def change(self) -> Iterator[None]:
        self._words[0] += 1
        yield
        self._words[0] += 1

    @property
    def noticed(self) -> bool:
        return bool(self._words[1])

    def notice(self) -> None:
        self._words[1] = 1


class Sight(NamedTuple):
    """What readers have seen: how often they looked, and how often something was wrong.

    A tier was missing to who loads it, or not there again within a second; it
    was not in a list of the directory; of those that were ``judged``, what the
    links showed was wrong.
    """

    looks: int = 0
    missing: int = 0
    lost: int = 0
    unlisted: int = 0
    judged: int = 0
    wrong: int = 0

    def __add__(self, other: "Sight") -> "Sight":
        return Sight(*map(sum, zip(self, other, strict=True)))


class Reader:
    """Looks, from the directory of the links."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._missing = 0
        self._lost = 0

    def look(self, judge: "Judge") -> Sight:
        self._missing = self._lost = 0
        judged, wrong = judge(self, self._clock)
        unlisted = not {"production", "staging"} <= {*os.listdir(".")}
        return Sight(1, self._missing, self._lost, unlisted, judged, wrong)

    def shown(self, tier: str) -> tuple[str, str]:
        """Return the text of a tier's link, and what a file says that is opened through it."""
        deadline = 0.0
        while True:
            try:
                return os.readlink(tier), _content(f"{tier}/{FILE}")
            except FileNotFoundError:
                if not deadline:
                    self._missing += 1
                    deadline = time.monotonic() + _LONGEST_WAIT_S
                elif time.monotonic() > deadline:
                    self._lost += 1
                    return "", ""


Judge = Callable[[Reader, Clock], tuple[bool, bool]]


def pair(reader: Reader, clock: Clock) -> tuple[bool, bool]:
    """Judge whether production and staging show two versions, by their links and contents."""
    first = clock.now
    production, staging, again = map(reader.shown, ("production", "staging", "production"))
    judged = clock.now <= first // 2 * 2 + 2 and production == again
    return judged, judged and not {*production}.isdisjoint(staging)


def old_or_new(reader: Reader, clock: Clock) -> tuple[bool, bool]:
    """Judge whether staging shows what the n-th change, if under way, replaces or brings: n."""
    first = clock.now
    _, staging = reader.shown("staging")
    _, production = reader.shown("production")
    is_right = first // 2 <= int(staging or -1) <= (clock.now + 1) // 2 and production == "0"
    return True, not is_right


def _content(path: str) -> str:
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, 100).decode()
    finally:
        os.close(fd)


@contextmanager
def reading(infrastructure: str, clock: Path, judge: Judge, found: list[Sight]) -> Iterator[Clock]:
    """Have readers look at the links, and add what they saw; yields the clock for the changes."""
    clock.write_bytes(bytes(Clock.SIZE))
    command = [sys.executable, "-S", __file__, infrastructure, clock, judge.__name__]
    with ExitStack() as processes:
        started = [
            processes.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            )
            for _ in range(READERS)
        ]
        for process in started:
            processes.callback(process.kill)
        for process in started:
            assert b"ready\n" == process.stdout.readline()
        yield Clock(str(clock))
        for process in started:
            out, _ = process.communicate(b"stop")
            found.append(Sight(*json.loads(out)))


def _main(infrastructure: str, clock: str, judge: str) -> None:
    ticking, seen = Clock(clock), Sight()
    reader = Reader(ticking)
    os.chdir(infrastructure)
    print("ready", flush=True)
    os.set_blocking(0, False)
    while sys.stdin.buffer.read(1) is None:
        seen += reader.look(_JUDGES[judge])
        if seen.missing or seen.wrong:
            ticking.notice()
    print(json.dumps(seen))


_JUDGES = {judge.__name__: judge for judge in (pair, old_or_new)}

if __name__ == "__main__":
    _main(*sys.argv[1:])
