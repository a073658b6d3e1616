"""A prune, from what is needed to what is gone.

A deployment loses its name under the target's lock, in one step, so that
nothing that can be loaded is ever half there; it is taken apart after that. A
prune that is killed is finished by the next.
"""

from __future__ import annotations

import calendar
import errno
import time
from collections.abc import Iterable, Mapping
from math import inf
from typing import NamedTuple, Protocol

from tierctl import changes, ending, freshness, history, intent, tiers
from tierctl.author import user_name
from tierctl.deploy import numbering, tree
from tierctl.errors import cause_of
from tierctl.events import Author, Event, EventKind
from tierctl.filesystem import FileSystem, Kind, exists
from tierctl.layout import DEPLOYMENTS, Layout
from tierctl.locking import locked
from tierctl.observe import observe, observe_for
from tierctl.prune import caching, processes, removing, retention
from tierctl.prune.caching import Unneeded
from tierctl.prune.removing import Left, NotRemoved, Remover
from tierctl.prune.retention import Needs, Policy, Verdict

# A link that dangles, or is a loop, leads to no deployment.
_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Pruned(NamedTuple):
    """What a prune removed, or would remove.

    ``freed`` is in bytes, of a dry run without wheels. ``left`` is what has lost its name but is
    still in use. ``errors`` are those that kept something from being removed.
    """

    verdicts: tuple[Verdict, ...]
    cached: Unneeded
    not_inspected: int
    freed: int = 0
    left: tuple[Left, ...] = ()
    errors: tuple[OSError, ...] = ()


class Reporter(ending.Reporter, Protocol):
    """Who is told how a prune goes."""

    def pruned(self, done: Pruned) -> None:
        """Hear what was removed."""
        ...


def prune(
    fs: FileSystem,
    layout: Layout,
    policy: Policy,
    author: Author,
    reporter: Reporter,
    *,
    lock_timeout: float,
) -> None:
    """Remove what nobody needs; raises a ``TierctlError`` with the reason against it.

    What can be removed is, and is reported, before ``NotRemoved`` says that the rest could not.
    """
    changes.finish_interrupted(
        fs, layout, EventKind.DEPLOY, author, reporter, lock_timeout=lock_timeout
    )
    remover = Remover()
    try:
        numbering.remove_unfinished(fs, layout, lock_timeout=lock_timeout)
    except OSError as error:
        remover.errors.append(error)
    with numbering.held(fs, layout, lock_timeout):
        with locked(fs, layout, author, "prune", lock_timeout) as lock:
            judged = _judge(fs, layout, policy)
            judged = judged._replace(cached=_unneeded(fs, layout, judged))
            lock.require()
            judged = _retired(fs, layout, judged, remover)
        # From here on nothing has a name that anybody could load.
        cached = caching.retire(layout, judged.cached, remover)
        remover.remove_retired(list(removing.retired(fs, layout)))
        freed = remover.freed + caching.remove_wheels(layout, cached.wheels)
    errors = tuple(remover.errors)
    reporter.pruned(judged._replace(cached=cached, freed=freed, left=remover.left(), errors=errors))
    if errors:
        raise NotRemoved(errors)


def _retired(fs: FileSystem, layout: Layout, judged: Pruned, remover: Remover) -> Pruned:
    """Take the names from what goes; return the judgement, in which what keeps its name stays."""
    numbering.remember(fs, layout, _going(judged))
    kept = {}
    for number in _going(judged):
        error = remover.retire(_directory(layout, number))
        if error is not None:
            kept[number] = f"it could not be removed: {cause_of(error)}"
    if exists(fs, layout.deployments):
        fs.sync(layout.deployments)
    verdicts = tuple(v._replace(reason=kept.get(v.number, v.reason)) for v in judged.verdicts)
    return judged._replace(verdicts=verdicts)


