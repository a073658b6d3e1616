"""File trees: held, copied, flushed, removed. Part of the seam to the system.

Nothing here follows a symlink that it finds in a tree.
"""

from __future__ import annotations

import ctypes
import errno
import fnmatch
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from os import path as paths
from typing import IO, NamedTuple

from tierctl.fs import syscalls
from tierctl.fs.opened import TO_HOLD, Naming, Opened

_OWNER_CHANGES = 0o700
_GOING = ".going"
# How the names of files begin that are being written, here as elsewhere.
DRAFT = ".tmp"
# Stands before the number of a name for what goes, if there is one of that name already.
_AGAIN = "~"
_MOST_GOING = 100
_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST)
# How the system says that something has been removed, here or by another client of the server.
_GONE = (errno.ENOENT, errno.ESTALE)
DESCRIPTORS = "/proc/self/fd"
_LARGEST_COPIED_BYTES = 1 << 16
# How many directories deep a tree is walked: each level takes a descriptor and two calls of
# Python, of which there are some 1,000.
DEEPEST = 200
# The unit of st_blocks, whatever the filesystem's own.
_BLOCK_BYTES = 512

# A device and an inode.
Identity = tuple[int, int]

_REPLACED = "Replaced by something else meanwhile"


def make_directories(top: str, names: Iterable[str]) -> None:
    """Make directories in a tree, where some may be already."""
    for name in names:
        os.makedirs(paths.join(top, name), 0o755, exist_ok=True)


class Held(NamedTuple):
    """A tree that is held: its own path, one that leads to it whatever is there, its descriptor."""

    top: str
    place: str
    descriptor: int

    @property
    def identity(self) -> Identity:
        """What tells this tree from any other on this host."""
        found = os.fstat(self.descriptor)
        return found.st_dev, found.st_ino


@contextmanager
def held(top: str, identity: Identity | None = None) -> Iterator[Held]:
    """Hold a tree, whatever takes its place or that of its directory.

    ``place`` leads there by what ``/proc`` has; without that it is the tree's own path. Raises
    ``OSError`` where a link is in the place, or another tree than the one of that ``identity``;
    errors tell of the tree's own path.
    """
    with _directory_of(top) as (name, directory), Naming(top):
        descriptor = os.open(name, TO_HOLD, dir_fd=directory)
    place = f"{DESCRIPTORS}/{descriptor}" if paths.isdir(DESCRIPTORS) else top
    holding = Held(top, place, descriptor)
    try:
        if identity not in (None, holding.identity):
            raise OSError(errno.ESTALE, _REPLACED, top)
        yield holding
    except OSError as error:
        for name in ("filename", "filename2"):
            path = getattr(error, name)
            if isinstance(path, str):
                setattr(error, name, path.replace(place, top, 1))
        raise
    finally:
        os.close(descriptor)


def require_in_place(held: Held) -> None:
    """Raise ``OSError`` if a tree that is held has lost its own path."""
    if not paths.samestat(os.fstat(held.descriptor), os.lstat(held.top)):
        raise OSError(errno.ESTALE, _REPLACED, held.top)


def make_shared(path: str) -> None:
    """Make a directory, and what is missing above it, with the rights that the umask gives."""
    os.makedirs(path, exist_ok=True)


def open_to_readers(top: str) -> None:
    """Let everyone read the caller's own files in a directory, and its group write them.

    The engine keeps them to its user. Whether the group may write at all, the
    directory says.
    """
    # Whatever is wrong with it: the build is over.
    with suppress(OSError), _directory_of(f"{top}/") as (_, directory):
        group_writes = os.fstat(directory).st_mode & stat.S_IWGRP
        for name in os.listdir(directory):
            with suppress(OSError):  # gone, a link, or another's
                _open_file_to_readers(name, directory, 0o664 if group_writes else 0o644)


def _open_file_to_readers(name: str, directory: int, mode: int) -> None:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    file = os.open(name, flags, dir_fd=directory)
    try:
        found = os.fstat(file).st_mode
        if stat.S_ISREG(found) and not found & 0o040:
            os.fchmod(file, mode)
    finally:
        os.close(file)


def write_new(path: str, data: bytes) -> None:
    """Write a file where there is nothing."""
    with Naming(path), open(path, "xb") as file:
        file.write(data)


