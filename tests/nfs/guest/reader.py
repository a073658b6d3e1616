"""Looks at production and staging until a file says that it is enough.

``reader.py INFRASTRUCTURE STOPFILE`` prints one JSON document: how often it looked,
errors by name, for how many seconds in a row there were errors each time, how often a
file of a color was not that color's, and when what was shown changed:
``[time, production, staging]``.
"""

import errno
import json
import os
import sys
import time
from collections import Counter

FILE = "etc/version"


class _Reader:
    def __init__(self) -> None:
        self.looks = 0
        self.wrong = 0
        self.errors: Counter[str] = Counter()
        self.gone: list[float] = []
        self._gone_since: float | None = None
        self.shown: list[tuple[float, str, str]] = []

    def look(self) -> None:
        """Read each link, what a file says that is opened through it, and each link again."""
        self.looks += 1
        now = time.time()
        try:
            first = _links()
            contents = [_content(f"{tier}/{FILE}") for tier in ("production", "staging")]
            again = _links()
        except OSError as error:
            self.errors[errno.errorcode[error.errno or 0]] += 1
            self._gone_since = self._gone_since or now
            return
        if self._gone_since:
            self.gone.append(now - self._gone_since)
            self._gone_since = None
        if first == again:
            self.wrong += contents != first
            if not self.shown or self.shown[-1][1:] != (first[0], first[1]):
                self.shown.append((now, first[0], first[1]))


def _links() -> list[str]:
    return [os.readlink(tier) for tier in ("production", "staging")]


def _content(path: str) -> str:
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, 100).decode()
    finally:
        os.close(fd)


def _main(infrastructure: str, stop: str) -> None:
    os.chdir(infrastructure)
    reader = _Reader()
    while not os.path.exists(stop):
        for _ in range(20):
            reader.look()
    json.dump(vars(reader), sys.stdout)


if __name__ == "__main__":
    _main(*sys.argv[1:])
