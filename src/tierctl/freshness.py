"""A target as its server has it now, whatever a network filesystem's cache on this host says."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack, suppress
from os import path as paths

from tierctl.filesystem import FileSystem, exists
from tierctl.layout import LINKS, PRIVATE, Layout

# A target made by hand has neither records nor deployments at first.
_MAY_BE_MISSING = (FileNotFoundError, NotADirectoryError)


def lock(
    fs: FileSystem, layout: Layout, path: str, *, timeout: float, private: Iterable[str] = ()
) -> AbstractContextManager[object]:
    """Take the lock of a target's links and records, then refresh them; return what holds it.

    Whatever is read from here on is what the server has, and nobody who takes
    the same lock changes it. Raises as ``FileSystem.lock`` does.
    """
    with ExitStack() as held:
        held.enter_context(fs.lock(path, timeout=timeout))
        refresh(fs, layout, private)
        return held.pop_all()


def refresh(fs: FileSystem, layout: Layout, private: Iterable[str] = ()) -> None:
    """Have the links and the records read from the server from here on; raises ``OSError``.

    For who holds their lock. ``private`` names the private tiers that matter.
    """
    fs.refresh(layout.infrastructure, write=True, names=(*LINKS, *private))
    with suppress(*_MAY_BE_MISSING):
        fs.refresh(layout.control, write=True, names=(paths.basename(layout.intent),))
    if exists(fs, layout.intent):  # that change may have moved a directory to the deployments
        with suppress(*_MAY_BE_MISSING):
            fs.refresh(layout.deployments, write=True)


def refresh_private(fs: FileSystem, layout: Layout) -> None:
    """Have all private tiers read from the server by their names, for who holds the links' lock.

    After ``refresh``, which has the names themselves read. Raises ``OSError``.
    """
    private = [name for name in fs.names(layout.infrastructure) if name.startswith(PRIVATE)]
    fs.refresh(layout.infrastructure, write=True, names=private)


def refresh_by_reading(fs: FileSystem, layout: Layout) -> None:
    """Have links, records and deployments read from the server as far as reading alone can.

    For commands that take no lock. A change may be missed that another host made
    within a few milliseconds of the last one that this host has seen.
    """
    for path in (layout.infrastructure, layout.control, layout.deployments):
        with suppress(OSError):  # what is read next tells why it cannot be read
            fs.refresh(path)
