"""Swapping two names in one step: the system call that Python has no name for.

Linux: ``renameat2(2)`` with RENAME_EXCHANGE, in glibc since 2.28, before that
by its number. macOS: ``renamex_np(2)`` with RENAME_SWAP (untested).
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
_AT_FDCWD = -100
# include/uapi/asm-generic/unistd.h and arch/x86/entry/syscalls/syscall_64.tbl of Linux
_SYSCALL_NUMBER = {"x86_64": 316, "aarch64": 276, "riscv64": 276, "ppc64le": 357, "s390x": 347}


def exchange(first: bytes, second: bytes) -> int:
    """Swap two names; return 0, or the error's number (ENOSYS where there is no such call)."""
    call = _system_call()
    if call is None:
        return errno.ENOSYS
    ctypes.set_errno(0)
    return 0 if call(first, second) == 0 else ctypes.get_errno()


@cache
def _system_call() -> Callable[[bytes, bytes], int] | None:
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        return lambda first, second: int(libc.renamex_np(first, second, _RENAME_SWAP))
    else:  # noqa: RET505 (mypy takes what follows a platform's return for unreachable)
        return _renameat2(libc)


def _renameat2(libc: ctypes.CDLL) -> Callable[[bytes, bytes], int] | None:
    if hasattr(libc, "renameat2"):
        return lambda first, second: int(
            libc.renameat2(_AT_FDCWD, first, _AT_FDCWD, second, _RENAME_EXCHANGE)
        )
    number = _SYSCALL_NUMBER.get(os.uname().machine)
    if number is None:
        return None
    return lambda first, second: int(
        libc.syscall(number, _AT_FDCWD, first, _AT_FDCWD, second, _RENAME_EXCHANGE)
    )
