"""What the tiers of a target show, since when and by whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from tierctl.errors import TierctlError, cause_of
from tierctl.fs.protocol import exists
from tierctl.journal import freshness, history, intent
from tierctl.journal.events import Event
from tierctl.journal.lock import Holder, read_holder
from tierctl.report import loadable
from tierctl.rotation.names import PRODUCTION, STAGING
from tierctl.rotation.state import Color, Content
from tierctl.target import record, tiers
from tierctl.target.target import Target
from tierctl.target.validators import validate_color, validate_symlink_target
from tierctl.text import shown


class TierStatus(NamedTuple):
    """What one tier shows.

    ``color`` is production's and staging's; ``content`` is None for a
    production that does not exist yet, and for a tier that is damaged, of which
    ``problem`` tells. ``event`` is the one that has made it show this, if
    history knows. ``is_empty`` says that it is the empty tier.
    """

    name: str
    color: Color | None = None
    content: Content | None = None
    problem: str = ""
    event: Event | None = None
    is_empty: bool = False


class LockStatus(NamedTuple):
    """Whether the lock is held (None: the caller may not ask), and who wrote that they hold it."""

    held: bool | None
    holder: Holder | None


class Status(NamedTuple):
    """A target as it stands now; ``problems`` are those of its tiers and of its records."""

    tiers: tuple[TierStatus, ...]
    lock: LockStatus
    unfinished: Event | None
    problems: tuple[str, ...]


def read(target: Target, names: Sequence[str] = ()) -> Status:
    """Return the status of production and staging, or of the tiers that are named.

    It is as ``freshness.refresh_by_reading`` shows it. A tier or a record that
    is damaged is told of in the status. Raises
    ``NoSuchTier`` for a name that is no tier of this target.
    """
    freshness.refresh_by_reading(target)
    found = [_read_tier(target, name) for name in names or (PRODUCTION, STAGING)]
    unfinished = None
    of_records: list[str] = []
    found = _with_events(target, found, of_records)
    with _told(of_records):
        unfinished = intent.read(target)
    problems = (*_problems(target, found), *_same_color(found), *of_records)
    return Status(tuple(found), _lock_status(target), unfinished, problems)


def _read_tier(target: Target, name: str) -> TierStatus:
    path, color = target.within(name), None
    if name not in (PRODUCTION, STAGING):
        tiers.require(target, name)
    try:
        if name in (PRODUCTION, STAGING):
            if not exists(target.fs, path):  # before the first promotion there is no production
                return TierStatus(name, problem="" if name == PRODUCTION else "is missing")
            color = validate_symlink_target(path, target.fs)
            path = target.within(color.value)
        content = validate_color(path, target.fs)
    except TierctlError as error:
        return TierStatus(name, problem=error.message)
    return TierStatus(name, color, content, is_empty=record.is_empty_tier(target, content))


def _problems(target: Target, found: Sequence[TierStatus]) -> list[str]:
    return [
        f"{shown(tier.name)}: {problem}"
        for tier in found
        for problem in ([tier.problem] if tier.problem else _lacking(target, tier.content))
    ]


def _lacking(target: Target, content: Content | None) -> list[str]:
    """Return what a tier is without: the record of a finished build, or a profile of its own."""
    if content is None:
        return []
    lacking = []
    try:
        is_deployment = content.deployment is not None
        if is_deployment and not record.is_finished(target, content.directory):
            lacking.append(f"{content} was never finished")
        hindrance = loadable.hindrance(target, content.directory)
        if hindrance:
            lacking.append(f"{content} has {hindrance}")
    except OSError as error:  # a directory that the caller may not look into
        lacking.append(cause_of(error))
    return lacking


def _same_color(found: Sequence[TierStatus]) -> Sequence[str]:
    colors = {tier.name: tier.color for tier in found if tier.color is not None}
    if len(colors) == 2 and len(set(colors.values())) == 1:
        return ["production and staging point to the same color"]
    return []


@contextmanager
def _told(problems: list[str]) -> Iterator[None]:
    """Have what is wrong with a record be told with the rest."""
    try:
        yield
    except TierctlError as error:
        problems.append(error.message)
    except OSError as error:
        problems.append(cause_of(error))


def _with_events(
    target: Target, found: Sequence[TierStatus], problems: list[str]
) -> list[TierStatus]:
    """Add to each tier the newest event that moved it, if that made it show what it shows."""
    wanted = {tier.name for tier in found}
    movers: dict[str, Event] = {}
    events = history.newest_first(target)
    with _told(problems):
        while wanted and (event := next(events, None)) is not None:
            moved = {name for name in wanted if event.moves(name)}
            movers.update(dict.fromkeys(moved, event))
            wanted -= moved
    return [_with_event(tier, movers.get(tier.name)) for tier in found]


def _with_event(tier: TierStatus, event: Event | None) -> TierStatus:
    if event is not None and tier == TierStatus(PRODUCTION) and event.after.production is not None:
        was = event.after.production
        return tier._replace(problem=f"is missing, though history knows that it was {was}")
    if event is None or event.after.behind(tier.name) != tier.content:
        return tier  # moved without tierctl
    return tier._replace(event=event)


def _lock_status(target: Target) -> LockStatus:
    try:
        held = target.fs.is_locked(target.lock)
    except FileNotFoundError:
        held = False
    except OSError:
        return LockStatus(None, read_holder(target))
    return LockStatus(held, read_holder(target) if held else None)
