"""A filesystem that fails, or dies, at the n-th operation."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from enum import Enum
from functools import partial
from typing import NamedTuple, TypeVar

from tierctl.fs.protocol import Entry, FileSystem, read

T = TypeVar("T")


class Killed(BaseException):
    """The process is gone; nothing that it would have done afterwards happens."""


class Effect(Enum):
    """How much of the operation had happened when it failed."""

    NONE = "none"
    TORN = "torn"
    UNFLUSHED = "unflushed"
    WHOLE = "whole"
    UNHEARD = "unheard"


class Fault(NamedTuple):
    """What goes wrong, at which operation (from 1), and how far that operation had come.

    ``number`` is an errno, or None to be killed. ``TORN`` writes half of the
    data over what stood there, ``UNFLUSHED`` all of it without flushing it; for
    other verbs than ``write`` both are the same as ``NONE``. ``UNHEARD`` has the
    server of a network filesystem do the whole of it, and its answer get lost;
    it does so when ``late`` more operations have begun.
    """

    at: int
    number: int | None = errno.EIO
    effect: Effect = Effect.NONE
    late: int = 0


class Operation(NamedTuple):
    """A call of a filesystem's verb; of two paths the first."""

    verb: str
    path: str


class FaultyFileSystem:
    """Any filesystem, with one fault.

    ``trace`` holds the calls (the questions that begin with ``is_`` and
    ``can_`` apart, which do not fail), ``fired`` tells of the fault. After a
    kill every further operation is refused, as a dead process has none.
    ``server`` is where ``inner`` keeps its files, seen past its cache.
    """

    def __init__(
        self, inner: FileSystem, fault: Fault, *, server: FileSystem | None = None
    ) -> None:
        self.inner = inner
        self.fault = fault
        self.server = inner if server is None else server
        self.trace: list[Operation] = []
        self.fired = False
        self._unheard: Callable[[FileSystem], object] | None = None

    @property
    def operations(self) -> int:
        """How many calls there were."""
        return len(self.trace)

    def entry(self, path: str, *, follow: bool = False) -> Entry:
        """See ``FileSystem.entry``."""
        return self._do("entry", path, lambda fs: fs.entry(path, follow=follow))

    def read_link(self, path: str) -> str:
        """See ``FileSystem.read_link``."""
        return self._do("read_link", path, lambda fs: fs.read_link(path))

    def names(self, path: str) -> list[str]:
        """See ``FileSystem.names``."""
        return self._do("names", path, lambda fs: fs.names(path))

    def load(self, path: str, start: int = 0, length: int = -1) -> tuple[Entry, bytes]:
        """See ``FileSystem.load``."""
        return self._do("load", path, lambda fs: fs.load(path, start, length))

    def write(
        self,
        path: str,
        data: bytes,
        *,
        mode: int | None = None,
        at: int = 0,
        durable: bool = True,
    ) -> None:
        """See ``FileSystem.write``."""

        def put(part: bytes, fs: FileSystem, *, durable: bool = durable) -> None:
            fs.write(path, part, mode=mode, at=at, durable=durable)

        def tear(fs: FileSystem) -> None:
            part = data[: len(data) // 2]
            try:
                behind = read(fs, path, at + len(part))
            except FileNotFoundError:
                behind = b""
            put(part + behind, fs)

        parts: dict[Effect, Callable[[FileSystem], object]] = {
            Effect.TORN: tear,
            Effect.UNFLUSHED: partial(put, data, durable=False),
        }
        self._do("write", path, partial(put, data), parts.get(self.fault.effect))

    def make_directory(
        self, path: str, mode: int, *, group: int | None = None, owner: int | None = None
    ) -> None:
        """See ``FileSystem.make_directory``."""
        self._do(
            "make_directory",
            path,
            lambda fs: fs.make_directory(path, mode, group=group, owner=owner),
        )

    def set_mode(self, path: str, mode: int, *, group: int | None = None) -> None:
        """See ``FileSystem.set_mode``."""
        self._do("set_mode", path, lambda fs: fs.set_mode(path, mode, group=group))

    def make_link(self, path: str, target: str) -> None:
        """See ``FileSystem.make_link``."""
        self._do("make_link", path, lambda fs: fs.make_link(path, target))

    def rename(self, path: str, new: str) -> None:
        """See ``FileSystem.rename``."""
        self._do("rename", path, lambda fs: fs.rename(path, new))

    def exchange(self, first: str, second: str) -> None:
        """See ``FileSystem.exchange``."""
        self._do("exchange", first, lambda fs: fs.exchange(first, second))

    def remove(self, path: str) -> None:
        """See ``FileSystem.remove``."""
        self._do("remove", path, lambda fs: fs.remove(path))

    def sync(self, path: str) -> None:
        """See ``FileSystem.sync``."""
        self._do("sync", path, lambda fs: fs.sync(path))

    def lock(
        self, path: str, *, timeout: float, mode: int | None = None, shared: bool = False
    ) -> AbstractContextManager[object]:
        """See ``FileSystem.lock``: taking it is the operation, leaving it is none."""
        with ExitStack() as held:

            def take(fs: FileSystem) -> None:
                held.enter_context(fs.lock(path, mode=mode, timeout=timeout, shared=shared))

            self._do("lock", path, take)
            return held.pop_all()

    def refresh(self, path: str, *, write: bool = False, names: Sequence[str] = ()) -> None:
        """See ``FileSystem.refresh``."""
        self._do("refresh", path, lambda fs: fs.refresh(path, write=write, names=names))

    def is_locked(self, path: str) -> bool:
        """See ``FileSystem.is_locked``."""
        self._require_alive()
        return self.inner.is_locked(path)

    def is_writable(self, path: str) -> bool:
        """See ``FileSystem.is_writable``."""
        self._require_alive()
        return self.inner.is_writable(path)

    def can_exchange(self, path: str) -> bool:
        """See ``FileSystem.can_exchange``."""
        self._require_alive()
        return self.inner.can_exchange(path)

    def _require_alive(self) -> None:
        if self.fired and self.fault.number is None:
            raise Killed

    def _do(
        self,
        verb: str,
        path: str,
        operation: Callable[[FileSystem], T],
        part: Callable[[FileSystem], object] | None = None,
    ) -> T:
        self._require_alive()
        self.trace.append(Operation(verb, path))
        if self.operations >= self.fault.at + self.fault.late:
            self.settle()
        if self.operations != self.fault.at:
            return operation(self.inner)
        self.fired = True
        match self.fault.effect:
            case Effect.WHOLE:
                operation(self.inner)
            case Effect.UNHEARD:
                self._unheard = operation
                if not self.fault.late:
                    self.settle()
            case _ if part is not None:
                part(self.inner)
        if self.fault.number is None:
            raise Killed
        raise OSError(self.fault.number, os.strerror(self.fault.number), path)

    def settle(self) -> None:
        """Have the server do what it has not done yet of what it was asked for."""
        if self._unheard is not None:
            unheard, self._unheard = self._unheard, None
            with suppress(OSError):  # nobody hears of that either
                unheard(self.server)
