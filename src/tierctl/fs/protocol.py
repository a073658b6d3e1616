"""The seam to the operating system, as a protocol: links, renames, locks and fsync.

``FileSystem`` says what is true after each verb succeeds and what may be true
after it fails. ``OsFileSystem`` (``osfilesystem.py``) does it for real;
``tierctl.testing`` has one in memory and one that fails where it is told to.
One suite of contract tests (``tests/core/test_filesystem.py``) runs on all of
them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import AbstractContextManager
from enum import Enum
from typing import NamedTuple, Protocol


class ExchangeUnsupported(OSError):
    """This filesystem cannot swap two names in one step; nothing was changed."""


class LockTimeout(OSError):
    """Somebody else held the lock for as long as we would wait."""


class LockUnavailable(OSError):
    """This filesystem has no locks that work."""


class Kind(Enum):
    """What a directory entry is."""

    LINK = "symlink"
    DIRECTORY = "directory"
    FILE = "file"
    OTHER = "special file"


_KINDS = {stat.S_IFLNK: Kind.LINK, stat.S_IFDIR: Kind.DIRECTORY, stat.S_IFREG: Kind.FILE}


class Entry(NamedTuple):
    """A directory entry: sizes in bytes, ``modified`` in seconds since 1970."""

    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int
    device: int
    inode: int
    modified: float

    @property
    def group_writes(self) -> bool:
        """Whether the members of its group may write."""
        return bool(self.mode & stat.S_IWGRP)

    @property
    def others_write(self) -> bool:
        """Whether everybody may write."""
        return bool(self.mode & stat.S_IWOTH)

    def is_same(self, other: Entry) -> bool:
        """Say whether both entries are the same object on disk."""
        return (self.device, self.inode) == (other.device, other.inode)


class FileSystem(Protocol):
    """What a change needs of a filesystem.

    Every verb raises ``OSError`` where it fails and, unless its text says
    otherwise, has then changed nothing. What is not flushed may be lost in a
    power cut: ``write`` flushes a file's content unless told not to, ``sync``
    the names in a directory.
    """

    def entry(self, path: str, *, follow: bool = False) -> Entry:
        """Return what ``path`` is; of the object behind a link if ``follow``."""
        ...

    def read_link(self, path: str) -> str:
        """Return the text of a symlink."""
        ...

    def names(self, path: str) -> list[str]:
        """Return the names in a directory, sorted."""
        ...

    def load(self, path: str, start: int = 0, length: int = -1) -> tuple[Entry, bytes]:
        """Return what a file is, and its bytes from ``start``, all of them or at most ``length``.

        A negative ``start`` counts from its end. What is no file, or has more
        than anybody would write into one, is not read.
        """
        ...

    def write(
        self,
        path: str,
        data: bytes,
        *,
        mode: int | None = None,
        at: int = 0,
        durable: bool = True,
    ) -> None:
        """Write ``data`` into a file from ``at`` on, let it end there, and flush it.

        A file that is missing is made, with ``mode`` whatever the umask; by
        default everyone may read it and whoever may write to its directory
        write it. One that root makes belongs to the owner of its directory. An
        empty one that is the caller's alone counts as half made. On
        failure any first part of ``data`` may stand at ``at``, and behind it
        what stood there before.
        """
        ...

    def make_directory(
        self, path: str, mode: int, *, group: int | None = None, owner: int | None = None
    ) -> None:
        """Make a directory, with ``mode`` whatever the umask.

        It belongs to ``group`` and ``owner`` before the mode opens it to them.
        """
        ...

    def set_mode(self, path: str, mode: int, *, group: int | None = None) -> None:
        """Change the mode of a file or directory, and before that its group if one is given."""
        ...

    def make_link(self, path: str, target: str) -> None:
        """Make a symlink where there is nothing."""
        ...

    def rename(self, path: str, new: str) -> None:
        """Give an object a new name, in place of what had it: readers find the old or the new."""
        ...

    def exchange(self, first: str, second: str) -> None:
        """Swap two names in one step; no reader finds one missing.

        After any error but ``ExchangeUnsupported`` the names may be swapped:
        on FUSE the reply to a rename that was carried out can be lost.
        """
        ...

    def remove(self, path: str) -> None:
        """Remove a file, a symlink or an empty directory."""
        ...

    def sync(self, path: str) -> None:
        """Flush the names in a directory: what was renamed in it outlives a power cut."""
        ...

    def lock(
        self, path: str, *, timeout: float, mode: int | None = None, shared: bool = False
    ) -> AbstractContextManager[object]:
        """Take the lock on a file, waiting at most ``timeout`` seconds; return what holds it.

        Nobody else holds it then; if it is ``shared``, only others who share it do.
        It is made if missing, with ``mode``; by default whoever may write to
        its directory may open it, and nobody else. Raises ``LockTimeout`` or
        ``LockUnavailable``, and ``OSError`` if the file has lost its name
        meanwhile. The lock is free again when the context that is returned
        ends, or its holder, however it dies.
        """
        ...

    def refresh(self, path: str, *, write: bool = False, names: Sequence[str] = ()) -> None:
        """Have the names in a directory read from the server, as they are now.

        A network filesystem's client answers reads by path from a cache that can
        be minutes old, also while a lock is held. After this call ``names`` of the
        directory, and ``entry`` and ``read_link`` of what is listed there and of
        ``names``, tell what the server had when it was called, or something newer.
        Any other name that has vanished is found to be gone when it is opened or
        removed, if not before.

        With ``write`` the directory's time of modification is set, if it can be, and
        no change of ``names`` is missed. Those are names that the caller keeps others
        from changing, by a lock: one that the cache cannot be made to show as the
        server has it is an error (ESTALE). Without ``write`` nothing is changed, and a
        change can be missed that another host made within the same tick of the
        server's clock as the last one that this host has seen.

        Costs nothing on a local filesystem, but for one look at the mounts where that is
        on no disk of its own (btrfs, tmpfs, ZFS). On NFS it costs about four calls to the
        server; without ``write`` two, and one more for each link.
        """
        ...

    def is_locked(self, path: str) -> bool:
        """Say whether somebody holds the lock on a file; the caller has to be able to write it."""
        ...

    def is_writable(self, path: str) -> bool:
        """Say whether the caller may write a file, or make and rename names in a directory."""
        ...

    def can_exchange(self, path: str) -> bool:
        """Foretell, without writing, whether ``exchange`` works in a directory."""
        ...


def exists(fs: FileSystem, path: str) -> bool:
    """Say whether there is anything at a path, a dangling symlink included.

    Below a file there is nothing.
    """
    try:
        fs.entry(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def read(fs: FileSystem, path: str, start: int = 0, length: int = -1) -> bytes:
    """Return a file's bytes, see ``FileSystem.load``."""
    return fs.load(path, start, length)[1]


def entry_of(found: os.stat_result) -> Entry:
    """Return the entry that a status tells of."""
    return Entry(
        _KINDS.get(stat.S_IFMT(found.st_mode), Kind.OTHER),
        stat.S_IMODE(found.st_mode),
        found.st_uid,
        found.st_gid,
        found.st_size,
        found.st_dev,
        found.st_ino,
        found.st_mtime,
    )
