"""What everyone may do with the files of a deployment: read them, and run what their owner may."""

from __future__ import annotations

import stat
from functools import cache

_EVERYONE_READS = 0o444
_EXECUTABLE = 0o111


@cache
def for_everyone(mode: int) -> int:
    """Return a file's mode with the rights that it lacks.

    Such a file may be linked to the package cache, so none is taken away.
    """
    return mode | _EVERYONE_READS | (_EXECUTABLE if mode & stat.S_IXUSR else 0)
