"""The seam to the operating system: the only code that touches links, renames, locks and fsync.

``FileSystem`` says what is true after each verb succeeds and what may be true
after it fails. ``OsFileSystem`` does it for real; ``tierctl.testing`` has one
in memory and one that fails where it is told to. One suite of contract tests
(``tests/core/test_filesystem.py``) runs on all of them.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from enum import Enum
from typing import NamedTuple, Protocol

from tierctl.places import IN_CONTROL, TO_HOLD, Naming, Opened, Place

# rename(2) with a flag says one of these where the kernel or the filesystem does not know it.
_CANNOT_EXCHANGE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})

# Locking says one of these where the filesystem, or its server, has no locks.
_CANNOT_LOCK = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
# Neither through a link nor waiting for the other end of a FIFO, if somebody left one here.
_SAFELY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_TO_READ = os.O_RDONLY | _SAFELY
_TO_WRITE = os.O_RDWR | _SAFELY
_EVERYONE_READS = 0o044
_AS_EFFECTIVE_USER = os.access in os.supports_effective_ids
# So many bytes are read at a time, and no more of a file that is wanted whole.
_PART = 1 << 20
_LARGEST = 1 << 28


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

    def read(self, path: str, start: int = 0, length: int = -1) -> bytes:
        """Return a file's bytes from ``start``, all of them or at most ``length``.

        What is no file, or has more than anybody would write into one, is not read.
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
        self, path: str, *, timeout: float, mode: int | None = None
    ) -> AbstractContextManager[None]:
        """Hold the lock on a file, waiting at most ``timeout`` seconds.

        It is made if missing, with ``mode``; by default whoever may write to
        its directory may open it, and nobody else. Raises ``LockTimeout`` or
        ``LockUnavailable``, and ``OSError`` if the file has lost its name
        meanwhile. The lock is free again as soon as its holder leaves, however
        it dies.
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


def entry_of(found: os.stat_result) -> Entry:
    """Return the entry that a status tells of."""
    return Entry(
        _kind(found.st_mode),
        stat.S_IMODE(found.st_mode),
        found.st_uid,
        found.st_gid,
        found.st_size,
        found.st_dev,
        found.st_ino,
        found.st_mtime,
    )


class OsFileSystem:
    """The filesystem of this host.

    While a lock is held, the directory that it is in is held too.
    """

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._holders: dict[str, int] = defaultdict(int)

    def entry(self, path: str, *, follow: bool = False) -> Entry:
        """See ``FileSystem.entry``."""
        if IN_CONTROL not in path:  # as most paths that are looked at
            return entry_of(os.stat(path, follow_symlinks=follow))
        with self._place(path) as at:
            return entry_of(os.stat(at.name, dir_fd=at.directory, follow_symlinks=follow))

    def read_link(self, path: str) -> str:
        """See ``FileSystem.read_link``."""
        return os.readlink(path)

    def names(self, path: str) -> list[str]:
        """See ``FileSystem.names``."""
        return sorted(os.listdir(path))

    def read(self, path: str, start: int = 0, length: int = -1) -> bytes:
        """See ``FileSystem.read``."""
        with Opened(fd := self._open(path, _TO_READ), path):
            found = os.fstat(fd)
            if _kind(found.st_mode) is Kind.OTHER:  # a device may never end
                raise OSError(errno.EINVAL, "Not a regular file", path)
            if length < 0 and found.st_size - start > _LARGEST:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
            return b"".join(_parts(fd, start, length))

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
        fd, size = self._open_or_make(path, mode, _EVERYONE_READS)
        with Opened(fd, path):
            rest = memoryview(data)
            while rest:
                written = os.pwrite(fd, rest, at)
                at += written
                rest = rest[written:]
            if size > at:  # cutting is slow, also where there is nothing to cut
                os.ftruncate(fd, at)
            if durable:
                os.fsync(fd)

    def make_directory(
        self, path: str, mode: int, *, group: int | None = None, owner: int | None = None
    ) -> None:
        """See ``FileSystem.make_directory``."""
        with self._place(path) as at:
            os.mkdir(at.name, 0o700, dir_fd=at.directory)
            try:
                # Somebody may have put something else in its place.
                with Opened(fd := os.open(at.name, TO_HOLD, dir_fd=at.directory), path):
                    if (group, owner) != (None, None):
                        os.fchown(fd, _same_if_none(owner), _same_if_none(group))
                    os.fchmod(fd, mode)
            except OSError:
                with suppress(OSError):
                    os.rmdir(at.name, dir_fd=at.directory)
                raise

    def set_mode(self, path: str, mode: int, *, group: int | None = None) -> None:
        """See ``FileSystem.set_mode``."""
        with Opened(fd := self._open(path, _TO_READ), path):
            if group is not None:
                os.fchown(fd, -1, group)
            os.fchmod(fd, mode)

    def make_link(self, path: str, target: str) -> None:
        """See ``FileSystem.make_link``."""
        with Naming(path, always=True), self._place(path) as at:  # else the text is named
            os.symlink(target, at.name, dir_fd=at.directory)

    def rename(self, path: str, new: str) -> None:
        """See ``FileSystem.rename``."""
        with self._place(path) as old, self._place(new) as at:
            try:
                os.rename(old.name, at.name, src_dir_fd=old.directory, dst_dir_fd=at.directory)
            except OSError as error:
                error.filename, error.filename2 = path, new
                raise

    def exchange(self, first: str, second: str) -> None:
        """See ``FileSystem.exchange``."""
        from tierctl.renameat2 import exchange

        number = exchange(os.fsencode(first), os.fsencode(second))
        if number in _CANNOT_EXCHANGE:
            raise ExchangeUnsupported(number, os.strerror(number), first, None, second)
        if number:
            raise OSError(number, os.strerror(number), first, None, second)

    def remove(self, path: str) -> None:
        """See ``FileSystem.remove``."""
        with self._place(path) as at:
            found = os.stat(at.name, dir_fd=at.directory, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                os.rmdir(at.name, dir_fd=at.directory)
            else:
                os.unlink(at.name, dir_fd=at.directory)

    def sync(self, path: str) -> None:
        """See ``FileSystem.sync``."""
        if path in self._held:
            with Naming(path):
                os.fsync(self._held[path])
        else:
            with Opened(fd := os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), path):
                os.fsync(fd)

    @contextmanager
    def lock(self, path: str, *, timeout: float, mode: int | None = None) -> Iterator[None]:
        """See ``FileSystem.lock``."""
        with self._holding(os.path.dirname(path)):
            fd, _ = self._open_or_make(path, mode, 0)
            try:
                with Naming(path):
                    _acquire(fd, path, timeout)
                    if not os.path.samestat(os.fstat(fd), os.lstat(path)):
                        raise OSError(errno.ESTALE, "Replaced by another file meanwhile", path)
                yield
            finally:
                os.close(fd)

    def is_locked(self, path: str) -> bool:
        """See ``FileSystem.is_locked``."""
        from tierctl import filelock

        with Opened(fd := self._open(path, _TO_WRITE), path):
            return not filelock.is_free(fd)

    def is_writable(self, path: str) -> bool:
        """See ``FileSystem.is_writable``."""
        return os.access(path, os.W_OK, effective_ids=_AS_EFFECTIVE_USER)

    def can_exchange(self, path: str) -> bool:
        """See ``FileSystem.can_exchange``."""
        from tierctl import mounts

        return mounts.can_exchange(path)

    def _place(self, path: str) -> Place:
        return Place(path, self._held)

    @contextmanager
    def _holding(self, directory: str) -> Iterator[None]:
        """Have what is named in a directory be in this one, whatever takes its place meanwhile."""
        if directory not in self._held:
            self._held[directory] = os.open(directory, TO_HOLD)
        self._holders[directory] += 1
        try:
            yield
        finally:
            self._holders[directory] -= 1
            if not self._holders[directory]:
                os.close(self._held.pop(directory))

    def _open(self, path: str, flags: int) -> int:
        """Open a file; one that is made is its owner's alone at first."""
        with self._place(path) as at:
            return os.open(at.name, flags, 0o600, dir_fd=at.directory)

    def _open_or_make(self, path: str, mode: int | None, for_others: int) -> tuple[int, int]:
        """Open a file for writing, and return its size too.

        One that we make gets its mode before it gets content. By default whoever
        may write to its directory writes it, and others have the rights ``for_others``.
        """
        fd, size, is_new = self._open_to_write(path)
        if is_new:
            try:
                head = os.path.dirname(path)
                with Naming(path):
                    _open_up(fd, os.stat(self._held.get(head, head)), mode, for_others)
            except OSError:
                os.close(fd)
                raise
        return fd, size

    def _open_to_write(self, path: str) -> tuple[int, int, bool]:
        """Open or make a file; return its size, and whether its mode is still to be given."""
        while True:
            try:
                fd = self._open(path, _TO_WRITE)
            except FileNotFoundError:
                pass
            else:
                with Naming(path):
                    found = _required_file(fd, path)
                # We may have been killed just when we had made it: that would shut others out.
                is_private = not found.st_mode & 0o077 and found.st_uid == os.geteuid()
                return fd, found.st_size, is_private and found.st_size == 0
            with suppress(FileExistsError):  # somebody else makes it in between
                return self._open(path, _TO_WRITE | os.O_CREAT | os.O_EXCL), 0, True


