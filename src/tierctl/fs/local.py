"""The filesystem of this host: the only code that touches links, renames, locks and fsync."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from tierctl.fs import opened
from tierctl.fs.opened import IN_CONTROL, OF_DEPLOYMENTS, TO_HOLD, Naming, Opened
from tierctl.fs.protocol import (
    Entry,
    ExchangeUnsupported,
    Kind,
    LockTimeout,
    LockUnavailable,
    entry_of,
)
from tierctl.text import typed

if TYPE_CHECKING:
    from tierctl.fs.mounts import Mount

_Result = TypeVar("_Result")
# rename(2) with a flag says one of these where the kernel or the filesystem does not know it.
_CANNOT_EXCHANGE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})

# Locking says one of these where the filesystem, or its server, has no locks.
_CANNOT_LOCK = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
# Neither through a link nor waiting for the other end of a FIFO, if somebody left one here.
_SAFELY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_TO_READ = os.O_RDONLY | _SAFELY
_TO_WRITE = os.O_RDWR | os.O_CREAT | _SAFELY
_EVERYONE_READS = 0o044
_APPEND_ONLY = (
    "It can only be appended to (chattr +a), and a torn line at its end has to be cut off. "
    "To let that happen once: chattr -a {}"
)
_AS_EFFECTIVE_USER = os.access in os.supports_effective_ids
# So many bytes are read at a time, and no more of a file that is wanted whole.
_PART = 1 << 20
_LARGEST = 1 << 28


class _Held(NamedTuple):
    """A directory that is held: its descriptor, and what it was when it was opened."""

    fd: int
    found: os.stat_result


class _Lock:
    """A lock that is held, until its context ends."""

    __slots__ = ("_release",)

    def __init__(self, release: Callable[[], None]) -> None:
        self._release = release

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._release()


class OsFileSystem:
    """The filesystem of this host.

    While a lock is held, the directory that it is in is held too.
    """

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        self._holders: dict[str, int] = defaultdict(int)
        self._networks: dict[int, Mount | None] = {}
        self._devices: dict[str, int] = {}

    def entry(self, path: str, *, follow: bool = False) -> Entry:
        """See ``FileSystem.entry``."""
        return entry_of(self._call(path, os.stat, follow_symlinks=follow))

    def read_link(self, path: str) -> str:
        """See ``FileSystem.read_link``."""
        return os.readlink(path)

    def names(self, path: str) -> list[str]:
        """See ``FileSystem.names``."""
        return sorted(os.listdir(path))

    def load(self, path: str, start: int = 0, length: int = -1) -> tuple[Entry, bytes]:
        """See ``FileSystem.load``."""
        with Opened(self._open(path, _TO_READ), path) as fd:
            entry = entry_of(self._found(fd, path))
            if entry.kind is Kind.OTHER:  # a device may never end
                raise OSError(errno.EINVAL, "Not a regular file", path)
            if start < 0:
                start = max(0, entry.size + start)
                rest = entry.size - start  # what is added meanwhile is behind that end
                length = rest if length < 0 else min(length, rest)
            if length < 0 and entry.size - start > _LARGEST:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
            return entry, _content(fd, start, length)

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
        try:
            fd, found = self._open_or_make(path, mode, _EVERYONE_READS)
        except PermissionError:
            self._append(path, data, at, durable=durable)
            return
        with Opened(fd, path):
            rest = memoryview(data)
            while rest:
                written = os.pwrite(fd, rest, at)
                at += written
                rest = rest[written:]
            if found.st_size > at:  # cutting is slow, also where there is nothing to cut
                os.ftruncate(fd, at)
            if durable:
                os.fsync(fd)

    def _append(self, path: str, data: bytes, at: int, *, durable: bool) -> None:
        """Write to a file that can be opened for appending only, as ``chattr +a`` has it.

        Raises what stands in the way: of the file, or that ``at`` is not its end.
        """
        with Opened(self._open(path, os.O_WRONLY | os.O_APPEND | _SAFELY), path) as fd:
            if os.fstat(fd).st_size != at:
                raise OSError(errno.EPERM, _APPEND_ONLY.format(typed(path)), path)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]
            if durable:
                os.fsync(fd)

    def make_directory(
        self, path: str, mode: int, *, group: int | None = None, owner: int | None = None
    ) -> None:
        """See ``FileSystem.make_directory``."""

        def make(name: str, dir_fd: int | None) -> None:
            os.mkdir(name, 0o700, dir_fd=dir_fd)
            try:
                # Somebody may have put something else in its place.
                with Opened(os.open(name, TO_HOLD, dir_fd=dir_fd), path) as fd:
                    if (group, owner) != (None, None):
                        os.fchown(fd, _same_if_none(owner), _same_if_none(group))
                    os.fchmod(fd, mode)
            except OSError:
                with suppress(OSError):
                    os.rmdir(name, dir_fd=dir_fd)
                raise

        self._change(path, make)

    def set_mode(self, path: str, mode: int, *, group: int | None = None) -> None:
        """See ``FileSystem.set_mode``."""
        with Opened(self._open(path, _TO_READ), path) as fd:
            if group is not None:
                os.fchown(fd, -1, group)
            os.fchmod(fd, mode)

    def make_link(self, path: str, target: str) -> None:
        """See ``FileSystem.make_link``."""
        with Naming(path, always=True):  # else the text is named
            self._change(path, partial(os.symlink, target))

    def rename(self, path: str, new: str) -> None:
        """See ``FileSystem.rename``."""

        def rename(name: str, of: int | None, new_name: str, dir_fd: int | None) -> None:
            try:
                os.rename(name, new_name, src_dir_fd=of, dst_dir_fd=dir_fd)
            except OSError as error:
                error.filename, error.filename2 = path, new
                raise

        self._change_both(path, new, rename)

    def exchange(self, first: str, second: str) -> None:
        """See ``FileSystem.exchange``."""
        from tierctl.fs import syscalls

        def exchange(name: str, of: int | None, other: str, dir_fd: int | None) -> None:
            names = os.fsencode(name), os.fsencode(other)
            number = syscalls.exchange(*names, of=of, of_second=dir_fd)
            if number in _CANNOT_EXCHANGE or (number and not syscalls.can_exchange()):
                raise ExchangeUnsupported(number, os.strerror(number), first, None, second)
            if number:
                raise OSError(number, os.strerror(number), first, None, second)

        self._change_both(first, second, exchange)

    def remove(self, path: str) -> None:
        """See ``FileSystem.remove``."""
        try:
            self._change(path, os.unlink)
        except (IsADirectoryError, PermissionError):  # the latter on macOS
            if self.entry(path).kind is not Kind.DIRECTORY:
                raise
            self._change(path, os.rmdir)

    def sync(self, path: str) -> None:
        """See ``FileSystem.sync``."""
        if path in self._held:
            with Naming(path):
                os.fsync(self._held[path].fd)
        elif not self._has_durable_names(path):
            with Opened(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), path) as fd:
                os.fsync(fd)

    def lock(
        self, path: str, *, timeout: float, mode: int | None = None, shared: bool = False
    ) -> _Lock:
        """See ``FileSystem.lock``."""
        directory = path.rpartition("/")[0]
        self._hold(directory)
        try:
            fd, found = self._open_or_make(path, mode, 0)
            try:
                with Naming(path):
                    _acquire(fd, path, timeout, shared=shared)
                    self._require_named(found, path)
            except BaseException:
                os.close(fd)
                raise
        except BaseException:
            self._let_go(directory)
            raise
        return _Lock(partial(self._unlock, fd, directory))

    def refresh(self, path: str, *, write: bool = False, names: Sequence[str] = ()) -> None:
        """See ``FileSystem.refresh``."""
        mount = self._network(path, self._device(path))
        if mount is None:
            return
        from tierctl.fs import clientcache

        held = self._held.get(path)
        if held is not None:
            with Naming(path):
                clientcache.refresh(held.fd, mount, names, write=write, is_new=False)
        else:
            with Opened(opened.open_directory(path), path) as fd:
                clientcache.refresh(fd, mount, names, write=write, is_new=True)

    def is_locked(self, path: str) -> bool:
        """See ``FileSystem.is_locked``."""
        from tierctl.fs import lockfile

        with Opened(self._open(path, os.O_RDWR | _SAFELY), path) as fd:
            return not lockfile.is_free(fd)

    def is_writable(self, path: str) -> bool:
        """See ``FileSystem.is_writable``."""
        if os.access(path, os.W_OK, effective_ids=_AS_EFFECTIVE_USER):
            return True
        # Asking so is a call of its own (faccessat2), which a container's seccomp filter that is
        # older than it forbids: that would look as if nothing could be written.
        is_own = (os.getuid(), os.getgid()) == (os.geteuid(), os.getegid())
        return is_own and os.access(path, os.W_OK)

    def can_exchange(self, path: str) -> bool:
        """See ``FileSystem.can_exchange``."""
        from tierctl.fs import mounts

        return mounts.can_exchange(path)

    def _call(
        self, path: str, call: Callable[..., _Result], *arguments: object, **options: object
    ) -> _Result:
        """Make a call with a path; with a name in the directory that is held, if that is where."""
        head, _, name = path.rpartition("/")
        held = self._held.get(head)
        try:
            if held is not None:
                return call(name, *arguments, dir_fd=held.fd, **options)
            if IN_CONTROL not in path:
                return call(path, *arguments, dir_fd=None, **options)
            with opened.open_below_control(path) as directory:
                return call(name, *arguments, dir_fd=directory, **options)
        except OSError as error:
            opened.name(error, path)
            raise

    def _change(self, path: str, call: Callable[..., _Result]) -> _Result:
        """Make a call that makes, moves or removes a name; as ``_call``.

        One of a deployment is in the directory of deployments, and not behind a
        link in the place of that.
        """
        head, _, name = path.rpartition("/")
        if not head.endswith(OF_DEPLOYMENTS):
            return self._call(path, call)
        with Naming(path), Opened(os.open(head, TO_HOLD), head) as directory:
            return call(name, dir_fd=directory)

    def _change_both(self, path: str, other: str, call: Callable[..., None]) -> None:
        """Make a call that changes two names: with each, and then the directory that it is in."""
        self._change(path, lambda name, dir_fd: self._change(other, partial(call, name, dir_fd)))

    def _network(self, path: str, device: int) -> Mount | None:
        """Return the mount of a network filesystem that a path is on, None for one of this host."""
        if os.major(device):  # it is on a disk
            return None
        if device not in self._networks:
            from tierctl.fs import mounts

            mount = mounts.find(path)
            self._networks[device] = None if mount is None or mount.is_local else mount
        return self._networks[device]

    def _device(self, directory: str) -> int:
        """Return the device that a directory is on, which is asked for once."""
        if directory not in self._devices:
            self._devices[directory] = os.stat(directory).st_dev
        return self._devices[directory]

    def _has_durable_names(self, directory: str) -> bool:
        """Say whether names in a directory outlive a power cut without being flushed.

        An NFS server has them on disk before it answers (RFC 1813, section 4.8).
        """
        mount = self._network(directory, self._device(directory))
        return mount is not None and mount.is_nfs

    def _found(self, fd: int, path: str) -> os.stat_result:
        """Return what an open file is, as its server knows it."""
        found = os.fstat(fd)
        mount = self._network(path, found.st_dev)
        if mount is None or not mount.opens_from_cache:
            return found
        from tierctl.fs import syscalls

        syscalls.ask_server(fd)
        return os.fstat(fd)

    def _hold(self, directory: str) -> None:
        """Have what is named in a directory be in this one, whatever takes its place meanwhile."""
        if directory not in self._held:
            self._held[directory] = _open_to_hold(directory)
        self._holders[directory] += 1

    def _require_named(self, found: os.stat_result, path: str) -> None:
        """Raise ``OSError`` if a file, or the directory that is held, has lost its name."""
        directory, _, name = path.rpartition("/")
        held = self._held[directory]
        if self._network(directory, held.found.st_dev) is not None:
            from tierctl.fs import syscalls

            syscalls.ask_server(held.fd, name)
        _require_same(held.found, directory)
        _require_same(found, path)

    def _unlock(self, fd: int, directory: str) -> None:
        os.close(fd)
        self._let_go(directory)

    def _let_go(self, directory: str) -> None:
        self._holders[directory] -= 1
        if not self._holders[directory]:
            os.close(self._held.pop(directory).fd)

    def _open(self, path: str, flags: int) -> int:
        """Open a file; one that is made is its owner's alone at first."""
        return self._call(path, os.open, flags, 0o600)

    def _directory_of(self, path: str) -> os.stat_result:
        head = path.rpartition("/")[0]
        held = self._held.get(head)
        return os.stat(head) if held is None else held.found

    def _open_or_make(
        self, path: str, mode: int | None, for_others: int
    ) -> tuple[int, os.stat_result]:
        """Open a file for writing, and return what it was as well.

        One that we make gets its mode before it gets content, and so does one that we
        had just made when we were killed: it would shut others out. By default whoever
        may write to its directory writes it, and others have the rights ``for_others``.
        """
        fd = self._open(path, _TO_WRITE)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "Not a regular file", path)
            is_private = not found.st_mode & 0o077 and found.st_uid == os.geteuid()
            if is_private and found.st_size == 0:
                _open_up(fd, found, self._directory_of(path), mode, for_others)
        except OSError as error:
            opened.name(error, path)
            os.close(fd)
            raise
        return fd, found


