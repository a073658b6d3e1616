"""System calls that Python has no name for.

Linux: ``renameat2(2)`` with RENAME_EXCHANGE, and ``statx(2)`` with
AT_STATX_FORCE_SYNC; both are in glibc since 2.28, before that called by their
numbers; ``ioctl(2)`` with FS_IOC_GETFLAGS. macOS: ``renameatx_np(2)`` with RENAME_SWAP (untested).
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
_RENAMEAT2 = {"x86_64": 316, "aarch64": 276, "riscv64": 276, "ppc64le": 357, "s390x": 347}
_STATX = {"x86_64": 332, "aarch64": 291, "riscv64": 291, "ppc64le": 383, "s390x": 379}
# include/uapi/linux/fcntl.h and include/uapi/linux/stat.h of Linux
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_EMPTY_PATH = 0x1000
_AT_STATX_FORCE_SYNC = 0x2000
_STATX_BASIC_STATS = 0x7FF
_STATX_BYTES = 256
# include/uapi/linux/fs.h and include/uapi/asm-generic/ioctl.h of Linux; powerpc has its own.
_GET_FLAGS = 0x40086601 if os.uname().machine.startswith("ppc") else 0x80086601
_IMMUTABLE = 0x10
# The kernel has no such call; or a container's seccomp filter, which is older than it, forbids it.
NO_SUCH_CALL = (errno.ENOSYS, errno.EPERM, errno.EACCES)


def exchange(
    first: bytes, second: bytes, *, of: int | None = None, of_second: int | None = None
) -> int:
    """Swap two names; return 0, or the error's number (ENOSYS where there is no such call).

    ``of`` and ``of_second`` are descriptors of the directories that they are
    in, where they are names alone.
    """
    call = _exchange()
    if call is None:
        return errno.ENOSYS
    ctypes.set_errno(0)
    directories = [_AT_FDCWD if each is None else each for each in (of, of_second)]
    return 0 if call(directories[0], first, directories[1], second) == 0 else ctypes.get_errno()


def can_exchange() -> bool:
    """Say whether this process may ask for an exchange at all: a seccomp filter can forbid it.

    The kernel finds nothing of an empty name, on no filesystem; a filter answers
    before the kernel looks. Nothing is moved.
    """
    return exchange(b"", b"") == errno.ENOENT


def ask_server(directory: int, name: str = "") -> None:
    """Have the kernel ask a network filesystem's server for what it knows of a name.

    ``directory`` is a descriptor; without a name the directory itself is meant.
    What the kernel hears replaces what it has in its cache. A symlink is not
    followed. Does nothing where there is no such call. Raises ``OSError``.
    """
    call = _statx()
    if call is None:
        return
    ctypes.set_errno(0)
    if call(directory, os.fsencode(name)) != 0:
        number = ctypes.get_errno()
        if number not in NO_SUCH_CALL:
            raise OSError(number, os.strerror(number), name)


def is_immutable(path: str) -> bool:
    """Say whether nobody may change a file or a directory, not even root (``chattr +i``)."""
    import fcntl

    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        flags = fcntl.ioctl(fd, _GET_FLAGS, bytes(8))
    except OSError:  # a filesystem, or a system, that has no such thing
        return False
    finally:
        os.close(fd)
    return bool(int.from_bytes(flags[:4], sys.byteorder) & _IMMUTABLE)


def why_not_moved(directory: str, occupied: str) -> int:
    """Return the number of the error with which a directory could not be moved; 0 if it could.

    ``occupied`` is a directory that holds something. The kernel puts nothing in the place of one,
    so nothing is moved; but it says first whether what was to be moved can be.
    """
    try:
        os.rename(directory, occupied)
    except OSError as error:
        return 0 if error.errno in (errno.ENOTEMPTY, errno.EEXIST) else error.errno or 0
    return 0


# Takes a directory and a name in it, and those of the other.
_Exchange = Callable[[int, bytes, int, bytes], int]
# Takes a directory and a name in it.
_Ask = Callable[[int, bytes], int]


@cache
def _exchange() -> _Exchange | None:
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        return lambda *names: int(libc.renameatx_np(*names, _RENAME_SWAP))
    else:  # noqa: RET505 (mypy takes what follows a platform's return for unreachable)
        call = _call(libc, "renameat2", _RENAMEAT2)
        return None if call is None else lambda *names: call(*names, _RENAME_EXCHANGE)


@cache
def _statx() -> _Ask | None:
    call = _call(ctypes.CDLL(None, use_errno=True), "statx", _STATX)
    if call is None:
        return None
    flags = _AT_STATX_FORCE_SYNC | _AT_SYMLINK_NOFOLLOW | _AT_EMPTY_PATH
    found = ctypes.create_string_buffer(_STATX_BYTES)
    return lambda directory, name: call(directory, name, flags, _STATX_BASIC_STATS, found)


def _call(libc: ctypes.CDLL, name: str, numbers: dict[str, int]) -> Callable[..., int] | None:
    """Return a system call by its name or, in an old glibc, by its number; None without it."""
    if hasattr(libc, name):
        named: Callable[..., int] = getattr(libc, name)
        return named
    number = numbers.get(os.uname().machine)
    if number is None:
        return None
    return lambda *arguments: int(libc.syscall(number, *arguments))
