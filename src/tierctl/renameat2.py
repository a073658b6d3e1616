"""Swapping two names in one step: the system call that Python has no name for.

Linux: ``renameat2(2)`` with RENAME_EXCHANGE, in glibc since 2.28, before that
by its number. macOS: ``renameatx_np(2)`` with RENAME_SWAP (untested).
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from functools import cache

_RENAME_EXCHANGE = 2
_RENAME_SWAP = 2
_AT_FDCWD = -2 if sys.platform == "darwin" else -100
# include/uapi/asm-generic/unistd.h and arch/x86/entry/syscalls/syscall_64.tbl of Linux
_SYSCALL_NUMBER = {"x86_64": 316, "aarch64": 276, "riscv64": 276, "ppc64le": 357, "s390x": 347}


def exchange(
    first: bytes, second: bytes, *, of: int | None = None, of_second: int | None = None
) -> int:
    """Swap two names; return 0, or the error's number (ENOSYS where there is no such call).

    ``of`` and ``of_second`` are descriptors of the directories that they are
    in, where they are names alone.
    """
    call = _system_call()
    if call is None:
        return errno.ENOSYS
    ctypes.set_errno(0)
    directories = [_AT_FDCWD if each is None else each for each in (of, of_second)]
    return 0 if call(directories[0], first, directories[1], second) == 0 else ctypes.get_errno()


# Takes a directory and a name in it, and those of the other.
_Call = Callable[[int, bytes, int, bytes], int]


@cache
def _system_call() -> _Call | None:
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        return lambda *names: int(libc.renameatx_np(*names, _RENAME_SWAP))
    else:  # noqa: RET505 (mypy takes what follows a platform's return for unreachable)
        return _renameat2(libc)


def _renameat2(libc: ctypes.CDLL) -> _Call | None:
    if hasattr(libc, "renameat2"):
        return lambda *names: int(libc.renameat2(*names, _RENAME_EXCHANGE))
    number = _SYSCALL_NUMBER.get(os.uname().machine)
    if number is None:
        return None
    return lambda *names: int(libc.syscall(number, *names, _RENAME_EXCHANGE))
