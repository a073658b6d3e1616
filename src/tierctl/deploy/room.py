"""Whether there is room for a build, as far as that can be told before it."""

from __future__ import annotations

from os import path as paths

from tierctl.deploy import tree
from tierctl.errors import TierctlError
from tierctl.layout import Layout
from tierctl.packages import Package, Packages
from tierctl.text import shown, size

# An archive, and what is extracted from it: conda packages grow about fourfold.
_ARCHIVE_AND_CONTENT = 5
# Of a package in the cache a deployment holds links, and the files with a prefix in them.
_OF_A_CACHED_ONE = 0.2
_BESIDES_BYTES = 16 << 20


class NoRoom(TierctlError):
    """A build would not fit."""

    code = "no-room"

    def __init__(self, place: str, needed: int, free: int) -> None:
        super().__init__(
            f"not enough room in {shown(place)}: about {size(needed)} are needed, "
            f"{size(free)} are free, {size(needed - free)} are missing",
            "Make room, or remove deployments that nobody needs. No tier was changed.",
        )


def require(layout: Layout, wanted: Packages) -> None:
    """Raise ``NoRoom`` unless the packages fit, by an estimate from their archives' sizes."""
    needed, free = estimate(layout, wanted), tree.free_bytes(layout.infrastructure)
    if free < needed:
        raise NoRoom(layout.infrastructure, needed, free)


def estimate(layout: Layout, wanted: Packages) -> int:
    """Return about how many bytes a build takes, in the cache and in the deployment."""
    each = {package for found in wanted.values() for package in found}
    return _BESIDES_BYTES + round(sum(package.size * _factor(layout, package) for package in each))


def _factor(layout: Layout, package: Package) -> float:
    is_cached = paths.isdir(paths.join(layout.cache, package.name_in_cache))
    return _OF_A_CACHED_ONE if is_cached else _ARCHIVE_AND_CONTENT
