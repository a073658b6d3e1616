"""The installed program under strace: which system calls it makes, and what if one goes wrong."""

import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from program import Ended
from tools import require_tool

_CALL = re.compile(r"^(?:\d+ +)?((\w+)\(.*)", re.MULTILINE)


class Call(NamedTuple):
    """The n-th system call of a kind that concerns certain paths, and how strace shows it."""

    name: str
    number: int
    text: str

    def __str__(self) -> str:
        return f"{self.name} {self.number}: {self.text}"


class Traced(NamedTuple):
    """A command that nothing disturbs, and its system calls."""

    done: Ended
    calls: list[Call]


def traced(command: Sequence[str], concerning: Sequence[str], log: Path) -> Traced:
    """Run a command, and find its system calls that concern any of the paths.

    Only those of its own process: an engine or a shell that it starts is another.
    """
    done = _strace(command, concerning, "-y", "-o", str(log))
    assert done.code in (0, 1), done.err
    counts: Counter[str] = Counter()
    calls = []
    for text, name in _CALL.findall(log.read_text(errors="replace")):
        counts[name] += 1
        calls.append(Call(name, counts[name], text))
    return Traced(done, calls)


def killed(command: Sequence[str], concerning: Sequence[str], before: Call) -> Ended:
    """Run a command and kill it with SIGKILL before a system call is made."""
    return _inject(command, concerning, before, "signal=SIGKILL")


def failed(command: Sequence[str], concerning: Sequence[str], at: Call, error: str) -> Ended:
    """Run a command and have a system call fail, without being made, with ``EIO`` or the like."""
    return _inject(command, concerning, at, f"error={error}")


def _inject(command: Sequence[str], concerning: Sequence[str], at: Call, what: str) -> Ended:
    injection = f"inject={at.name}:{what}:when={at.number}"
    return _strace(command, concerning, "-o", "/dev/null", "-e", injection)


def _strace(command: Sequence[str], concerning: Sequence[str], *options: str) -> Ended:
    paths = [word for path in concerning for word in ("-P", path)]
    quietly = [require_tool("strace"), "--quiet=all", *options, *paths, *command]
    done = subprocess.run(quietly, capture_output=True, text=True, timeout=60)
    return Ended(done.returncode, done.stdout, done.stderr)
