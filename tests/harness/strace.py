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
_STRACE = ("strace", "--quiet=all")
# What changes something, or asks for it to be durable or locked.
CHANGING = {"fchmod", "fchown", "fsync", "ftruncate", "mkdir", "pwrite64", "rename", "renameat2"}
CHANGING |= {"chmod", "chown", "fcntl", "rmdir", "symlink", "syncfs", "unlink", "unlinkat"}
CHANGING |= {"fchmodat", "fchownat", "mkdirat", "renameat", "symlinkat"}


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
    done = _run(tracing(command, concerning, str(log)))
    assert done.code in (0, 1), done.err
    return Traced(done, calls_in(log.read_text(errors="replace")))


def killed(command: Sequence[str], concerning: Sequence[str], before: Call) -> Ended:
    """Run a command and kill it with SIGKILL before a system call is made."""
    return _run(injecting(command, concerning, before, "signal=SIGKILL"))


def failed(command: Sequence[str], concerning: Sequence[str], at: Call, error: str) -> Ended:
    """Run a command and have a system call fail, without being made, with ``EIO`` or the like."""
    return _run(injecting(command, concerning, at, f"error={error}"))


def tracing(command: Sequence[str], concerning: Sequence[str], log: str) -> list[str]:
    """Return what to type to have a command's system calls that concern any of the paths logged."""
    return [*_STRACE, "-y", "-o", log, *_only(concerning), *command]


def injecting(
    command: Sequence[str], concerning: Sequence[str], at: Call, what: str, log: str = "/dev/null"
) -> list[str]:
    """Return what to type to have strace inject something at a call of a command."""
    injection = f"inject={at.name}:{what}:when={at.number}"
    return [*_STRACE, "-o", log, "-e", injection, *_only(concerning), *command]


def calls_in(log: str) -> list[Call]:
    """Return the system calls that a log tells of."""
    counts: Counter[str] = Counter()
    calls = []
    for text, name in _CALL.findall(log):
        counts[name] += 1
        calls.append(Call(name, counts[name], text))
    return calls


def _only(concerning: Sequence[str]) -> list[str]:
    return [word for path in concerning for word in ("-P", path)]


def _run(words: Sequence[str]) -> Ended:
    require_tool("strace")
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    return Ended(done.returncode, done.stdout, done.stderr)
