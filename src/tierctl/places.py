"""Where things are, for calls that go by descriptors: errors that name paths, held directories."""

from __future__ import annotations

import os
from collections.abc import Mapping

from tierctl.layout import CONTROL, INFRASTRUCTURE

TO_HOLD = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
IN_CONTROL = f"/{INFRASTRUCTURE}/{CONTROL}/"


class Naming:
    """Names a path in errors that know a descriptor only, or a name below one.

    ``always``: also in those that know another.
    """

    __slots__ = ("_always", "_path")

    def __init__(self, path: str, *, always: bool = False) -> None:
        self._path = path
        self._always = always

    def __enter__(self) -> object:
        """Begin."""
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Give an error the path."""
        if isinstance(error, OSError):
            name = error.filename
            is_whole = isinstance(name, (str, bytes)) and os.path.isabs(name)
            if self._always or not is_whole:
                error.filename = self._path


class Opened(Naming):
    """Closes a descriptor in the end; what fails on it is told of its path."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int, path: str) -> None:
        super().__init__(path)
        self._fd = fd

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        super().__exit__(kind, error, trace)
        with Naming(self._path):
            os.close(self._fd)


class Place(Naming):
    """Where something is: a name, and of the records the directory that it is in.

    Whoever shares a target could have them written elsewhere, with a link in
    the place of that directory.
    """

    __slots__ = ("_opened", "directory", "name")

    def __init__(self, path: str, held: Mapping[str, int]) -> None:
        super().__init__(path)
        head, _, name = path.rpartition("/")
        self._opened: int | None = None
        self.directory = held.get(head)
        self.name = path if self.directory is None else name
        if self.directory is None and IN_CONTROL in path:
            with Naming(path, always=True):
                self._opened = self.directory = _open_below_control(head)
            self.name = name

    def __enter__(self) -> Place:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._opened is not None:
            os.close(self._opened)
        super().__exit__(kind, error, trace)


def _open_below_control(path: str) -> int:
    """Open a directory, from that of the records on without following a link."""
    above, _, names = f"{path}/".rpartition(IN_CONTROL)
    directory = os.open(f"{above}{IN_CONTROL}".rstrip("/"), TO_HOLD)  # or a link would do
    for name in filter(None, names.split("/")):
        parent = directory
        try:
            directory = os.open(name, TO_HOLD, dir_fd=parent)
        finally:
            os.close(parent)
    return directory
