"""Empty directories to test in, on a real filesystem and in memory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import FileSystem
from tierctl.testing import MemoryFileSystem

FILESYSTEMS = ("real", "memory")


class Place(NamedTuple):
    """A filesystem, and an empty directory on it."""

    fs: FileSystem
    root: str

    def path(self, name: str) -> str:
        """Return the path of a name in the directory."""
        return f"{self.root}/{name}"


def place_on(kind: str, tmp_path: Path) -> Place:
    """Return an empty directory on one of ``FILESYSTEMS``, or "client" of one in memory."""
    if kind == "real":
        return Place(OsFileSystem(), str(tmp_path))
    memory = MemoryFileSystem()
    memory.make_directory("/place", 0o755)
    memory.sync("/")
    return Place(memory.client(exchanges=True) if kind == "client" else memory, "/place")


@contextmanager
def on_memory() -> Iterator[Path]:
    """Have a directory that nobody waits for a disk in, where the system has such a place."""
    shared = "/dev/shm"  # noqa: S108 (what is made in it has a name of its own)
    with TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as directory:
        yield Path(directory)
