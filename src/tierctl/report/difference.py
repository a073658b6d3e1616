"""What differs between the packages of two deployments. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from enum import Enum
from itertools import zip_longest
from typing import NamedTuple

from tierctl.target.packages import Package, Packages

_TOKEN = re.compile(r"\d+|[a-z]+")
_Token = tuple[int, int, str]
_ZERO: _Token = (1, 0, "")


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


def counts(changes: Iterable[Change]) -> dict[str, int]:
    """Return how many differ, by kind."""
    found = Counter(change.kind.value for change in changes)
    return {kind.value: found[kind.value] for kind in Kind if found[kind.value]}


def _by_name(packages: tuple[Package, ...]) -> dict[tuple[str, bool], Package]:
    """Return packages by their name; conda's and pip's of one name are two."""
    return {(package.name, not package.channel): package for package in packages}


def _kind(before: Package | None, after: Package | None) -> Kind | None:
    if before is None:
        return Kind.ADDED
    if after is None:
        return Kind.REMOVED
    if before.version != after.version:
        later = _is_later(after.version, before.version)
        return Kind.UPGRADED if later else Kind.DOWNGRADED
    same = (before.build, before.subdir, before.sha256) == (
        after.build,
        after.subdir,
        after.sha256,
    )
    return None if same else Kind.REBUILT


def _is_later(one: str, other: str) -> bool:
    """Say whether one version is later: enough to tell an upgrade from a downgrade.

    As conda compares: the epoch, then part by part between the dots; in a part
    numbers as numbers, letters below numbers (1.0rc1 before 1.0), "dev" below
    letters and "post" above. What is shorter goes on in zeros.
    """
    nothing: list[_Token] = []
    for part, counterpart in zip_longest(_parts(one), _parts(other), fillvalue=nothing):
        for token, opposite in zip_longest(part, counterpart, fillvalue=_ZERO):
            if token != opposite:
                return token > opposite
    return False


def _parts(version: str) -> list[list[_Token]]:
    epoch, mark, rest = version.lower().partition("+")[0].rpartition("!")
    texts = [epoch if mark else "0", *re.split(r"[._-]", rest)]
    return [[_token(found) for found in _TOKEN.findall(_led_by_a_number(text))] for text in texts]


def _led_by_a_number(text: str) -> str:
    return f"0{text}" if text[:1].isalpha() else text


def _token(text: str) -> _Token:
    """Return what a run of digits or letters is sorted by."""
    if text.isdecimal():
        return 1, int(text), ""
    return {"dev": (-1, 0, ""), "post": (2, 0, "")}.get(text, (0, 0, text))
