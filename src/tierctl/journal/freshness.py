"""A target as its server has it now, whatever a network filesystem's cache on this host says."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack, suppress
from os import path as paths

from tierctl.fs.protocol import exists
from tierctl.rotation.names import LINKS, PRIVATE
from tierctl.target.target import Target

# A target made by hand has neither records nor deployments at first.
_MAY_BE_MISSING = (FileNotFoundError, NotADirectoryError)


def lock(
    target: Target, path: str, *, timeout: float, private: Iterable[str] = ()
) -> AbstractContextManager[object]:
    """Take the lock of a target's links and records, then refresh them; return what holds it.

    Whatever is read from here on is what the server has, and nobody who takes
    the same lock changes it. Raises as ``FileSystem.lock`` does.
    """
    with ExitStack() as held:
        held.enter_context(target.fs.lock(path, timeout=timeout))
        refresh(target, private)
        return held.pop_all()


def refresh(target: Target, private: Iterable[str] = ()) -> None:
    """Have the links and the records read from the server from here on; raises ``OSError``.

    For who holds their lock. ``private`` names the private tiers that matter.
    """
    target.fs.refresh(target.infrastructure, write=True, names=(*LINKS, *private))
    with suppress(*_MAY_BE_MISSING):
        target.fs.refresh(target.control, write=True, names=(paths.basename(target.intent),))
    if exists(
        target.fs, target.intent
    ):  # that change may have moved a directory to the deployments
        with suppress(*_MAY_BE_MISSING):
            target.fs.refresh(target.deployments, write=True)


def refresh_private(target: Target) -> None:
    """Have all private tiers read from the server by their names, for who holds the links' lock.

    After ``refresh``, which has the names themselves read. Raises ``OSError``.
    """
    private = [name for name in target.fs.names(target.infrastructure) if name.startswith(PRIVATE)]
    target.fs.refresh(target.infrastructure, write=True, names=private)


def refresh_by_reading(target: Target) -> None:
    """Have links, records and deployments read from the server as far as reading alone can.

    For commands that take no lock. A change may be missed that another host made
    within a few milliseconds of the last one that this host has seen.
    """
    for path in (target.infrastructure, target.control, target.deployments):
        with suppress(OSError):  # what is read next tells why it cannot be read
            target.fs.refresh(path)
