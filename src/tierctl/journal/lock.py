"""The target's lock: one change at a time, and who holds it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tierctl.errors import ChangeFailed, Locked, LockLost, LocksUnsupported, cause_of
from tierctl.fs.protocol import Kind, LockTimeout, LockUnavailable, read
from tierctl.journal import freshness
from tierctl.target.target import Target
from tierctl.target.users import Author
from tierctl.text import shown

_HOLDER_BYTES = 512
# No server is known that forgets its clients sooner; Linux's own waits 90 s, at least 10.
_SHORTEST_LEASE_S = 5


class Holder(NamedTuple):
    """Who holds the lock, as they wrote it: good for messages, and to see that it has gone on."""

    user: str
    host: str
    pid: int
    command: str
    time: str

    def __str__(self) -> str:
        return (
            f"{shown(self.user)} on {shown(self.host)} "
            f"({shown(self.command)}, process {self.pid}, since {shown(self.time)})"
        )


class HeldLock:
    """The target's lock, while it is held."""

    __slots__ = ("_holder", "_since", "_target")

    def __init__(self, target: Target, holder: Holder | None) -> None:
        self._target = target
        self._holder = holder
        self._since = _now()

    def server_time(self) -> float | None:
        """Return when the lock was taken, by the server's clock, in seconds since 1970.

        None where nobody could write down who holds the lock: what was
        written has the time of the filesystem's server. Raises ``OSError``.
        """
        if self._holder is None:
            return None
        return self._target.fs.entry(self._target.holder).modified

    def require(self) -> None:
        """Raise ``LockLost`` if somebody else has got the lock; raises ``OSError``.

        An NFS server gives it away when it has not heard of this host for as long as
        a lease lasts, and the kernel does not tell. Costs nothing before that can be.
        Where it could not be written down who holds it, nobody can tell.
        """
        if self._holder is None or _now() - self._since < _SHORTEST_LEASE_S:
            return
        self._target.fs.refresh(self._target.control)
        found = read_holder(self._target)
        if found not in (None, self._holder):
            raise LockLost(self._holder.command, str(found))


@contextmanager
def locked(
    target: Target,
    author: Author,
    command: str,
    timeout: float,
    private: Iterable[str] = (),
) -> Iterator[HeldLock]:
    """Hold the target's lock, with all that is read under it as the server has it.

    ``private`` names the private tiers that the command is about. Raises
    ``Locked`` or ``LocksUnsupported``, and ``ChangeFailed`` if that fails otherwise.
    """
    try:
        lock = freshness.lock(target, target.lock, timeout=timeout, private=private)
    except LockTimeout as error:
        raise _locked_by(read_holder(target), author.host, timeout) from error
    except LockUnavailable as error:
        raise LocksUnsupported(target.lock, error.strerror or str(error)) from error
    except OSError as error:
        raise ChangeFailed(command, cause_of(error)) from error
    with lock:
        yield HeldLock(target, _write_holder(target, author, command))


def read_holder(target: Target) -> Holder | None:
    """Return who wrote down that they hold the lock, or None."""
    try:
        if target.fs.entry(target.holder).kind is not Kind.FILE:
            return None
        values = json.loads(read(target.fs, target.holder))
        return Holder(
            str(values["user"]),
            str(values["host"]),
            int(values["pid"]),
            str(values["command"]),
            str(values["time"]),
        )
    except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return None


def _locked_by(holder: Holder | None, host: str, timeout: float) -> Locked:
    if holder is None:
        return Locked("somebody", timeout)
    if holder.host == host and _is_stopped(holder.pid):
        hint = f"Let it go on with: kill -CONT {holder.pid}"
        return Locked(f"{holder}, which is stopped", timeout, hint)
    if holder.host == host:
        return Locked(str(holder), timeout)
    # The unlock of a soft mount can fail as any other call; on NFS v3 a lock has no end.
    return Locked(
        str(holder),
        timeout,
        more=f"If nothing of it runs on {shown(holder.host)} any more, the server keeps its lock "
        f"until {shown(holder.user)} makes a change there, or until that host has booted.",
    )


def _is_stopped(pid: int) -> bool:
    """Say whether a process of this host was stopped, as by Ctrl-Z, and not continued."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state = file.read().rpartition(b") ")[2][:1]
    except OSError:
        return False
    return state in (b"T", b"t")


def _write_holder(target: Target, author: Author, command: str) -> Holder | None:
    """Write down who holds the lock; it stays, as who held it last. Return it, None if that failed.

    A full disk must not stand in the way of a rollback.
    """
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    holder = Holder(author.user, author.host, os.getpid(), command, since)
    # Always of one length: cutting or removing the file takes longer than all else here.
    data = json.dumps(holder._asdict()).encode().ljust(_HOLDER_BYTES)
    try:
        target.fs.write(target.holder, data, durable=False)
    except OSError:
        return None
    return holder


def _now() -> float:
    """Return the seconds since some moment, those included in which this host slept."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    else:  # noqa: RET505 (mypy takes what follows a platform's return for unreachable)
        return time.monotonic()