def _kind(mode: int) -> Kind:
    if stat.S_ISLNK(mode):
        return Kind.LINK
    if stat.S_ISDIR(mode):
        return Kind.DIRECTORY
    return Kind.FILE if stat.S_ISREG(mode) else Kind.OTHER


def _acquire(fd: int, path: str, timeout: float) -> None:
    from tierctl import filelock

    try:
        taken = filelock.acquire(fd, timeout)
    except OSError as error:
        if error.errno not in _CANNOT_LOCK:
            raise
        raise LockUnavailable(error.errno, error.strerror, path) from error
    if not taken:
        raise LockTimeout(errno.EAGAIN, os.strerror(errno.EAGAIN), path)


def _open_up(fd: int, directory: os.stat_result, mode: int | None, for_others: int) -> None:
    found = os.fstat(fd)
    # Who owns the directory is to go on with what is in it.
    if os.geteuid() == 0 and found.st_uid != directory.st_uid:
        os.fchown(fd, directory.st_uid, -1)
    if mode is None:
        mode = 0o600 | (0o060 if directory.st_mode & stat.S_IWGRP else 0) | for_others
    if stat.S_IMODE(found.st_mode) != mode:
        os.fchmod(fd, mode)


def _same_if_none(number: int | None) -> int:
    """Return what chown(2) takes for an owner or group that stays."""
    return -1 if number is None else number


def _required_file(fd: int, path: str) -> os.stat_result:
    """Return what a regular file is; close the descriptor of anything else, and raise."""
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode):
        return found
    os.close(fd)
    raise OSError(errno.EINVAL, "Not a regular file", path)


def _parts(fd: int, start: int, length: int) -> Iterator[bytes]:
    """Yield a file's bytes from ``start``, all of them or at most ``length``."""
    left = sys.maxsize if length < 0 else length
    while left > 0 and (part := os.pread(fd, min(left, _PART), start)):
        yield part
        start += len(part)
        left -= len(part)