def preview(fs: FileSystem, layout: Layout, policy: Policy, reporter: Reporter) -> None:
    """Report what ``prune`` would do; writes nothing, takes no lock."""
    numbering.require_writable(fs, layout)
    freshness.refresh_by_reading(fs, layout)
    judged = _judge(fs, layout, policy)
    cached = _unneeded(fs, layout, judged)
    places = [_directory(layout, number) for number in _going(judged)]
    places += [f"{layout.cache}/{name}" for name in cached.packages]
    freed = sum(map(tree.own_bytes, places))
    reporter.pruned(judged._replace(cached=cached, freed=freed))


def _unneeded(fs: FileSystem, layout: Layout, judged: Pruned) -> Unneeded:
    return caching.unneeded(
        fs,
        layout,
        staying=[verdict.number for verdict in judged.verdicts if verdict.reason],
        going=_going(judged),
    )


def _going(judged: Pruned) -> list[int]:
    return [verdict.number for verdict in judged.verdicts if not verdict.reason]


def _judge(fs: FileSystem, layout: Layout, policy: Policy) -> Pruned:
    numbers = tiers.deployments(fs, layout, finished=True)
    seen = processes.uses(layout.deployments)
    newest = history.newest(fs, layout)
    way_back = None if newest is None else newest.past.way_back
    needs = Needs(
        shown=_shown(fs, layout, numbers),
        way_back=None if way_back is None else way_back.deployment,
        used=seen.by_number,
        built=frozenset(n for n in numbers if exists(fs, layout.building(n))),
        foreign={
            number: user_name(fs.entry(path).uid)
            for number in numbers
            if not tree.is_own(path := _directory(layout, number))
        },
    )
    shown = _last_shown(fs, layout, policy)
    ages = {number: min(_age(fs, layout, number), shown.get(number, inf)) for number in numbers}
    return Pruned(tuple(retention.judge(ages, needs, policy)), Unneeded(), seen.not_inspected)


def _shown(fs: FileSystem, layout: Layout, numbers: Iterable[int]) -> dict[int, str]:
    """Return which of the deployments a link of the infrastructure leads to, however spelled.

    Raises ``InvalidLink`` where a color or a tier is damaged: nobody knows what it showed.
    """
    interrupted = intent.read(fs, layout)
    if interrupted is None:
        observe(fs, layout)
    else:
        observe_for(fs, layout, interrupted.after)
    inside = {fs.entry(_directory(layout, number)).inode: number for number in numbers}
    found: dict[int, str] = {}
    if interrupted is not None:
        found.update(dict.fromkeys(interrupted.deployments, "an interrupted change"))
    for name in fs.names(layout.infrastructure):
        path = layout.within(name)
        if fs.entry(path).kind is Kind.LINK:
            number = _behind(fs, path, inside, must_be_seen=tiers.is_tier_name(name))
            if number is not None:
                found[number] = name
    return found


def _behind(
    fs: FileSystem, path: str, inside: Mapping[int, int], *, must_be_seen: bool
) -> int | None:
    """Return which of the deployments a link leads to; raises ``OSError`` where that is hidden."""
    try:
        return inside.get(fs.entry(path, follow=True).inode)
    except OSError as error:
        if must_be_seen and error.errno not in _NOWHERE:
            raise
        return None


def _last_shown(fs: FileSystem, layout: Layout, policy: Policy) -> dict[int, float]:
    """Return for how many seconds no tier has shown a deployment, of those that count as young."""
    now = time.time()
    found: dict[int, float] = {}
    for event in history.newest_first(fs, layout):
        age = now - _seconds(event)
        if age > policy.days * retention.DAY_S:
            break
        for number in event.deployments:
            found.setdefault(number, age)
    return found


def _seconds(event: Event) -> int:
    """Return when an event was, in seconds since 1970; one that does not say is of today."""
    try:
        return calendar.timegm(time.strptime(event.time, "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        return int(time.time())


def _age(fs: FileSystem, layout: Layout, number: int) -> float:
    """Return how long ago a deployment was finished, in seconds."""
    record = layout.deployment_record(f"{DEPLOYMENTS}/{number}")
    return time.time() - fs.entry(record).modified


def _directory(layout: Layout, number: int) -> str:
    return layout.within(f"{DEPLOYMENTS}/{number}")
