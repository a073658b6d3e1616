"""Keeping a process to the directories that it is to write in, whatever its paths lead to.

Linux's Landlock (``landlock(7)``) goes by the directories themselves and not
by their names: one that somebody puts in the place of another is none of them.
Where the kernel has none, or a version that cannot link from one directory to
another (before 5.19), or a container forbids these calls, nothing is kept anywhere.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Iterable

# include/uapi/linux/landlock.h; the numbers of the calls are the same on all machines that
# Python has wheels for.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1
_WRITE_FILE, _REMOVE_DIR, _REMOVE_FILE = 1 << 1, 1 << 4, 1 << 5
_MAKE = sum(1 << kind for kind in range(6, 13))
# What the second and the third version know besides.
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_OF_A_FILE = _WRITE_FILE | _TRUNCATE
_PR_SET_NO_NEW_PRIVS = 38
# The first that can link and rename from one directory to another (Linux 5.19).
LEAST_VERSION = 2
# Whoever asks a device what it is, as for a virtual package of conda, opens it for writing.
_DEVICES = "/dev"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def version() -> int:
    """Return the version of the kernel's Landlock: 0 without it, -1 if it was not started.

    That is so if ``lsm=`` on the kernel's command line does not name it.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        found: int = libc.syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)
        is_off = found < 0 and ctypes.get_errno() == errno.EOPNOTSUPP
        return -1 if is_off else max(found, 0)
    else:  # noqa: RET505 (as below)
        return 0


def confine(directories: Iterable[str]) -> bool:
    """Have this thread, and all that it starts, write in these directories and nowhere else.

    But to devices: those that its user may open.
    Rights, owners and times of files elsewhere can still be changed, and what
    is open already is written to. Says whether that is so; raises ``OSError``
    where one of them cannot be opened, as if it is a link.
    """
    if sys.platform == "linux":
        return _confine(directories)
    else:  # noqa: RET505 (mypy takes what follows a platform's return for unreachable)
        return False


def _confine(directories: Iterable[str]) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    there = version()
    if there < LEAST_VERSION:
        return False
    rights = _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE | _REFER
    rights |= _TRUNCATE if there > LEAST_VERSION else 0
    handled = struct.pack("Q", rights)
    rules = libc.syscall(_CREATE_RULESET, handled, len(handled), 0)
    if rules < 0:
        return False
    try:
        allowed = [_allow(libc, rules, directory, rights) for directory in directories]
        allowed.append(_allow(libc, rules, _DEVICES, rights & _OF_A_FILE))
        if not all(allowed):
            return False
        is_bound = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        return is_bound and bool(libc.syscall(_RESTRICT_SELF, rules, 0) == 0)
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, directory: str, rights: int) -> bool:
    opened = os.open(directory, _DIRECTORY)
    try:
        beneath = struct.pack("=Qi", rights, opened)
        return bool(libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, beneath, 0) == 0)
    finally:
        os.close(opened)
