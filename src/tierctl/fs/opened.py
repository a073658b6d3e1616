"""Where things are, for calls that go by descriptors: errors that name paths, held directories."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tierctl.rotation.names import CONTROL, DEPLOYMENTS, INFRASTRUCTURE

TO_HOLD = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
IN_CONTROL = f"/{INFRASTRUCTURE}/{CONTROL}/"
OF_DEPLOYMENTS = f"/{INFRASTRUCTURE}/{DEPLOYMENTS}"


def name(error: OSError, path: str) -> None:
    """Have an error tell of a path that knows a descriptor only, or a name below one."""
    known = error.filename
    if not isinstance(known, (str, bytes)) or known[:1] not in ("/", b"/"):
        error.filename = path


class Naming:
    """Names a path in errors that know a descriptor only, or a name below one.

    ``always``: also in those that know another.
    """

    __slots__ = ("_always", "_path")

    def __init__(self, path: str, *, always: bool = False) -> None:
        self._path = path
        self._always = always

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Give an error the path."""
        if isinstance(error, OSError):
            if self._always:
                error.filename = self._path
            name(error, self._path)


class Opened:
    """Closes a descriptor in the end; what fails on it is told of its path."""

    __slots__ = ("_fd", "_path")

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self._path = path

    def __enter__(self) -> int:
        """Return the descriptor."""
        return self._fd

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Close it, and give an error the path."""
        if isinstance(error, OSError):
            name(error, self._path)
        try:
            os.close(self._fd)
        except OSError as failure:
            name(failure, self._path)
            raise


def open_directory(path: str) -> int:
    """Open a directory, not by a link in its place unless it is the infrastructure itself."""
    itself = path.endswith(f"/{INFRASTRUCTURE}")
    return os.open(path, TO_HOLD & ~os.O_NOFOLLOW if itself else TO_HOLD)


@contextmanager
def open_below_control(path: str) -> Iterator[int]:
    """Open the directory of a record, from that of all records on without following a link.

    Whoever shares a target could have them written elsewhere, with a link in
    the place of that directory.
    """
    above, _, below = path.rpartition(IN_CONTROL)
    *names, _ = below.split("/")
    with Naming(path, always=True):
        directory = os.open(f"{above}{IN_CONTROL}".rstrip("/"), TO_HOLD)  # or a link would do
        for each in filter(None, names):
            parent = directory
            try:
                directory = os.open(each, TO_HOLD, dir_fd=parent)
            finally:
                os.close(parent)
    try:
        yield directory
    finally:
        os.close(directory)
