"""How many packages a change adds, removes, upgrades: the short form of a diff."""

from __future__ import annotations

from tierctl.errors import TierctlError
from tierctl.fs.protocol import exists
from tierctl.rotation.names import BLUE, GREEN, PRODUCTION
from tierctl.rotation.state import Content, State
from tierctl.target.target import Target

# By kind of difference.
Counts = dict[str, int]


def of_change(target: Target, before: State, after: State) -> Counts | None:
    """Return how many packages differ in what production serves or, if that stays, a tier shows.

    None where one of the two sides does not say what it holds; no change is
    held up by that.
    """
    for tier in (PRODUCTION, BLUE, GREEN, *dict(after.private)):
        old, new = before.behind(tier), after.behind(tier)
        if old != new:
            return _between(target, old, new)
    return None


def _between(target: Target, old: Content | None, new: Content | None) -> Counts | None:
    if old is None or new is None or old.deployment is None or new.deployment is None:
        return None  # of a plain directory no packages are listed
    try:
        if not all(
            exists(target.fs, target.packages_record(each.directory)) for each in (old, new)
        ):
            return None
        from tierctl.report import difference
        from tierctl.target import packages

        sides = [packages.read(target, each.directory) for each in (old, new)]
    except (OSError, TierctlError):
        return None
    return difference.counts(difference.between(*sides))
