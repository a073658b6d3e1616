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
import stat
from collections.abc import Iterable
from contextlib import suppress

from tierctl import syscalls
from tierctl.mounts import Mount

# The caller is not allowed to write the directory, or nobody is.
_CANNOT_WRITE = (errno.EACCES, errno.EPERM, errno.EROFS)


def renew(directory: int, mount: Mount, *, write: bool, is_new: bool) -> None:
    """Have the server answer what is asked of a directory and of the links in it.

    ``directory`` is a descriptor; ``is_new`` says that it has just been opened.
    With ``write`` the directory's time of modification is set, if the caller is
    allowed to. Raises ``OSError``.
    """
    written = write and _set_time(directory)
    if not written and (mount.opens_from_cache or not is_new):
        syscalls.ask_server(directory)
    with os.scandir(directory) as entries:
        listed = {entry.name: entry for entry in entries}
    for name, entry in listed.items():
        if not written and entry.is_symlink():
            with suppress(FileNotFoundError):  # it has just been removed
                syscalls.ask_server(directory, name)
        elif written and not mount.lists_objects:
            _ask_for_listed(directory, name)
    if written and mount.is_nfs:  # elsewhere a listing may tell other numbers
        _require_as_listed(directory, listed.values())


def _set_time(directory: int) -> bool:
    """Set a directory's time of modification to now; say whether the caller is allowed to."""
    try:
        os.utime(directory)
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
        return False
    return True


def _ask_for_listed(directory: int, name: str) -> None:
    """Ask the server for a name that it has listed, whatever the cache says of that.

    If the cache says that there is no such name, a directory of that name is
    asked for: the server refuses, and the cache forgets what it had.
    """
    try:
        syscalls.ask_server(directory, name)
    except FileNotFoundError:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=directory)
            os.rmdir(name, dir_fd=directory)  # it was removed since it was listed


def _require_as_listed(directory: int, listed: Iterable[os.DirEntry[str]]) -> None:
    """Raise ``OSError`` (ESTALE) for a link that is another object than the server has listed."""
    for entry in listed:
        with suppress(FileNotFoundError):
            found = os.stat(entry.name, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode) and found.st_ino != entry.inode():
                cause = "This host's cache is older than the server's"
                raise OSError(errno.ESTALE, cause, entry.name)
