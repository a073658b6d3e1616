"""What everyone may do with the files of a deployment: what their owner may, but for writing."""

from __future__ import annotations

import os
import stat

_EVERYONE_READS = 0o444
_EXECUTABLE = 0o111


def open_to_readers(path: str, found: os.stat_result, directory: int | None = None) -> None:
    """Give everyone these rights to a file; ``found`` is its status.

    It may be linked to the package cache: its mode is changed only where
    somebody could not read it, never to take a right away.
    """
    mode = found.st_mode
    wanted = mode | _EVERYONE_READS | (_EXECUTABLE if mode & stat.S_IXUSR else 0)
    if wanted != mode and stat.S_ISREG(mode):
        os.chmod(path, stat.S_IMODE(wanted), dir_fd=directory)