def write_whole(path: str, data: bytes) -> None:
    """Write a file where others may be writing or reading the same one: whole, or not at all."""
    descriptor, draft = tempfile.mkstemp(dir=paths.dirname(path), prefix=DRAFT)
    with open(descriptor, "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), 0o644)
    os.replace(draft, path)


def move_into(place: str, destination: str) -> None:
    """Move what is in a directory into another one, over what has its name there."""
    with os.scandir(place) as entries:
        for entry in entries:
            new = paths.join(destination, entry.name)
            if entry.is_dir(follow_symlinks=False) and paths.lexists(new):
                move_into(entry.path, new)
            else:
                os.replace(entry.path, new)
    os.rmdir(place)


def remove(top: str) -> None:
    """Remove a tree, closed directories included; one that is missing is removed already.

    It loses its name first, so that nobody loads what is being taken apart. What is in use (see
    ``is_busy``) or another's stays without its name, until a prune can remove it.
    """
    remove_retired(retire_all(top))


def retire_all(top: str) -> list[str]:
    """Take the name from a tree; return what goes: that, and the caller's that had the name."""
    return list(dict.fromkeys((retire(top), *filter(is_own, _retired(top)))))


def remove_retired(going: Iterable[str]) -> None:
    """Remove trees that have lost their names, see ``remove``."""
    for path in going:
        try:
            take_apart(path)
        except OSError as error:
            if not (is_busy(error) or isinstance(error, PermissionError)):
                raise


def retire(top: str, place: str = "") -> str:
    """Rename a tree out of the way, atomically; return its new path. A missing one is no error.

    ``place`` is the path that it gets its new name from: by default its own.
    """
    place = place or top
    with (
        Naming(top),
        suppress(FileNotFoundError),
        _directory_of(top) as (name, directory),
        _directory_of(place) as (_, destination),
    ):
        return _rename_out_of_the_way(name, directory, place, destination)
    return _going(place)


def _rename_out_of_the_way(name: str, directory: int, place: str, destination: int) -> str:
    """Give a name in a directory one that is made of ``place``, in another; return its path."""
    for times in range(1, _MOST_GOING):
        going = _going(place, times)
        new = paths.basename(going)
        try:
            os.rename(name, new, src_dir_fd=directory, dst_dir_fd=destination)
        except OSError as error:
            if error.errno not in _OCCUPIED:  # by one that was in use when it was to go
                raise
        else:
            return going
    raise OSError(errno.EEXIST, "Too much that had this name is still in use", place)


def is_own(path: str) -> bool:
    """Say whether the caller can take a tree apart, as its owner or root; none is left to do."""
    try:
        return os.geteuid() in (0, os.lstat(path).st_uid)
    except OSError as error:
        if error.errno in _GONE:
            return True
        raise


def is_going(name: str) -> bool:
    """Say whether a name is one that ``retire`` gives."""
    return name.startswith(".") and name.endswith(_GOING)


def name_before(name: str) -> str:
    """Return the name that a tree had before ``retire``."""
    return name.removeprefix(".").removesuffix(_GOING).partition(_AGAIN)[0]


def is_busy(error: OSError) -> bool:
    """Say whether a tree could not be removed because a process uses it.

    An NFS client keeps a file that is open, under a name of its own, ``.nfs...``. The directory
    of such a file is not empty, and the name itself is busy, until the file is closed.
    """
    return error.errno in (errno.EBUSY, errno.ENOTEMPTY)


def take_apart(path: str) -> None:
    """Remove a file or a tree, whatever its modes. What vanishes meanwhile is removed, too.

    An error in one place leaves no other unremoved. In the end the first error is raised,
    one that ``is_busy`` only if there was no other.
    """
    with Naming(path), suppress(FileNotFoundError), _directory_of(path) as (_, directory):
        removal = _Removal(path, directory, [path])
        errors: list[OSError] = []
        while removal.left:
            errors += removal.remove(removal.left.pop(), directory)
        if errors:
            raise min(errors, key=is_busy)


class _Removal(NamedTuple):
    """Removes the tree that has a path, in the directory that is open: see ``take_apart``.

    What is too deep in it is moved beside it, to be removed from there: ``left`` are
    the paths of what is to be removed.
    """

    path: str
    directory: int
    left: list[str]

    def remove(self, path: str, directory: int, depth: int = 0) -> list[OSError]:
        """Remove what has a path, in the directory that is open; return what stood in the way."""
        name = paths.basename(path)
        errors: list[OSError] = []
        try:
            if stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
                with Opened(os.open(name, TO_HOLD, dir_fd=directory), path) as inside:
                    with suppress(PermissionError):  # another's, who let the group change it
                        os.fchmod(inside, _OWNER_CHANGES)
                    if depth == DEEPEST:
                        self._lift(name, directory)
                        return []
                    for each in os.listdir(inside):
                        errors += self.remove(paths.join(path, each), inside, depth + 1)
                if not errors:
                    os.rmdir(name, dir_fd=directory)
            else:
                os.unlink(name, dir_fd=directory)
        except OSError as error:
            if error.errno not in _GONE:
                error.filename = path
                errors.append(error)
        return errors

    def _lift(self, name: str, directory: int) -> None:
        above, own = paths.split(self.path)
        before = name_before(own) if is_going(own) else own
        place = paths.join(above, before)
        self.left.append(_rename_out_of_the_way(name, directory, place, self.directory))


@contextmanager
def _directory_of(path: str) -> Iterator[tuple[str, int]]:
    """Yield the name of a path, and the directory that it is in; no link in the place of that."""
    head, name = paths.split(path)
    directory = os.open(head, TO_HOLD)
    try:
        yield name, directory
    finally:
        os.close(directory)


def own_bytes(trees: Iterable[str]) -> int:
    """Return how many bytes trees and files share with nothing but each other.

    A file counts once, and only if all its names are in them. What is missing has none.
    """
    count = 0
    shared: dict[Identity, list[os.stat_result]] = {}
    for found in chain.from_iterable(map(_found_in, dict.fromkeys(trees))):
        if stat.S_ISDIR(found.st_mode) or found.st_nlink == 1:
            count += found.st_blocks
        else:
            shared.setdefault((found.st_dev, found.st_ino), []).append(found)
    count += sum(names[0].st_blocks for names in shared.values() if len(names) == names[0].st_nlink)
    return count * _BLOCK_BYTES


def _found_in(path: str) -> Iterator[os.stat_result]:
    """Yield what is known of a tree and all in it; what is gone or hidden is passed over."""
    try:
        found = os.lstat(path)
    except OSError:
        return
    yield found
    left = [path] if stat.S_ISDIR(found.st_mode) else []
    while left:
        with suppress(OSError), os.scandir(left.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    yield found
                    if stat.S_ISDIR(found.st_mode):
                        left.append(entry.path)


def _going(top: str, times: int = 1) -> str:
    again = f"{_AGAIN}{times}" if times > 1 else ""
    return paths.join(paths.dirname(top), f".{paths.basename(top)}{again}{_GOING}")


def _retired(top: str) -> list[str]:
    """Return the paths of what had the name of a tree before, and is not gone yet."""
    above, before = paths.split(top)
    names = os.listdir(above) if paths.isdir(above) else []
    return [
        paths.join(above, name) for name in names if is_going(name) and name_before(name) == before
    ]


@contextmanager
def scratch(holding: Iterable[str] = (), linked: str = "") -> Iterator[str]:
    """Have a directory of one's own that is removed afterwards, whatever is in it.

    It holds what the directories ``holding`` do that are there: copies of small files, and
    links to large ones, which their owners replace and never change. Of the directories in
    them whose names match the pattern ``linked`` there are only links to what they hold.
    Raises ``OSError``.
    """
    directory = _make_scratch()
    try:
        for held in filter(_is_directory, holding):
            _mirror(held, paths.join(directory, paths.basename(held)), linked)
        yield directory
    finally:
        remove(directory)


def _is_directory(path: str) -> bool:
    return paths.isdir(path) and not paths.islink(path)


def _mirror(held: str, path: str, linked: str) -> None:
    os.mkdir(path)
    for entry in os.scandir(held):
        place = paths.join(path, entry.name)
        if fnmatch.fnmatch(entry.name, linked):
            os.mkdir(place)
            for inside in os.listdir(entry.path):
                os.symlink(paths.join(entry.path, inside), paths.join(place, inside))
        elif entry.is_dir(follow_symlinks=False):
            _mirror(entry.path, place, linked)
        elif entry.is_file(follow_symlinks=False):
            with suppress(FileNotFoundError, PermissionError):  # gone meanwhile, or another's
                _mirror_file(entry, place)


def _mirror_file(entry: os.DirEntry[str], place: str) -> None:
    if entry.stat().st_size > _LARGEST_COPIED_BYTES:
        os.symlink(entry.path, place)
    else:
        shutil.copy2(entry.path, place, follow_symlinks=False)


def _temporary_directory() -> str:
    return paths.realpath(tempfile.gettempdir())  # which an admin may have moved


def unnamed_file() -> IO[bytes]:
    """Return a file that nobody else can open, and that is gone when it is closed."""
    return tempfile.TemporaryFile()


def _make_scratch() -> str:
    return tempfile.mkdtemp(prefix=f"tierctl-{os.getpid()}-", dir=_temporary_directory())


def move_scratch() -> str:
    """Have this process, and what it starts, make temporary files in a directory of its own.

    Returns that; ``remove_scratch`` removes it.
    """
    os.environ["TMPDIR"] = tempfile.tempdir = _make_scratch()
    return tempfile.tempdir


def remove_scratch(pid: int) -> None:
    """Remove the scratch directories of a process that was killed."""
    top = _temporary_directory()
    for name in fnmatch.filter(os.listdir(top), f"tierctl-{pid}-*"):
        with suppress(OSError):  # another's, of a process that had the number before
            remove(paths.join(top, name))


def flush(path: str) -> None:
    """Flush the whole filesystem that holds a path, with everything that was written to it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        number = _syncfs(descriptor)
    finally:
        os.close(descriptor)
    if number in syscalls.NO_SUCH_CALL:
        os.sync()  # all filesystems
    elif number:
        raise OSError(number, os.strerror(number), path)


def _syncfs(descriptor: int) -> int:
    """Flush the filesystem of an open directory; return 0, or the error's number."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        return ctypes.get_errno() if libc.syncfs(descriptor) else 0
    else:  # noqa: RET505 (mypy takes what follows a platform's return for unreachable)
        return errno.ENOSYS


def free_bytes(path: str) -> int:
    """Return how much the caller may still write to the filesystem that holds a path."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize
