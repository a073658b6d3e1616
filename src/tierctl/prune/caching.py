"""What the package cache holds that no remaining deployment needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from tierctl import packages, record
from tierctl.deploy import numbering, tree
from tierctl.errors import TierctlError
from tierctl.filesystem import FileSystem, exists
from tierctl.layout import DEPLOYMENTS, WHEELS, Layout
from tierctl.packages import Package
from tierctl.prune.removing import Remover

_ARCHIVES = (".conda", ".tar.bz2")
# What the engine extracts a package to before it gets its name: with six letters behind it.
_HALF_EXTRACTED = re.compile(r"\..+-.+-.+\w{6}")


class Unneeded(NamedTuple):
    """The names of conda packages in the cache, as they are called there, and of wheels."""

    packages: tuple[str, ...] = ()
    wheels: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return self.packages + self.wheels


def unneeded(
    fs: FileSystem, layout: Layout, *, staying: Iterable[int], going: Iterable[int]
) -> Unneeded:
    """Return what no deployment holds that stays, and of wheels what one holds that goes.

    And packages that an interrupted deploy has half extracted. While something
    is being built, or if one that stays does not say what it holds, all of it
    may be needed.
    """
    if numbering.begun(fs, layout):
        return Unneeded()
    try:
        needed = {package for number in staying for package in _held(fs, layout, number)}
    except (OSError, TierctlError):
        return Unneeded()
    gone: set[Package] = set()
    for number in going:
        with suppress(OSError, TierctlError):
            gone.update(_held(fs, layout, number))
    wheels = _names_of_wheels(gone) - _names_of_wheels(needed)
    return Unneeded(tuple(_unneeded_packages(fs, layout, needed)), tuple(sorted(wheels)))


def retire(layout: Layout, found: Unneeded, remover: Remover) -> Unneeded:
    """Take the names of packages from them; return what is found without those that keep theirs.

    What is in use then waits without a name, and no deploy takes it for a whole package.
    """
    gone = tuple(
        name for name in found.packages if remover.retire(f"{layout.cache}/{name}") is None
    )
    for name in gone:
        remover.remove(f"{layout.cache}/{name}.lock")
    return found._replace(packages=gone)


def remove_wheels(layout: Layout, names: Iterable[str]) -> int:
    """Remove wheels from the cache; return how many bytes that frees."""
    if not names:
        return 0
    try:
        from tierctl.deploy.worker import uv
        from tierctl.deploy.worker.wheels import WheelsFailed
    except ImportError:  # whoever deploys next has it
        return 0
    place = f"{layout.cache}/{WHEELS}"
    before = tree.own_bytes(place)
    with suppress(WheelsFailed):  # then they stay, and take up room
        uv.forget(names, layout.cache)
    return max(0, before - tree.own_bytes(place))


def _unneeded_packages(fs: FileSystem, layout: Layout, needed: Iterable[Package]) -> Iterator[str]:
    kept = {package.name_in_cache for package in needed}
    names = _names(fs, layout.cache)
    for name in names:
        is_package = f"{name}.lock" in names or name.endswith(_ARCHIVES)
        is_kept = name.removesuffix(".conda").removesuffix(".tar.bz2") in kept
        if (is_package and not is_kept) or _HALF_EXTRACTED.fullmatch(name):
            yield name


def _names_of_wheels(held: Iterable[Package]) -> set[str]:
    return {package.name for package in held if not package.channel}


def _held(fs: FileSystem, layout: Layout, number: int) -> set[Package]:
    """Return the packages of a deployment; one that was a plain directory holds none of them."""
    directory = f"{DEPLOYMENTS}/{number}"
    if "adopted" in record.read(fs, layout, directory):
        return set()
    found = packages.read(fs, layout, directory)
    return {package for each in found.values() for package in each}


def _names(fs: FileSystem, directory: str) -> list[str]:
    return fs.names(directory) if exists(fs, directory) else []
