"""The lock of the package cache: deploys share it, and who removes packages holds it alone.

So a package that a deploy has seen in the cache stays there until that deploy
has ended, however it ends, and what looks like a download under way while
nobody holds the lock was left by an interrupted one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tierctl.errors import Locked, LocksUnsupported
from tierctl.filesystem import FileSystem, LockTimeout, LockUnavailable
from tierctl.layout import Layout


@contextmanager
def shared(fs: FileSystem, layout: Layout, timeout: float) -> Iterator[None]:
    """Use the cache; raises ``Locked`` if somebody removes packages for too long."""
    try:
        lock = fs.lock(layout.using_cache, timeout=timeout, shared=True)
    except LockTimeout as error:
        raise Locked("somebody who removes packages from the cache", timeout) from error
    except LockUnavailable as error:
        raise LocksUnsupported(layout.using_cache, error.strerror or str(error)) from error
    with lock:
        yield


@contextmanager
def alone(fs: FileSystem, layout: Layout) -> Iterator[bool]:
    """Have no deploy use the cache, if none does; the context's value says whether that is so."""
    with ExitStack() as held:
        try:
            held.enter_context(fs.lock(layout.using_cache, timeout=0))
        except OSError:  # in use; or the lock cannot be made, as on a full disk
            yield False
        else:
            yield True


def is_used(fs: FileSystem, layout: Layout) -> bool:
    """Say whether a deploy uses the cache, or nobody can tell."""
    try:
        return fs.is_locked(layout.using_cache)
    except FileNotFoundError:
        return False
    except OSError:
        return True
