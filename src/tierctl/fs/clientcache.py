"""This host's cache of a network filesystem: what it takes to have the server asked instead.

Measured on Linux 6.1 with NFS v3 and v4.2 (``tests/nfs``): the names of a
directory are answered from the cache until the server says that the directory's
time, or on v4 its change attribute, is another one. The time moves in steps of
the server's clock tick, so two changes within one tick look like one. A listing
that follows a change of one's own comes from the server in any case, and brings
what the server knows of each name.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from tierctl.fs import syscalls
from tierctl.fs.mounts import Mount

# The caller is not allowed to write the directory, or nobody is, or there is no room for it:
# a filesystem that writes nothing in place needs some for a time as well.
_CANNOT_WRITE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
_OLD_CACHE = "This host's cache does not show what the server has"


def refresh(
    directory: int, mount: Mount, names: Sequence[str] = (), *, write: bool, is_new: bool
) -> None:
    """Have the server answer what is asked of a directory, of what is listed there, and of names.

    ``directory`` is a descriptor; ``is_new`` says that it has just been opened.
    With ``write`` the directory's time of modification is set, if it can be.
    ``names`` are those that nobody changes meanwhile. Raises ``OSError``.
    """
    written = write and _set_time(directory)
    if not written and (mount.opens_from_cache or not is_new):
        syscalls.ask_server(directory)
    with _to_list(directory, mount) as listing:
        with os.scandir(listing) as entries:
            listed = list(entries)
        for entry in listed:
            if not written:
                if entry.is_symlink():  # asks by the descriptor, if the listing does not tell
                    _ask(directory, entry.name)
                continue
            if not mount.lists_objects:
                _ask(directory, entry.name)
            if entry.name in names:  # of the others somebody may change one at any moment
                # Elsewhere than on NFS a listing may tell inode numbers of its own.
                _require_as_listed(directory, entry.name, entry.inode() if mount.is_nfs else None)
    if written:
        for name in {*names}.difference(entry.name for entry in listed):
            _require_missing(directory, name)


@contextmanager
def _to_list(directory: int, mount: Mount) -> Iterator[int]:
    """Open a directory again to list it, where a descriptor does not give a second listing.

    sshfs answers the second one with no names at all, and then believes that itself.
    """
    if mount.is_nfs:
        yield directory
        return
    listing = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        yield listing
    finally:
        os.close(listing)


def _set_time(directory: int) -> bool:
    """Set a directory's time of modification to now; say whether that can be done."""
    try:
        os.utime(directory)
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
        return False
    return True


def _ask(directory: int, name: str) -> None:
    """Ask the server for a name, which may have been removed since it was listed."""
    with suppress(FileNotFoundError):
        syscalls.ask_server(directory, name)


def _require_missing(directory: int, name: str) -> None:
    """Raise ``OSError`` (ESTALE) if the cache keeps a name that the server has not listed.

    The server does not know an object that has lost its last name: who asks for
    that is told so, and looks the name up again.
    """
    with suppress(FileNotFoundError):
        os.stat(name, dir_fd=directory, follow_symlinks=False)
        syscalls.ask_server(directory, name)
        raise OSError(errno.ESTALE, _OLD_CACHE, name)


def _require_as_listed(directory: int, name: str, inode: int | None) -> None:
    """Have the cache agree with what the server has just listed.

    If the cache says that there is no such name, the server is asked to make a
    directory of that name: it refuses, and the cache forgets what it had. Raises
    ``OSError`` (ESTALE) for what is another object than the listed one. Where
    something is mounted, the listing tells of what that hides.
    """
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=directory)
            os.rmdir(name, dir_fd=directory)  # it was removed since it was listed
        return
    is_mounted = found.st_dev != os.fstat(directory).st_dev
    if not is_mounted and inode not in (None, found.st_ino):
        raise OSError(errno.ESTALE, _OLD_CACHE, name)
