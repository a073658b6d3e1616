"""What differs between the packages of two deployments. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from itertools import takewhile
from typing import NamedTuple

from tierctl.packages import Package, Packages


class Kind(Enum):
    """What became of a package."""

    ADDED = "added"
    REMOVED = "removed"
    UPGRADED = "upgraded"
    DOWNGRADED = "downgraded"
    REBUILT = "rebuilt"

    def __str__(self) -> str:
        return self.value


class Change(NamedTuple):
    """A package that is not the same in two deployments; None where it is missing."""

    environment: str
    kind: Kind
    before: Package | None
    after: Package | None

    @property
    def name(self) -> str:
        """The package's name."""
        package = self.after or self.before
        assert package is not None  # noqa: S101 (a change is of something)
        return package.name


def between(before: Packages, after: Packages) -> list[Change]:
    """Return what differs, by environment and name."""
    changes: list[Change] = []
    for environment in sorted(before.keys() | after.keys()):
        old = _by_name(before.get(environment, ()))
        new = _by_name(after.get(environment, ()))
        for key in sorted(old.keys() | new.keys()):
            kind = _kind(old.get(key), new.get(key))
            if kind is not None:
                changes.append(Change(environment, kind, old.get(key), new.get(key)))
    return changes


def _by_name(packages: tuple[Package, ...]) -> dict[tuple[str, bool], Package]:
    """Return packages by their name; conda's and pip's of one name are two."""
    return {(package.name, not package.channel): package for package in packages}


def _kind(before: Package | None, after: Package | None) -> Kind | None:
    if before is None:
        return Kind.ADDED
    if after is None:
        return Kind.REMOVED
    if before.version != after.version:
        later = _order(after.version) > _order(before.version)
        return Kind.UPGRADED if later else Kind.DOWNGRADED
    same = (before.build, before.subdir, before.sha256) == (
        after.build,
        after.subdir,
        after.sha256,
    )
    return None if same else Kind.REBUILT


def _order(version: str) -> list[tuple[int, int, str]]:
    """Return what a version is sorted by: enough to tell an upgrade from a downgrade.

    As conda compares: an epoch first, then numbers as numbers, letters below
    numbers (1.0rc1 before 1.0), "dev" below letters and "post" above.
    """
    epoch, mark, rest = version.lower().partition("!")
    if not mark:
        epoch, rest = "0", epoch
    parts = [(1, int(epoch), "")] if epoch.isdecimal() else []
    return parts + [_part(token) for token in _tokens(rest)] + [(1, 0, "")]


def _part(token: str) -> tuple[int, int, str]:
    if token.isdecimal():
        return 1, int(token), ""
    if token == "post":  # noqa: S105 (a part of a version)
        return 2, 0, ""
    return (-1, 0, "") if token == "dev" else (0, 0, token)  # noqa: S105 (as above)


def _tokens(text: str) -> Iterator[str]:
    """Yield the runs of digits and of letters; whatever else is there separates them."""
    rest = text.partition("+")[0]
    while rest:
        kind = str.isdecimal if rest[0].isdecimal() else str.isalpha
        token = "".join(takewhile(kind, rest))
        rest = rest[max(len(token), 1) :]
        if token:
            yield token
