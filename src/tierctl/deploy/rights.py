"""What everyone may do with the files of a deployment: read them, and run what their owner may."""

from __future__ import annotations

import stat
from functools import cache

_READ = 0o444
_READ_AND_RUN = 0o555


@cache
def sealed(mode: int) -> int:
    """Return the rights to a finished deployment's file that came with a mode.

    Nobody can write it, whatever its package, the umask or an ACL said: of an
    ACL the rights of the group are the most that it can give to anybody.
    """
    return _READ_AND_RUN if mode & stat.S_IXUSR else _READ
