"""A filesystem that fails, or dies, at the n-th operation."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import Enum
from typing import NamedTuple, TypeVar

from tierctl.filesystem import Entry, FileSystem

T = TypeVar("T")


class Killed(BaseException):
    """The process is gone; nothing that it would have done afterwards happens."""


class Effect(Enum):
    """How much of the operation had happened when it failed."""

    NONE = "none"
    TORN = "torn"
    WHOLE = "whole"


class Fault(NamedTuple):
    """What goes wrong, at which operation (from 1), and how far that operation had come.

    ``number`` is an errno, or None to be killed. ``TORN`` writes half of the
    data; for other verbs it is the same as ``NONE``.
    """

    at: int
    number: int | None = errno.EIO
    effect: Effect = Effect.NONE


class FaultyFileSystem:
    """Any filesystem, with one fault.

    ``operations`` counts the calls (the two questions that begin with ``is_``
    and ``can_`` apart, which do not fail), ``fired`` tells of the fault.
    After a kill every further operation is refused, as a dead process has none.
    """

    def __init__(self, inner: FileSystem, fault: Fault) -> None:
        self.inner = inner
        self.fault = fault
        self.operations = 0
        self.fired = False

    def entry(self, path: str, *, follow: bool = False) -> Entry:
        """See ``FileSystem.entry``."""
        return self._do(path, lambda: self.inner.entry(path, follow=follow))

    def read_link(self, path: str) -> str:
        """See ``FileSystem.read_link``."""
        return self._do(path, lambda: self.inner.read_link(path))

    def names(self, path: str) -> list[str]:
        """See ``FileSystem.names``."""
        return self._do(path, lambda: self.inner.names(path))

    def read(self, path: str, start: int = 0, length: int = -1) -> bytes:
        """See ``FileSystem.read``."""
        return self._do(path, lambda: self.inner.read(path, start, length))

    def write(
        self, path: str, data: bytes, *, mode: int, at: int = 0, durable: bool = True
    ) -> None:
        """See ``FileSystem.write``."""

        def put(part: bytes) -> None:
            self.inner.write(path, part, mode=mode, at=at, durable=durable)

        self._do(path, lambda: put(data), torn=lambda: put(data[: len(data) // 2]))

    def make_directory(self, path: str, mode: int, *, group: int | None = None) -> None:
        """See ``FileSystem.make_directory``."""
        self._do(path, lambda: self.inner.make_directory(path, mode, group=group))

    def make_link(self, path: str, target: str) -> None:
        """See ``FileSystem.make_link``."""
        self._do(path, lambda: self.inner.make_link(path, target))

    def rename(self, path: str, new: str) -> None:
        """See ``FileSystem.rename``."""
        self._do(path, lambda: self.inner.rename(path, new))

    def exchange(self, first: str, second: str) -> None:
        """See ``FileSystem.exchange``."""
        self._do(first, lambda: self.inner.exchange(first, second))

    def remove(self, path: str) -> None:
        """See ``FileSystem.remove``."""
        self._do(path, lambda: self.inner.remove(path))

    def sync(self, path: str) -> None:
        """See ``FileSystem.sync``."""
        self._do(path, lambda: self.inner.sync(path))

    def lock(self, path: str, *, mode: int, timeout: float) -> AbstractContextManager[None]:
        """See ``FileSystem.lock``."""
        return self._do(path, lambda: self.inner.lock(path, mode=mode, timeout=timeout))

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

    def _do(self, path: str, operation: Callable[[], T], torn: Callable[[], T] | None = None) -> T:
        self._require_alive()
        self.operations += 1
        if self.operations != self.fault.at:
            return operation()
        self.fired = True
        if self.fault.effect is Effect.WHOLE:
            operation()
        elif self.fault.effect is Effect.TORN and torn is not None:
            torn()
        if self.fault.number is None:
            raise Killed
        raise OSError(self.fault.number, os.strerror(self.fault.number), path)
