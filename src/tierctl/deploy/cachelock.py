"""The lock of the package cache: deploys share it, and who removes packages holds it alone.

So a package that a deploy has seen in the cache stays there until that deploy
has ended, however it ends, and what looks like a download under way while
nobody holds the lock was left by an interrupted one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from tierctl.errors import Locked, LocksUnsupported, cause_of
from tierctl.fs.protocol import LockTimeout, LockUnavailable
from tierctl.rotation.names import REPODATA, WHEELS
from tierctl.target.target import Target

_USED = "a deploy is using it"


@contextmanager
def shared(target: Target, timeout: float) -> Iterator[None]:
    """Use the cache; raises ``Locked`` if somebody removes packages for too long."""
    try:
        lock = target.fs.lock(target.using_cache, timeout=timeout, shared=True)
    except LockTimeout as error:
        raise Locked("somebody who removes packages from the cache", timeout) from error
    except LockUnavailable as error:
        raise LocksUnsupported(target.using_cache, error.strerror or str(error)) from error
    with lock:
        _refresh(target)
        yield


@contextmanager
def alone(target: Target) -> Iterator[str]:
    """Have no deploy use the cache; where that cannot be had, the context's value says why.

    Raises ``OSError`` where the cache cannot be read from the server.
    """
    with ExitStack() as held:
        try:
            held.enter_context(target.fs.lock(target.using_cache, timeout=0))
        except LockTimeout:
            reason = _USED
        except OSError as error:  # the lock cannot be made, as on a full disk
            reason = _unknown(error)
        else:
            reason = ""
            _refresh(target)
        yield reason


def why_kept(target: Target) -> str:
    """Say why nothing may be removed from the cache now, or nothing; takes no lock."""
    try:
        return _USED if target.fs.is_locked(target.using_cache) else ""
    except FileNotFoundError:
        return ""
    except OSError as error:
        return _unknown(error)


def _refresh(target: Target) -> None:
    """Have what the lock protects read from the server: another host may have changed it."""
    for path in (target.cache, *(f"{target.cache}/{name}" for name in (REPODATA, WHEELS))):
        with suppress(FileNotFoundError):  # nothing was fetched yet
            target.fs.refresh(path, write=True)


def _unknown(error: OSError) -> str:
    return f"whether a deploy is using it cannot be told: {cause_of(error)}"
