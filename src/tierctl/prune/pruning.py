"""A prune, from what is needed to what is gone.

A deployment loses its name under the target's lock, in one step, so that
nothing that can be loaded is ever half there; it is taken apart after that. A
prune that is killed is finished by the next.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple, Protocol

from tierctl import changes, control, ending, history, packages, tiers, trust
from tierctl.author import user_name
from tierctl.deploy import numbering, tree
from tierctl.errors import TierctlError
from tierctl.events import Author, EventKind
from tierctl.filesystem import FileSystem, Kind, exists
from tierctl.layout import DEPLOYMENTS, Layout, is_deployment_number
from tierctl.locking import locked
from tierctl.prune import processes, retention
from tierctl.prune.retention import Needs, Policy, Verdict

_ARCHIVES = (".conda", ".tar.bz2")


class Pruned(NamedTuple):
    """What a prune removed, or would remove; ``freed`` is in bytes.

    ``cached`` holds the names of packages in the cache.
    """

    verdicts: tuple[Verdict, ...]
    cached: tuple[str, ...]
    freed: int
    not_inspected: int


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
    """Remove what nobody needs; raises a ``TierctlError`` with the reason against it."""
    changes.finish_interrupted(
        fs, layout, EventKind.DEPLOY, author, reporter, lock_timeout=lock_timeout
    )
    with numbering.held(fs, layout, lock_timeout):
        with locked(fs, layout, author, "prune", lock_timeout):
            judged = _judge(fs, layout, policy)
            for verdict in judged.verdicts:
                if not verdict.reason:
                    tree.retire(_directory(layout, verdict.number))
            if exists(fs, layout.deployments):
                fs.sync(layout.deployments)
        # From here on nothing has a name that anybody could load.
        going = list(_going(fs, layout))
        freed = sum(tree.take_apart(path) for path in going)
        cached = tuple(_unneeded_packages(fs, layout, judged.verdicts))
        freed += sum(_remove_package(layout, name) for name in cached)
    reporter.pruned(judged._replace(cached=cached, freed=freed))


def preview(fs: FileSystem, layout: Layout, policy: Policy, reporter: Reporter) -> None:
    """Report what ``prune`` would do; writes nothing, takes no lock."""
    control.require_writable(fs, layout)
    judged = _judge(fs, layout, policy)
    cached = tuple(_unneeded_packages(fs, layout, judged.verdicts))
    places = [_directory(layout, v.number) for v in judged.verdicts if not v.reason]
    places += [f"{layout.cache}/{name}" for name in cached]
    freed = sum(map(tree.own_bytes, places))
    reporter.pruned(judged._replace(cached=cached, freed=freed))


def _judge(fs: FileSystem, layout: Layout, policy: Policy) -> Pruned:
    numbers = tiers.deployments(fs, layout, finished=True)
    seen = processes.uses(layout.deployments)
    newest = history.newest(fs, layout)
    way_back = None if newest is None else newest.past.way_back
    needs = Needs(
        shown=_shown(fs, layout),
        way_back=None if way_back is None else way_back.deployment,
        used=seen.by_number,
        built=frozenset(n for n in numbers if exists(fs, layout.building(n))),
        foreign={
            number: user_name(fs.entry(path).uid)
            for number in numbers
            if not tree.is_own(path := _directory(layout, number))
        },
    )
    ages = {number: _age(fs, layout, number) for number in numbers}
    return Pruned(tuple(retention.judge(ages, needs, policy)), (), 0, seen.not_inspected)


def _shown(fs: FileSystem, layout: Layout) -> dict[int, str]:
    """Return the deployments that any link of the infrastructure leads to, however spelled."""
    inside = {
        fs.entry(_directory(layout, number)).inode: number
        for number in tiers.deployments(fs, layout, finished=True)
    }
    found: dict[int, str] = {}
    for name in fs.names(layout.infrastructure):
        path = layout.within(name)
        if fs.entry(path).kind is Kind.LINK:
            with suppress(OSError):
                number = inside.get(fs.entry(path, follow=True).inode)
                if number is not None:
                    found[number] = name
    return found


def _age(fs: FileSystem, layout: Layout, number: int) -> float:
    """Return how long ago a deployment was finished, in seconds."""
    record = layout.deployment_record(f"{DEPLOYMENTS}/{number}")
    return time.time() - fs.entry(record).modified


def _going(fs: FileSystem, layout: Layout) -> Iterator[str]:
    """Yield what has lost its name already, by this prune or by one that was killed."""
    for name in fs.names(layout.deployments) if exists(fs, layout.deployments) else []:
        path = f"{layout.deployments}/{name}"
        is_one = tree.is_going(name) and is_deployment_number(tree.name_before(name))
        if is_one and tree.is_own(path):
            yield path


def _directory(layout: Layout, number: int) -> str:
    return layout.within(f"{DEPLOYMENTS}/{number}")


def _unneeded_packages(
    fs: FileSystem, layout: Layout, verdicts: tuple[Verdict, ...]
) -> Iterator[str]:
    """Yield the packages in the cache that no deployment holds which stays.

    While something is being built, or if a deployment does not say what it
    holds, all of them may be needed.
    """
    staying = {verdict.number for verdict in verdicts if verdict.reason}
    is_building = any(name.startswith("building-") for name in _names(fs, layout.control))
    needed = None if is_building else _needed(fs, layout, staying)
    if needed is None:
        return
    names = _names(fs, layout.cache)
    for name in names:
        is_package = f"{name}.lock" in names or name.endswith(_ARCHIVES)
        if is_package and name.removesuffix(".conda").removesuffix(".tar.bz2") not in needed:
            yield name


def _needed(fs: FileSystem, layout: Layout, staying: set[int]) -> set[str] | None:
    needed: set[str] = set()
    for number in staying:
        directory = f"{DEPLOYMENTS}/{number}"
        if _was_adopted(fs, layout, directory):
            continue
        try:
            found = packages.read(fs, layout, directory)
        except (OSError, TierctlError):
            return None
        needed.update(
            f"{package.name}-{package.version}-{package.build}"
            for each in found.values()
            for package in each
        )
    return needed


def _was_adopted(fs: FileSystem, layout: Layout, directory: str) -> bool:
    """Say whether a deployment was a plain directory: it holds nothing of this cache."""
    try:
        record = json.loads(trust.read(fs, layout, layout.deployment_record(directory)))
    except (OSError, ValueError, RecursionError, TierctlError):
        return False
    return isinstance(record, dict) and "adopted" in record


def _remove_package(layout: Layout, name: str) -> int:
    path = f"{layout.cache}/{name}"
    freed = tree.take_apart(path)
    return freed + tree.take_apart(f"{path}.lock")


def _names(fs: FileSystem, directory: str) -> list[str]:
    return fs.names(directory) if exists(fs, directory) else []
