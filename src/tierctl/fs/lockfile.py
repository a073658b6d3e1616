"""A lock on an open file, exclusive or shared, waited for with a time limit.

Linux: an open-file-description lock. It excludes other processes' POSIX locks
(NFS clients' locks arrive at the server as those), survives closing another
descriptor of the same file, and is gone with the descriptor. Elsewhere:
``flock(2)``.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
import time

_FLOCK = "hhqqi0q"  # struct flock: type, whence, start, length, pid
_WHOLE_FILE, _SHARED = (
    struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0) for kind in (fcntl.F_WRLCK, fcntl.F_RDLCK)
)
_LONGEST_PAUSE = 0.1
_BUSY = frozenset({errno.EAGAIN, errno.EACCES})


def acquire(fd: int, timeout: float, *, shared: bool = False) -> bool:
    """Take the lock, waiting at most ``timeout`` seconds for it; say whether that worked.

    Those who take it ``shared`` keep out nobody but who wants it alone.
    """
    deadline = time.monotonic() + timeout
    pause = 0.002
    while not _try(fd, shared=shared):
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(pause, left))
        pause = min(pause * 2, _LONGEST_PAUSE)
    return True


def is_free(fd: int) -> bool:
    """Say whether nobody else holds the lock; elsewhere than on Linux this takes it."""
    if sys.platform == "linux":
        # A question only: whoever wants the lock right now does not find it taken.
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _WHOLE_FILE)
        kind: int = struct.unpack(_FLOCK, answer)[0]
        return kind == fcntl.F_UNLCK
    else:  # noqa: RET505 (mypy takes what follows a platform's return for unreachable)
        return _try(fd)


def _try(fd: int, *, shared: bool = False) -> bool:
    try:
        if sys.platform == "linux":
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _SHARED if shared else _WHOLE_FILE)
        else:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _BUSY:
            raise
        return False
    return True
