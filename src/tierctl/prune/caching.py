"""What the package cache holds that no remaining deployment needs."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from os import path as paths
from typing import NamedTuple

from tierctl.deploy import uvcache
from tierctl.errors import TierctlError
from tierctl.fs import tree
from tierctl.fs.protocol import FileSystem, exists
from tierctl.prune.removing import Remover
from tierctl.rotation.names import DEPLOYMENTS, REPODATA, WHEELS
from tierctl.target import packages, record
from tierctl.target.packages import Package, normal_name
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import user_name

_ARCHIVES = (".conda", ".tar.bz2")
_LOCK = ".lock"
# What the engine extracts a package to before it gets its name: with six letters behind it.
_HALF_EXTRACTED = re.compile(r"\..+-.+-.+\w{6}")
# What rattler and uv write to before it gets its name, and ``tree.write_whole``.
_HALF_WRITTEN = re.compile(r"\.tmp\w{6,8}")
# Of a name that is made of a whole path: room for what ``tree.retire`` adds.
_LONGEST_NAME = 200
# Of uv's directories those that hold trees, one a name: what is in a tree is a wheel's own.
_OF_TREES = re.compile(r"(archive|builds|git|sdists)-v\d+")


class Unneeded(NamedTuple):
    """What nobody needs of the cache: names of packages and wheels, and interrupted downloads.

    ``interrupted`` and ``paths`` are paths in the cache; ``paths`` are those of the wheels.
    ``others`` are the users of whom half fetched trees stay: only they and root can remove them.
    """

    packages: tuple[str, ...] = ()
    wheels: tuple[str, ...] = ()
    interrupted: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return self.packages + self.wheels + self.interrupted

    def places(self, layout: Layout) -> list[str]:
        """Return the paths of all that goes."""
        locks = (f"{name}{_LOCK}" for name in self.packages)
        return [
            f"{layout.cache}/{name}"
            for name in (*self.packages, *locks, *self.interrupted, *self.paths)
        ]


def unneeded(target: Target, staying: Iterable[int]) -> Unneeded:
    """Return what no deployment holds that stays.

    And what interrupted deploys have half fetched: no deploy uses the cache now.
    If one that stays does not say what it holds, all packages and wheels may be needed.
    """
    owners = {name: _owner(f"{target.cache}/{name}") for name in interrupted(target)}
    half = Unneeded(
        interrupted=tuple(name for name, owner in owners.items() if owner is None),
        others=tuple(sorted(set(filter(None, owners.values())))),
    )
    try:
        needed = {package for number in staying for package in _held(target, number)}
    except (OSError, TierctlError):
        return half
    wheels = _unneeded_wheels(target.cache, needed)
    # First what leads to them: a prune that is killed leaves nothing that leads nowhere.
    going = [*sorted(uvcache.referring(target.cache, wheels)), *sorted(wheels)]
    return half._replace(
        packages=tuple(_unneeded_packages(target, needed)),
        wheels=tuple(sorted(set(wheels.values()))),
        paths=tuple(paths.relpath(path, target.cache) for path in going),
    )


def retire(layout: Layout, found: Unneeded, remover: Remover) -> Unneeded:
    """Take the names from what nobody needs; return it without what keeps its name.

    What is in use then waits without a name, and no deploy takes it for a whole package.
    """
    gone = tuple(name for name in found.packages if _retire(layout, name, remover))
    for name in gone:
        _retire(layout, f"{name}{_LOCK}", remover)
    half = tuple(name for name in found.interrupted if _retire(layout, name, remover))
    for name in found.paths:
        _retire(layout, name, remover)
    return found._replace(packages=gone, interrupted=half)


def interrupted(target: Target) -> Iterator[str]:
    """Yield the paths in the cache of what is half fetched, while no deploy uses the cache."""
    names = _names(target.fs, target.cache)
    yield from filter(_HALF_EXTRACTED.fullmatch, names)
    for name in names:
        if name.endswith(_LOCK) and name.count("-") > 1 and name.removesuffix(_LOCK) not in names:
            yield name
    for top in (REPODATA, WHEELS):
        yield from _half_written(target.cache, top)


def _owner(path: str) -> str | None:
    """Return who alone can remove a tree, besides root; None if the caller can."""
    with suppress(FileNotFoundError):
        found = os.lstat(path)
        if stat.S_ISDIR(found.st_mode) and not tree.is_own(path):
            return user_name(found.st_uid)
    return None


def _half_written(cache: str, top: str) -> Iterator[str]:
    for place, directories, files in os.walk(paths.join(cache, top)):
        below = paths.relpath(place, cache)
        found = [name for name in (*directories, *files) if _HALF_WRITTEN.fullmatch(name)]
        yield from (f"{below}/{name}" for name in found)
        is_of_trees = _OF_TREES.fullmatch(paths.basename(place))
        directories[:] = [] if is_of_trees else [d for d in directories if d not in found]


def _retire(layout: Layout, name: str, remover: Remover) -> bool:
    """Take the name from a path in the cache: where it lies, prune finds what has none."""
    place = f"{layout.cache}/{name.replace('/', '%')[-_LONGEST_NAME:]}"
    return remover.retire(f"{layout.cache}/{name}", place) is None


def _unneeded_packages(target: Target, needed: Iterable[Package]) -> Iterator[str]:
    kept = {package.name_in_cache for package in needed}
    names = _names(target.fs, target.cache)
    for name in names:
        is_package = f"{name}{_LOCK}" in names or name.endswith(_ARCHIVES)
        is_kept = name.removesuffix(".conda").removesuffix(".tar.bz2") in kept
        if is_package and not is_kept:
            yield name


def _unneeded_wheels(cache: str, needed: Iterable[Package]) -> dict[str, str]:
    """Return the directories of unpacked wheels that nobody needs, with the names of these."""
    kept = {_key(package.name, package.version) for package in needed if not package.channel}
    found: dict[str, str] = {}
    staying: set[str] = set()
    for (name, version), place in uvcache.unpacked(cache):
        found[place] = f"{name}-{version}"
        if _key(name, version) in kept:
            staying.add(place)
    return {place: wheel for place, wheel in found.items() if place not in staying}


def _key(name: str, version: str) -> tuple[str, str]:
    """Return what is the same of a wheel however its name and version are spelled (PEP 440)."""
    parts = re.split(r"[-_.+]", version.lower())
    return normal_name(name), ".".join(str(int(p)) if p.isdecimal() else p for p in parts)


def _held(target: Target, number: int) -> set[Package]:
    """Return the packages of a deployment; one that was a plain directory holds none of them."""
    directory = f"{DEPLOYMENTS}/{number}"
    if "adopted" in record.read(target, directory):
        return set()
    found = packages.read(target, directory)
    return {package for each in found.values() for package in each}


def _names(fs: FileSystem, directory: str) -> list[str]:
    return fs.names(directory) if exists(fs, directory) else []
