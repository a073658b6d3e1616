"""What is noted of a package beside it in the cache, and the lock of whoever adds to the cache.

The engine notes the sha256 of the archive in ``NAME.lock``: a number of eight
bytes, then the digest. Behind that stands our note, the digest of what the
package says of its members. When the engine fetches a package anew it cuts the
file off after its own digest. So our note is missing from what the engine has
fetched by itself, and wrong if the list of a package was changed.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from os import path as paths
from typing import NamedTuple

from tierctl.fs import tree

_NUMBER_BYTES, _DIGEST_BYTES = 8, 32
_OURS_AT = _NUMBER_BYTES + _DIGEST_BYTES
_TO_CHANGE = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_LOCK = ".cache.lock"  # the engine's


class Note(NamedTuple):
    """The sha256 of a package's archive, and of what it says of itself; empty if not noted."""

    archive: bytes
    contents: bytes


def read(place: str) -> Note:
    """Return what is noted of the package at a place in the cache.

    Raises ``ValueError`` if nothing is noted, and ``OSError``, also if the caller may not change
    it: the engine does not work then.
    """
    with open(os.open(_file(place), _TO_CHANGE), "rb") as file:
        noted = file.read()
    if not noted:
        raise ValueError("it is not noted what it was fetched from")
    return Note(noted[_NUMBER_BYTES:_OURS_AT], noted[_OURS_AT:])


def add(place: str, contents: bytes) -> None:
    """Note the digest of what a package says of itself, behind that of its archive."""
    file = os.open(_file(place), _TO_CHANGE)
    try:
        os.pwrite(file, contents, _OURS_AT)
    finally:
        os.close(file)


def is_whole(place: str) -> bool:
    """Say whether both digests are noted, without reading them."""
    try:
        return os.stat(_file(place)).st_size > _OURS_AT
    except FileNotFoundError:
        return False


def clear(place: str) -> None:
    """Note nothing any more, in a file that the engine can write to, whoever runs it."""
    tree.take_apart(_file(place))
    os.close(_open_shared(_file(place)))


@asynccontextmanager
async def locked(cache: str) -> AsyncIterator[None]:
    """Keep all others from adding to the cache, the engines of other deploys too.

    Whoever can open the lock, if only to read, can hold it for ever. So that is
    only who can add to the cache.
    """
    tree.make_shared(cache)
    mode = 0o660 if os.stat(cache).st_mode & stat.S_IWGRP else 0o600
    lock = _open_shared(f"{cache}/{_LOCK}", mode)
    try:
        found = os.fstat(lock)
        if found.st_mode & 0o777 & ~mode and found.st_uid == os.geteuid():  # an earlier version's
            os.fchmod(lock, mode)
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _open_shared(path: str, mode: int = 0o666) -> int:
    """Open a file of the cache, made if missing, that whoever may add to the cache can open."""
    file = os.open(path, _TO_CHANGE | os.O_CREAT, mode)
    directory = os.stat(paths.dirname(path))
    if os.fstat(file).st_gid != directory.st_gid:  # the directory does not hand its group on
        with suppress(OSError):  # another's file; or nobody shares the directory
            os.fchown(file, -1, directory.st_gid)
    return file


def _file(place: str) -> str:
    return f"{place}.lock"