def _acquire(fd: int, path: str, timeout: float, *, shared: bool) -> None:
    from tierctl.fs import lockfile

    try:
        taken = lockfile.acquire(fd, timeout, shared=shared)
    except OSError as error:
        if error.errno not in _CANNOT_LOCK:
            raise
        raise LockUnavailable(error.errno, error.strerror, path) from error
    if not taken:
        raise LockTimeout(errno.EAGAIN, os.strerror(errno.EAGAIN), path)


def _require_same(found: os.stat_result, path: str) -> None:
    """Raise ``OSError`` if something else has taken a path since, as while we waited."""
    if not os.path.samestat(found, os.lstat(path)):
        raise OSError(errno.ESTALE, "Replaced by something else meanwhile", path)


def _open_to_hold(directory: str) -> _Held:
    fd = os.open(directory, TO_HOLD)
    try:
        return _Held(fd, os.fstat(fd))
    except OSError as error:
        opened.name(error, directory)
        os.close(fd)
        raise


def _open_up(
    fd: int,
    found: os.stat_result,
    directory: os.stat_result,
    mode: int | None,
    for_others: int,
) -> None:
    # Who owns the directory is to go on with what is in it, and so is its group, even if the
    # directory does not hand that on.
    if os.geteuid() == 0 and found.st_uid != directory.st_uid:
        os.fchown(fd, directory.st_uid, -1)
    if found.st_gid != directory.st_gid:
        with suppress(OSError):  # the caller is not in that group: nobody shares the directory
            os.fchown(fd, -1, directory.st_gid)
    if mode is None:
        mode = 0o600 | (0o060 if directory.st_mode & stat.S_IWGRP else 0) | for_others
    if stat.S_IMODE(found.st_mode) != mode:
        os.fchmod(fd, mode)


def _same_if_none(number: int | None) -> int:
    """Return what chown(2) takes for an owner or group that stays."""
    return -1 if number is None else number


def _content(fd: int, start: int, length: int) -> bytes:
    """Return a file's bytes from ``start``, all of them or at most ``length``."""
    parts = []
    left = sys.maxsize if length < 0 else length
    while left > 0 and (part := os.pread(fd, min(left, _PART), start)):
        parts.append(part)
        start += len(part)
        left -= len(part)
    return b"".join(parts)
