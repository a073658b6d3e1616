"""Whether there is room for a build, as far as that can be told before it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from os import path as paths

from tierctl.deploy import uvcache
from tierctl.deploy.wanted import Build
from tierctl.errors import TierctlError
from tierctl.fs import tree
from tierctl.target.packages import Package, normal_name
from tierctl.target.paths import Layout
from tierctl.text import shown, size

# An archive's content, which is about four times as large, and the archive itself.
_CONTENT = 4
_ARCHIVE_AND_CONTENT = 5
# What a deployment does not link of a package in the cache: files with a prefix, bytecode.
_NOT_LINKED = 0.2
_BESIDES_BYTES = 1 << 20
_NOARCH = "noarch"


class NoRoom(TierctlError):
    """A build would not fit."""

    code = "no-room"

    def __init__(self, place: str, needed: int, free: int) -> None:
        super().__init__(
            f"not enough room in {shown(place)}: about {size(needed)} are needed, "
            f"{size(free)} are free, {size(needed - free)} are missing",
            "Make room, or remove deployments that nobody needs. No tier was changed.",
        )


def require(layout: Layout, wanted: Build) -> None:
    """Raise ``NoRoom`` unless a build fits, by an estimate from its archives' sizes.

    What is in the cache is looked into only where that does not fit: it costs next to nothing.
    """
    free = tree.free_bytes(layout.infrastructure)
    if free >= estimate(layout, wanted):
        return
    needed = estimate(layout, wanted, looking=True)
    if free < needed:
        raise NoRoom(layout.infrastructure, needed, free)


def estimate(layout: Layout, wanted: Build, *, looking: bool = False) -> int:
    """Return about how many bytes a build takes, in the cache and in the deployment.

    With ``looking`` packages in the cache are asked which of their files are not linked.
    """
    cache = _Cache(layout, looking=looking)
    overlay = sum(item.status.st_size for item in wanted.definitions.overlay if item.is_file)
    fetched: set[Package] = set()
    needed = float(_BESIDES_BYTES + overlay)
    for package in (package for found in wanted.packages.values() for package in found):
        if package in fetched:  # for another environment
            needed += package.size * _NOT_LINKED
            continue
        cost = cache.cost(package)
        if cost is None:
            fetched.add(package)
            cost = package.size * _ARCHIVE_AND_CONTENT
        needed += cost
    return round(needed)


class _Cache:
    """What the package cache of a target has, and what a deployment can link of that."""

    def __init__(self, layout: Layout, *, looking: bool) -> None:
        self._path = layout.cache
        self._looking = looking
        self._device = os.stat(layout.infrastructure).st_dev
        self._wheels: dict[tuple[str, str], str] | None = None

    def cost(self, package: Package) -> float | None:
        """Return how many bytes a package takes that is in the cache; None for any other."""
        place = self._place(package)
        try:
            found = os.stat(place)
        except OSError:
            return None
        # The kernel gives nobody a link to what another user alone may write.
        if found.st_dev != self._device or found.st_uid != os.geteuid():
            return package.size * _CONTENT
        if self._looking and package.channel:
            with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):  # damaged
                return float(sum(_not_linked(place, package)))
        return package.size * _NOT_LINKED

    def _place(self, package: Package) -> str:
        if package.channel:
            return paths.join(self._path, package.name_in_cache)
        if self._wheels is None:
            self._wheels = dict(uvcache.unpacked(self._path))
        return self._wheels.get((normal_name(package.name), package.version), "")


def _not_linked(place: str, package: Package) -> Iterator[int]:
    """Yield the sizes of a package's files with a prefix, and of modules without bytecode."""
    with open(paths.join(place, "info", "paths.json"), "rb") as file:
        listed = json.load(file)["paths"]
    for entry in listed:
        is_compiled = package.subdir == _NOARCH and entry["_path"].endswith(".py")
        if "prefix_placeholder" in entry or is_compiled:
            yield int(entry.get("size_in_bytes") or 0)
