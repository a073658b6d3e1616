"""The numbers of deployments: taken one by one, and given back by builds that did not end well.

Whoever takes a number, or removes what was left unfinished, holds one lock for
that moment; whoever builds holds the lock of its number until it has ended,
however it ends. So a build whose lock is there and free was interrupted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from os import path as paths

from tierctl import control, history, tiers
from tierctl.deploy import tree
from tierctl.errors import Locked, LocksUnsupported
from tierctl.filesystem import FileSystem, LockTimeout, LockUnavailable, exists
from tierctl.layout import DEPLOYMENTS, Layout, is_deployment_number


@contextmanager
def reserved(fs: FileSystem, layout: Layout, *, lock_timeout: float) -> Iterator[int]:
    """Have the next number and an empty directory of that name.

    What is in there afterwards stays if it was finished, and is removed
    otherwise. Raises ``Locked`` or ``LocksUnsupported``.
    """
    with ExitStack() as held:
        with _numbers(fs, layout, lock_timeout):
            _remove_unfinished(fs, layout)
            number = _next(fs, layout)
            held.enter_context(fs.lock(layout.building(number), timeout=0))
            _make_directory(fs, layout, layout.within(f"{DEPLOYMENTS}/{number}"))
        try:
            yield number
        finally:
            _end(fs, layout, number)


def remove_unfinished(fs: FileSystem, layout: Layout, *, lock_timeout: float) -> list[int]:
    """Remove what interrupted builds left, and return the numbers."""
    with _numbers(fs, layout, lock_timeout):
        return _remove_unfinished(fs, layout)


def abandoned(fs: FileSystem, layout: Layout) -> list[int]:
    """Return the numbers of builds that were interrupted, by what they hold a lock on.

    A deployment that somebody made by hand, without a record, is none of them.
    """
    mark = paths.basename(layout.building(0)).removesuffix("0")
    names = fs.names(layout.control) if exists(fs, layout.control) else []
    begun = (name.removeprefix(mark) for name in names if name.startswith(mark))
    numbers = sorted(int(number) for number in begun if is_deployment_number(number))
    return [number for number in numbers if _is_abandoned(fs, layout, number)]


def _is_abandoned(fs: FileSystem, layout: Layout, number: int) -> bool:
    try:
        return not fs.is_locked(layout.building(number))
    except (FileNotFoundError, PermissionError):  # it has just ended; it is another user's
        return False


def _remove_unfinished(fs: FileSystem, layout: Layout) -> list[int]:
    left = abandoned(fs, layout)
    for number in left:
        _end(fs, layout, number)
    return left


def _end(fs: FileSystem, layout: Layout, number: int) -> None:
    directory = f"{DEPLOYMENTS}/{number}"
    if not exists(fs, layout.deployment_record(directory)):
        tree.remove(layout.within(directory))
    _forget(fs, layout, number)


def _forget(fs: FileSystem, layout: Layout, number: int) -> None:
    with suppress(FileNotFoundError):
        fs.remove(layout.building(number))


def _next(fs: FileSystem, layout: Layout) -> int:
    _make_directory(fs, layout, layout.deployments)
    taken = [
        *tiers.deployments(fs, layout, finished=True),
        *tiers.deployments(fs, layout, finished=False),
        *_in_history(fs, layout),
    ]
    return max(taken, default=0) + 1


def _in_history(fs: FileSystem, layout: Layout) -> Iterator[int]:
    """Yield the numbers that the newest event knows: one that was removed is not used again."""
    newest = history.newest(fs, layout)
    if newest is not None:
        contents = (newest.after.blue, newest.after.green, *newest.past.trail)
        yield from (c.deployment for c in contents if c.deployment is not None)
        yield from newest.past.rolled_back


def _make_directory(fs: FileSystem, layout: Layout, path: str) -> None:
    """Make a directory that is shared as ``.tierctl`` is; one that is there stays as it is."""
    parent = fs.entry(layout.control)
    shared = parent.group_writes
    with suppress(FileExistsError):
        fs.make_directory(
            path,
            control.directory_mode(shared=shared),
            group=parent.gid if shared else None,
            owner=parent.uid if os.geteuid() == 0 else None,
        )


@contextmanager
def _numbers(fs: FileSystem, layout: Layout, timeout: float) -> Iterator[None]:
    control.require_writable(fs, layout)
    control.ensure(fs, layout)
    try:
        with fs.lock(layout.numbers, timeout=timeout):
            yield
    except LockTimeout as error:
        raise Locked("somebody who removes deployments", timeout) from error
    except LockUnavailable as error:
        raise LocksUnsupported(layout.numbers, error.strerror or str(error)) from error
