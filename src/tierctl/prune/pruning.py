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

from tierctl.change import change, ending
from tierctl.deploy import cachelock, numbering
from tierctl.errors import TierctlError, cause_of
from tierctl.fs import tree
from tierctl.fs.protocol import FileSystem, Kind, exists
from tierctl.journal import freshness, history, intent, store
from tierctl.journal.lock import locked
from tierctl.prune import caching, processes, removing, retention, times
from tierctl.prune.caching import Unneeded
from tierctl.prune.processes import Uses
from tierctl.prune.removing import Left, NotRemoved, Remover
from tierctl.prune.retention import Needs, Policy, Verdict
from tierctl.prune.times import Now
from tierctl.rotation.names import DEPLOYMENTS
from tierctl.target import tiers
from tierctl.target.links import observe, observe_for
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import Author, user_name

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
    target: Target,
    policy: Policy,
    author: Author,
    reporter: Reporter,
    *,
    lock_timeout: float,
) -> None:
    """Remove what nobody needs; raises a ``TierctlError`` with the reason against it.

    What can be removed is, and is reported, before ``NotRemoved`` says that the rest could not.
    """
    change.finish_interrupted(target, "prune", author, reporter, lock_timeout=lock_timeout)
    numbering.require_writable(target)
    store.ensure(target)  # the locks are in there
    remover = Remover()
    with cachelock.alone(target) as cache_kept:
        with numbering.held(target, lock_timeout):
            with locked(target, author, "prune", lock_timeout) as lock:
                freshness.refresh_private(target)
                judged = _judge(target, policy, times.now(lock.server_time()))
                lock.require()
                judged = _retired(target, judged, remover)
            judged = _with_unfinished(target, judged)
            remover.retire_unfinished(target)
        # From here on nothing has a name that anybody could load, and deploys take numbers.
        judged = _with_cached(target, judged, cache_kept)
        judged = judged._replace(cached=caching.retire(target, judged.cached, remover))
    # And from here on deploys take packages from the cache.
    remover.remove_retired(list(removing.retired(target)))
    errors = tuple(remover.errors)
    reporter.pruned(judged._replace(freed=remover.freed, left=remover.left(), errors=errors))
    if errors:
        raise NotRemoved(errors)


def _retired(target: Target, judged: Pruned, remover: Remover) -> Pruned:
    """Take the names from what goes; return the judgement, in which what keeps its name stays."""
    numbering.remember(target, _going(judged))
    kept = {}
    for number in _going(judged):
        error = remover.retire(_directory(target, number))
        if error is not None:
            kept[number] = f"it could not be removed: {cause_of(error)}"
    if exists(target.fs, target.deployments):
        target.fs.sync(target.deployments)
    verdicts = tuple(v._replace(reason=kept.get(v.number, v.reason)) for v in judged.verdicts)
    return judged._replace(verdicts=verdicts)


def preview(target: Target, policy: Policy, reporter: Reporter) -> None:
    """Report what ``prune`` would do; writes nothing, takes no lock."""
    numbering.require_writable(target)
    freshness.refresh_by_reading(target)
    judged = _judge(target, policy, Now(time.time()))
    judged = _with_unfinished(target, judged)
    judged = _with_cached(target, judged, cachelock.why_kept(target))
    mine = [number for number, owner in judged.unfinished.items() if owner is None]
    places = [_directory(target, number) for number in (*_going(judged), *mine)]
    places += judged.cached.places(target)
    places += filter(Remover().is_own, removing.retired(target))
    reporter.pruned(judged._replace(freed=tree.own_bytes(places)))


def _with_unfinished(target: Target, judged: Pruned) -> Pruned:
    """Return a judgement with the unfinished builds that go besides."""
    finished = {verdict.number for verdict in judged.verdicts}
    abandoned = (n for n in numbering.abandoned(target) if n not in finished)
    unfinished = {number: numbering.owner(target, number) for number in abandoned}
    return judged._replace(unfinished=unfinished)


def _with_cached(target: Target, judged: Pruned, cache_kept: str) -> Pruned:
    """Return a judgement with what goes of the cache, unless that is kept."""
    if cache_kept:
        return judged._replace(cache_kept=cache_kept)
    staying = [verdict.number for verdict in judged.verdicts if verdict.reason]
    return judged._replace(cached=caching.unneeded(target, staying))


def _going(judged: Pruned) -> list[int]:
    return [verdict.number for verdict in judged.verdicts if not verdict.reason]


def _judge(target: Target, policy: Policy, now: Now) -> Pruned:
    """Return what becomes of each deployment; raises ``NotSeen`` if nobody can tell who uses it."""
    numbers = tiers.deployments(target, finished=True)
    seen = processes.uses(target.deployments)
    newest = history.newest(target)
    way_back = None if newest is None else newest.past.way_back
    needs = Needs(
        shown=_shown(target, numbers),
        way_back=None if way_back is None else way_back.deployment,
        used=seen.by_number,
        built=frozenset(numbering.under_way(target)),
        foreign={
            number: user_name(target.fs.entry(path).uid)
            for number in numbers
            if not tree.is_own(path := _directory(target, number))
        },
    )
    ages = times.ages(target, numbers, policy, now.seconds)
    judged = Pruned(tuple(retention.judge(ages, needs, policy)), seen, assumed=now.assumed)
    if seen.blind and _going(judged) and not policy.unseen:
        raise NotSeen(seen.blind, _going(judged), policy)
    return judged


def _shown(target: Target, numbers: Iterable[int]) -> dict[int, str]:
    """Return which of the deployments a link of the infrastructure leads to, however spelled.

    Raises ``InvalidLink`` where a color or a tier is damaged: nobody knows what it showed.
    """
    interrupted = intent.read(target)
    if interrupted is None:
        observe(target)
    else:
        observe_for(target, interrupted.after)
    inside = {target.fs.entry(_directory(target, number)).inode: number for number in numbers}
    found: dict[int, str] = {}
    if interrupted is not None:
        found.update(dict.fromkeys(interrupted.deployments, "an interrupted change"))
    for name in target.fs.names(target.infrastructure):
        path = target.within(name)
        if target.fs.entry(path).kind is Kind.LINK:
            number = _behind(target.fs, path, inside, must_be_seen=tiers.is_tier_name(name))
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
