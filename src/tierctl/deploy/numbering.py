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

from tierctl.errors import Locked, LocksUnsupported
from tierctl.fs import tree
from tierctl.fs.protocol import Kind, LockTimeout, LockUnavailable, exists, read
from tierctl.journal import history, store
from tierctl.rotation.names import DEPLOYMENTS, REPODATA, WHEELS, is_deployment_number
from tierctl.rotation.state import Color
from tierctl.target.paths import Layout, temporary
from tierctl.target.target import Target
from tierctl.target.users import user_name


class Reserved(NamedTuple):
    """The number of a build, and one for a color's plain directory that may give way to it."""

    number: int
    spare: int | None


@contextmanager
def reserved(target: Target, *, lock_timeout: float, spare: bool = False) -> Iterator[Reserved]:
    """Have the next number and an empty directory of that name.

    With ``spare`` also one before it, if a color is still a plain directory.
    What is in there afterwards stays if it was finished, and is removed
    otherwise. Raises ``Locked`` or ``LocksUnsupported``.
    """
    with ExitStack() as stack:
        with held(target, lock_timeout):
            number = _next(target)
            kept = number if spare and _any_plain_color(target) else None
            number += kept is not None
            stack.enter_context(target.fs.lock(target.building(number), timeout=0))
            store.make_own_directory(target, _directory(target, number))
        try:
            yield Reserved(number, kept)
        finally:
            with suppress(OSError):  # the next deploy removes it: this one has ended as it has
                _end(target, number)


def remove_unfinished(target: Target, *, lock_timeout: float) -> list[int]:
    """Remove what the caller's interrupted builds left, as root everybody's; return the numbers.

    They lose their names under the lock. That is released before they are taken
    apart, which takes long: prune goes on where that is interrupted.
    """
    with held(target, lock_timeout):
        left = retire_unfinished(target)
    for going in left.values():
        tree.remove_retired(going)
    return list(left)


def retire_unfinished(target: Target) -> dict[int, list[str]]:
    """Take the names from what the caller's interrupted builds left; return what goes, by number.

    For who holds the lock.
    """
    left = {}
    for number in abandoned(target):
        if owner(target, number) is None:
            finished = _was_finished(target, number)
            left[number] = [] if finished else tree.retire_all(_directory(target, number))
            _forget(target, number)
    return left


def abandoned(target: Target) -> list[int]:
    """Return the numbers of builds that were interrupted, by what they hold a lock on.

    A deployment that somebody made by hand, without a record, is none of them.
    """
    return [number for number in begun(target) if _is_abandoned(target, number)]


def under_way(target: Target) -> list[int]:
    """Return the numbers of builds that have not ended, as far as the caller can tell."""
    interrupted = abandoned(target)
    return [number for number in begun(target) if number not in interrupted]


def owner(target: Target, number: int) -> str | None:
    """Return whose build it is that only they and root can remove; None if the caller can."""
    path = target.building(number)  # whoever builds has made it
    return None if tree.is_own(path) else user_name(target.fs.entry(path).uid)


def begun(target: Target) -> list[int]:
    """Return the numbers of builds that are under way, or were interrupted."""
    mark = paths.basename(target.building(0)).removesuffix("0")
    names = target.fs.names(target.control) if exists(target.fs, target.control) else []
    numbers = (name.removeprefix(mark) for name in names if name.startswith(mark))
    return sorted(int(number) for number in numbers if is_deployment_number(number))


def _is_abandoned(target: Target, number: int) -> bool:
    try:
        return not target.fs.is_locked(target.building(number))
    except FileNotFoundError:  # it has just ended
        return False
    except PermissionError:
        if tree.is_own(target.building(number)):
            raise
        return False


def _end(target: Target, number: int) -> None:
    if not _was_finished(target, number):
        tree.remove(_directory(target, number))
    _forget(target, number)


def _was_finished(target: Target, number: int) -> bool:
    """Say whether a build that has ended has written its record, as the server has it."""
    written = target.deployment_record(f"{DEPLOYMENTS}/{number}")
    with suppress(FileNotFoundError, NotADirectoryError):  # nothing of it was built
        target.fs.refresh(paths.dirname(written), write=True, names=(paths.basename(written),))
    return exists(target.fs, written)


def _directory(layout: Layout, number: int) -> str:
    return layout.within(f"{DEPLOYMENTS}/{number}")


def _forget(target: Target, number: int) -> None:
    with suppress(FileNotFoundError):
        target.fs.remove(target.building(number))


def _next(target: Target) -> int:
    store.make_shared_directory(target, target.deployments)
    return _highest(target) + 1


def _any_plain_color(target: Target) -> bool:
    """Say whether the switch may have to keep a plain directory: as what came before the build."""
    colors = [target.within(color) for color in Color]
    return any(
        exists(target.fs, path) and target.fs.entry(path).kind is Kind.DIRECTORY for path in colors
    )


def remember(target: Target, going: Container[int]) -> None:
    """Note the highest number, before deployments are removed: none is ever given again.

    One that stays needs no note, nor the room for it: a prune may be what makes room.
    """
    highest = _highest(target)
    stays = highest in _there(target) and highest not in going
    if not stays and highest != _remembered(target):
        target.fs.write(temporary(target.highest), b"%d\n" % highest)
        target.fs.rename(temporary(target.highest), target.highest)
        target.fs.sync(target.control)


def _highest(target: Target) -> int:
    there = _there(target)
    return max((*there, _remembered(target), *_in_history(target)))


def _there(target: Target) -> list[int]:
    names = target.fs.names(target.deployments) if exists(target.fs, target.deployments) else []
    return list(map(int, filter(is_deployment_number, names)))


def _remembered(target: Target) -> int:
    """Return the number that was noted, 0 where none was."""
    try:
        text = read(target.fs, target.highest).decode().strip()
    except (FileNotFoundError, ValueError):
        return 0
    return int(text) if is_deployment_number(text) else 0


def _in_history(target: Target) -> Iterator[int]:
    """Yield the numbers that the newest event knows: somebody may have removed one by hand."""
    newest = history.newest(target)
    if newest is not None:
        yield from newest.deployments
        yield from filter(None, (content.deployment for content in newest.past.trail))
        yield from newest.past.rolled_back


def directories(layout: Layout) -> tuple[str, ...]:
    """Return where builds and packages are kept, which no link may lead out of the target."""
    kept = (f"{layout.cache}/{name}" for name in (REPODATA, WHEELS))
    return layout.deployments, layout.cache, *kept


def require_writable(target: Target) -> None:
    """Raise as ``control.require_writable``, and ``Untrusted`` where builds would end up elsewhere.

    A link in the place of these directories would have removed what is behind it.
    """
    store.require_writable(target)
    for path in directories(target):
        store.require_directory(target.fs, path)


@contextmanager
def held(target: Target, timeout: float) -> Iterator[None]:
    """Have nobody else take a number, or remove what was built; as ``locking.locked`` does."""
    require_writable(target)
    store.ensure(target)
    try:
        lock = target.fs.lock(target.numbers, timeout=timeout)
    except LockTimeout as error:
        raise Locked("somebody who takes a number or removes deployments", timeout) from error
    except LockUnavailable as error:
        raise LocksUnsupported(target.numbers, error.strerror or str(error)) from error
    with lock:
        target.fs.refresh(target.infrastructure)  # the links another lock protects
        for path in (target.control, target.deployments):
            with suppress(FileNotFoundError):  # there is no deployment yet
                target.fs.refresh(path, write=True)
        yield
