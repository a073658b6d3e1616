"""The installed program under strace: which system calls it makes, and what if one goes wrong."""

import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from program import Ended, installed
from tools import require_tool

_NAME = re.compile(r"^(?:\d+ +)?(\w+)\(", re.MULTILINE)


class Call(NamedTuple):
    """The n-th system call of a kind that concerns certain paths."""

    name: str
    number: int

    def __str__(self) -> str:
        return f"{self.name} {self.number}"


def calls(words: Sequence[object], concerning: Sequence[str], log: Path) -> list[Call]:
    """Run the program, and return its system calls that concern any of the paths.

    Only those of its own process: an engine or a shell that it starts is another.
    """
    done = _strace(words, concerning, "-o", str(log))
    assert done.code in (0, 1), done.err
    counts: Counter[str] = Counter()
    found = []
    for name in _NAME.findall(log.read_text(errors="replace")):
        counts[name] += 1
        found.append(Call(name, counts[name]))
    return found


def killed(words: Sequence[object], concerning: Sequence[str], before: Call) -> Ended:
    """Run the program and kill it with SIGKILL before a system call is made."""
    return _inject(words, concerning, before, "signal=SIGKILL")


def failed(words: Sequence[object], concerning: Sequence[str], at: Call, error: str) -> Ended:
    """Run the program and have a system call fail, without being made, with ``EIO`` or the like."""
    return _inject(words, concerning, at, f"error={error}")


def _inject(words: Sequence[object], concerning: Sequence[str], at: Call, what: str) -> Ended:
    injection = f"inject={at.name}:{what}:when={at.number}"
    return _strace(words, concerning, "-o", "/dev/null", "-e", injection)


def _strace(words: Sequence[object], concerning: Sequence[str], *options: str) -> Ended:
    paths = [word for path in concerning for word in ("-P", path)]
    command = [require_tool("strace"), "-qq", *options, *paths, installed(), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return Ended(done.returncode, done.stdout, done.stderr)
