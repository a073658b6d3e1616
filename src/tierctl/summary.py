"""How many packages a change adds, removes, upgrades: the short form of a diff."""

from __future__ import annotations

from tierctl.errors import TierctlError
from tierctl.filesystem import FileSystem, exists
from tierctl.layout import BLUE, GREEN, PRODUCTION, Layout
from tierctl.rotation import Content, State

# By kind of difference.
Counts = dict[str, int]


def of_change(fs: FileSystem, layout: Layout, before: State, after: State) -> Counts | None:
    """Return how many packages differ in what production serves or, if that stays, a tier shows.

    None where one of the two sides does not say what it holds; no change is
    held up by that.
    """
    for tier in (PRODUCTION, BLUE, GREEN, *dict(after.private)):
        old, new = before.behind(tier), after.behind(tier)
        if old != new:
            return _between(fs, layout, old, new)
    return None


def _between(
    fs: FileSystem, layout: Layout, old: Content | None, new: Content | None
) -> Counts | None:
    if old is None or new is None or old.deployment is None or new.deployment is None:
        return None  # of a plain directory no packages are listed
    try:
        if not all(exists(fs, layout.packages_record(each.directory)) for each in (old, new)):
            return None
        from tierctl import difference, packages

        sides = [packages.read(fs, layout, each.directory) for each in (old, new)]
    except (OSError, TierctlError):
        return None
    return difference.counts(difference.between(*sides))
