"""A prune, from what is needed to what is gone.

A deployment loses its name under the target's lock, in one step, so that
nothing that can be loaded is ever half there; it is taken apart after that. A
prune that is killed is finished by the next.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

from tierctl import changes, control, ending, freshness, history, intent, tiers
from tierctl.author import user_name
from tierctl.deploy import cachelock, numbering, tree
from tierctl.errors import TierctlError, cause_of
from tierctl.events import Author
from tierctl.filesystem import FileSystem, Kind, exists
from tierctl.layout import DEPLOYMENTS, Layout
from tierctl.locking import locked
from tierctl.observe import observe, observe_for
from tierctl.prune import caching, processes, removing, retention, times
from tierctl.prune.caching import Unneeded
from tierctl.prune.processes import Uses
from tierctl.prune.removing import Left, NotRemoved, Remover
from tierctl.prune.retention import Needs, Policy, Verdict
from tierctl.prune.times import Now

# A link that dangles, or is a loop, leads to no deployment.
_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Pruned(NamedTuple):
    """What a prune removed, or would remove.

    ``assumed`` says what of the time was not certain, if anything.
    ``unfinished`` is what interrupted deploys left, by number: who alone can remove it, or None
    if it goes. ``cache_kept`` says why the package cache stays as it is, if it does. ``freed`` is
    in bytes. ``left`` is what has lost its name but is still in use. ``errors`` are those that
    kept something from being removed.
    """

    verdicts: tuple[Verdict, ...]
    uses: Uses
    cached: Unneeded = Unneeded()
    assumed: str = ""
    cache_kept: str = ""
    unfinished: Mapping[int, str | None] = MappingProxyType({})
    freed: int = 0
    left: tuple[Left, ...] = ()
    errors: tuple[OSError, ...] = ()


class NotSeen(TierctlError):
    """Nothing can be seen of the processes that may use what is to be removed."""

    code = "processes-not-seen"

    def __init__(self, why: str, going: Collection[int], policy: Policy) -> None:
        numbers = ", ".join(map(str, going))
        super().__init__(
            f"nobody can see here which processes use a deployment ({why}), and these would go: "
            f"{numbers}",
            "Run prune where the processes run that use them. Or, if nothing uses what is older, "
            "here or on another host, say so with:",
            f"prune --keep {policy.keep} --older-than {policy.days:g}d --yes",
        )


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
    changes.finish_interrupted(fs, layout, "prune", author, reporter, lock_timeout=lock_timeout)
    numbering.require_writable(fs, layout)
    control.ensure(fs, layout)  # the locks are in there
    remover = Remover()
    with cachelock.alone(fs, layout) as cache_kept:
        with numbering.held(fs, layout, lock_timeout):
            with locked(fs, layout, author, "prune", lock_timeout) as lock:
                freshness.refresh_private(fs, layout)
                judged = _judge(fs, layout, policy, times.now(lock.server_time()))
                lock.require()
                judged = _retired(fs, layout, judged, remover)
            judged = _with_unfinished(fs, layout, judged)
            remover.retire_unfinished(fs, layout)
        # From here on nothing has a name that anybody could load, and deploys take numbers.
        judged = _with_cached(fs, layout, judged, cache_kept)
        judged = judged._replace(cached=caching.retire(layout, judged.cached, remover))
    # And from here on deploys take packages from the cache.
    remover.remove_retired(list(removing.retired(fs, layout)))
    errors = tuple(remover.errors)
    reporter.pruned(judged._replace(freed=remover.freed, left=remover.left(), errors=errors))
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
    judged = _judge(fs, layout, policy, Now(time.time()))
    judged = _with_unfinished(fs, layout, judged)
    judged = _with_cached(fs, layout, judged, cachelock.why_kept(fs, layout))
    mine = [number for number, owner in judged.unfinished.items() if owner is None]
    places = [_directory(layout, number) for number in (*_going(judged), *mine)]
    places += judged.cached.places(layout)
    places += filter(Remover().is_own, removing.retired(fs, layout))
    reporter.pruned(judged._replace(freed=tree.own_bytes(places)))


def _with_unfinished(fs: FileSystem, layout: Layout, judged: Pruned) -> Pruned:
    """Return a judgement with the unfinished builds that go besides."""
    finished = {verdict.number for verdict in judged.verdicts}
    abandoned = (n for n in numbering.abandoned(fs, layout) if n not in finished)
    unfinished = {number: numbering.owner(fs, layout, number) for number in abandoned}
    return judged._replace(unfinished=unfinished)


def _with_cached(fs: FileSystem, layout: Layout, judged: Pruned, cache_kept: str) -> Pruned:
    """Return a judgement with what goes of the cache, unless that is kept."""
    if cache_kept:
        return judged._replace(cache_kept=cache_kept)
    staying = [verdict.number for verdict in judged.verdicts if verdict.reason]
    return judged._replace(cached=caching.unneeded(fs, layout, staying))


def _going(judged: Pruned) -> list[int]:
    return [verdict.number for verdict in judged.verdicts if not verdict.reason]


def _judge(fs: FileSystem, layout: Layout, policy: Policy, now: Now) -> Pruned:
    """Return what becomes of each deployment; raises ``NotSeen`` if nobody can tell who uses it."""
    numbers = tiers.deployments(fs, layout, finished=True)
    seen = processes.uses(layout.deployments)
    newest = history.newest(fs, layout)
    way_back = None if newest is None else newest.past.way_back
    needs = Needs(
        shown=_shown(fs, layout, numbers),
        way_back=None if way_back is None else way_back.deployment,
        used=seen.by_number,
        built=frozenset(numbering.under_way(fs, layout)),
        foreign={
            number: user_name(fs.entry(path).uid)
            for number in numbers
            if not tree.is_own(path := _directory(layout, number))
        },
    )
    ages = times.ages(fs, layout, numbers, policy, now.seconds)
    judged = Pruned(tuple(retention.judge(ages, needs, policy)), seen, assumed=now.assumed)
    if seen.blind and _going(judged) and not policy.unseen:
        raise NotSeen(seen.blind, _going(judged), policy)
    return judged


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


def _directory(layout: Layout, number: int) -> str:
    return layout.within(f"{DEPLOYMENTS}/{number}")
