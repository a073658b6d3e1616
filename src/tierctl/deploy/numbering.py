"""The numbers of deployments: taken one by one, and given back by builds that did not end well.

Whoever takes a number, or removes what was left unfinished, holds one lock for
that moment; whoever builds holds the lock of its number until it has ended,
however it ends. So a build whose lock is there and free was interrupted.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import ExitStack, contextmanager, suppress
from os import path as paths
from typing import NamedTuple

from tierctl import control, history
from tierctl.author import user_name
from tierctl.deploy import tree
from tierctl.errors import Locked, LocksUnsupported
from tierctl.filesystem import FileSystem, Kind, LockTimeout, LockUnavailable, exists, read
from tierctl.layout import (
    DEPLOYMENTS,
    REPODATA,
    WHEELS,
    Layout,
    is_deployment_number,
    temporary,
)
from tierctl.rotation import Color


class Reserved(NamedTuple):
    """The number of a build, and one for a color's plain directory that may give way to it."""

    number: int
    spare: int | None


@contextmanager
def reserved(
    fs: FileSystem, layout: Layout, *, lock_timeout: float, spare: bool = False
) -> Iterator[Reserved]:
    """Have the next number and an empty directory of that name.

    With ``spare`` also one before it, if a color is still a plain directory.
    What is in there afterwards stays if it was finished, and is removed
    otherwise. Raises ``Locked`` or ``LocksUnsupported``.
    """
    with ExitStack() as stack:
        with held(fs, layout, lock_timeout):
            number = _next(fs, layout)
            kept = number if spare and _any_plain_color(fs, layout) else None
            number += kept is not None
            stack.enter_context(fs.lock(layout.building(number), timeout=0))
            control.make_own_directory(fs, layout, _directory(layout, number))
        try:
            yield Reserved(number, kept)
        finally:
            with suppress(OSError):  # the next deploy removes it: this one has ended as it has
                _end(fs, layout, number)


def remove_unfinished(fs: FileSystem, layout: Layout, *, lock_timeout: float) -> list[int]:
    """Remove what the caller's interrupted builds left, as root everybody's; return the numbers.

    They lose their names under the lock. That is released before they are taken
    apart, which takes long: prune goes on where that is interrupted.
    """
    with held(fs, layout, lock_timeout):
        left = retire_unfinished(fs, layout)
    for going in left.values():
        tree.remove_retired(going)
    return list(left)


def retire_unfinished(fs: FileSystem, layout: Layout) -> dict[int, list[str]]:
    """Take the names from what the caller's interrupted builds left; return what goes, by number.

    For who holds the lock.
    """
    left = {}
    for number in abandoned(fs, layout):
        if owner(fs, layout, number) is None:
            finished = _was_finished(fs, layout, number)
            left[number] = [] if finished else tree.retire_all(_directory(layout, number))
            _forget(fs, layout, number)
    return left


def abandoned(fs: FileSystem, layout: Layout) -> list[int]:
    """Return the numbers of builds that were interrupted, by what they hold a lock on.

    A deployment that somebody made by hand, without a record, is none of them.
    """
    return [number for number in begun(fs, layout) if _is_abandoned(fs, layout, number)]


def under_way(fs: FileSystem, layout: Layout) -> list[int]:
    """Return the numbers of builds that have not ended, as far as the caller can tell."""
    interrupted = abandoned(fs, layout)
    return [number for number in begun(fs, layout) if number not in interrupted]


def owner(fs: FileSystem, layout: Layout, number: int) -> str | None:
    """Return whose build it is that only they and root can remove; None if the caller can."""
    path = layout.building(number)  # whoever builds has made it
    return None if tree.is_own(path) else user_name(fs.entry(path).uid)


def begun(fs: FileSystem, layout: Layout) -> list[int]:
    """Return the numbers of builds that are under way, or were interrupted."""
    mark = paths.basename(layout.building(0)).removesuffix("0")
    names = fs.names(layout.control) if exists(fs, layout.control) else []
    numbers = (name.removeprefix(mark) for name in names if name.startswith(mark))
    return sorted(int(number) for number in numbers if is_deployment_number(number))


def _is_abandoned(fs: FileSystem, layout: Layout, number: int) -> bool:
    try:
        return not fs.is_locked(layout.building(number))
    except FileNotFoundError:  # it has just ended
        return False
    except PermissionError:
        if tree.is_own(layout.building(number)):
            raise
        return False


def _end(fs: FileSystem, layout: Layout, number: int) -> None:
    if not _was_finished(fs, layout, number):
        tree.remove(_directory(layout, number))
    _forget(fs, layout, number)


def _was_finished(fs: FileSystem, layout: Layout, number: int) -> bool:
    """Say whether a build that has ended has written its record, as the server has it."""
    written = layout.deployment_record(f"{DEPLOYMENTS}/{number}")
    with suppress(FileNotFoundError, NotADirectoryError):  # nothing of it was built
        fs.refresh(paths.dirname(written), write=True, names=(paths.basename(written),))
    return exists(fs, written)


def _directory(layout: Layout, number: int) -> str:
    return layout.within(f"{DEPLOYMENTS}/{number}")


def _forget(fs: FileSystem, layout: Layout, number: int) -> None:
    with suppress(FileNotFoundError):
        fs.remove(layout.building(number))


def _next(fs: FileSystem, layout: Layout) -> int:
    control.make_shared_directory(fs, layout, layout.deployments)
    return _highest(fs, layout) + 1


def _any_plain_color(fs: FileSystem, layout: Layout) -> bool:
    """Say whether the switch may have to keep a plain directory: as what came before the build."""
    colors = [layout.within(color) for color in Color]
    return any(exists(fs, path) and fs.entry(path).kind is Kind.DIRECTORY for path in colors)


def remember(fs: FileSystem, layout: Layout, going: Container[int]) -> None:
    """Note the highest number, before deployments are removed: none is ever given again.

    One that stays needs no note, nor the room for it: a prune may be what makes room.
    """
    highest = _highest(fs, layout)
    stays = highest in _there(fs, layout) and highest not in going
    if not stays and highest != _remembered(fs, layout):
        fs.write(temporary(layout.highest), b"%d\n" % highest)
        fs.rename(temporary(layout.highest), layout.highest)
        fs.sync(layout.control)


def _highest(fs: FileSystem, layout: Layout) -> int:
    there = _there(fs, layout)
    return max((*there, _remembered(fs, layout), *_in_history(fs, layout)))


def _there(fs: FileSystem, layout: Layout) -> list[int]:
    names = fs.names(layout.deployments) if exists(fs, layout.deployments) else []
    return list(map(int, filter(is_deployment_number, names)))


def _remembered(fs: FileSystem, layout: Layout) -> int:
    """Return the number that was noted, 0 where none was."""
    try:
        text = read(fs, layout.highest).decode().strip()
    except (FileNotFoundError, ValueError):
        return 0
    return int(text) if is_deployment_number(text) else 0


def _in_history(fs: FileSystem, layout: Layout) -> Iterator[int]:
    """Yield the numbers that the newest event knows: somebody may have removed one by hand."""
    newest = history.newest(fs, layout)
    if newest is not None:
        yield from newest.deployments
        yield from filter(None, (content.deployment for content in newest.past.trail))
        yield from newest.past.rolled_back


def directories(layout: Layout) -> tuple[str, ...]:
    """Return where builds and packages are kept, which no link may lead out of the target."""
    kept = (f"{layout.cache}/{name}" for name in (REPODATA, WHEELS))
    return layout.deployments, layout.cache, *kept


def require_writable(fs: FileSystem, layout: Layout) -> None:
    """Raise as ``control.require_writable``, and ``Untrusted`` where builds would end up elsewhere.

    A link in the place of these directories would have removed what is behind it.
    """
    control.require_writable(fs, layout)
    for path in directories(layout):
        control.require_directory(fs, path)


@contextmanager
def held(fs: FileSystem, layout: Layout, timeout: float) -> Iterator[None]:
    """Have nobody else take a number, or remove what was built; as ``locking.locked`` does."""
    require_writable(fs, layout)
    control.ensure(fs, layout)
    try:
        lock = fs.lock(layout.numbers, timeout=timeout)
    except LockTimeout as error:
        raise Locked("somebody who takes a number or removes deployments", timeout) from error
    except LockUnavailable as error:
        raise LocksUnsupported(layout.numbers, error.strerror or str(error)) from error
    with lock:
        fs.refresh(layout.infrastructure)  # the links another lock protects
        for path in (layout.control, layout.deployments):
            with suppress(FileNotFoundError):  # there is no deployment yet
                fs.refresh(path, write=True)
        yield
