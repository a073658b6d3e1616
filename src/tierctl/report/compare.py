"""Comparing two deployments: their packages, and the commands that one finds on PATH."""

from __future__ import annotations

from typing import NamedTuple

from tierctl.errors import NoSuchTier
from tierctl.fs.protocol import FileSystem, Kind, exists
from tierctl.journal import freshness
from tierctl.report.difference import Change, between
from tierctl.rotation.names import (
    DEPLOYMENTS,
    ENVIRONMENTS,
    PRODUCTION,
    STAGING,
    is_deployment_number,
)
from tierctl.rotation.state import Content
from tierctl.target import packages, record, tiers
from tierctl.target.packages import Packages
from tierctl.target.target import Target
from tierctl.target.validators import validate_color, validate_symlink_target
from tierctl.text import shown

_EXECUTABLE = 0o111


class Side(NamedTuple):
    """One of the two: what it was called, and what that shows now.

    ``packages`` is None for one of which no list was ever written, as of a
    plain directory; so is ``files``, which is different where a file of ``tier/``
    in the definitions was.
    """

    name: str
    content: Content
    packages: Packages | None
    commands: frozenset[str]
    files: str | None

    def __str__(self) -> str:
        """Return what it shows: ``deployment 41``, ``deployment 1, the empty tier``."""
        is_empty = self.packages == {} and self.files == record.NO_FILES
        return f"{self.content}, {record.EMPTY_TIER}" if is_empty else str(self.content)


class Comparison(NamedTuple):
    """What differs between two sides."""

    before: Side
    after: Side
    changes: tuple[Change, ...]

    @property
    def appearing(self) -> list[str]:
        """The commands that only the second one has."""
        return sorted(self.after.commands - self.before.commands)

    @property
    def vanishing(self) -> list[str]:
        """The commands that only the first one has."""
        return sorted(self.before.commands - self.after.commands)

    @property
    def differ(self) -> bool:
        """Whether there is any difference."""
        return bool(self.changes or self.appearing or self.vanishing or self.files_differ)

    @property
    def is_whole(self) -> bool:
        """Whether all of both was compared: they are one, or both say all that they hold."""
        sides = self.before, self.after
        return self.before.content == self.after.content or all(
            None not in (side.packages, side.files) for side in sides
        )

    @property
    def files_differ(self) -> bool:
        """Whether the definitions had other files in ``tier/``, as far as that is known."""
        before, after = self.before.files, self.after.files
        return None not in (before, after) and before != after


def compare(target: Target, one: str, other: str) -> Comparison:
    """Compare two tiers or deployment numbers.

    Raises ``NoSuchTier``, ``InvalidLink``, ``Untrusted`` or ``BadFile``.
    """
    freshness.refresh_by_reading(target)
    before, after = _side(target, one), _side(target, other)
    changes = between(before.packages or {}, after.packages or {})
    return Comparison(before, after, tuple(changes))


def _side(target: Target, name: str) -> Side:
    return side_of(target, content_of(target, name), name)


def side_of(target: Target, content: Content, name: str = "") -> Side:
    """Return what a content holds, by the name that it was called.

    Raises ``Untrusted``, ``BadFile`` or ``OSError``.
    """
    try:
        listed = packages.read(target, content.directory)
    except FileNotFoundError:
        listed = None
    commands = _commands(target.fs, target.within(content.directory))
    files = record.read(target, content.directory).get("files")
    return Side(name, content, listed, commands, files)


def content_of(target: Target, name: str) -> Content:
    """Return what a tier shows, or a deployment by its number.

    Raises ``NoSuchTier`` or ``InvalidLink``.
    """
    if is_deployment_number(name):
        directory = f"{DEPLOYMENTS}/{name}"
        if not record.is_finished(target, directory):
            finished = tiers.deployments(target, finished=True)
            raise NoSuchTier(
                f"there is no finished deployment {name} in {shown(target.infrastructure)}",
                f"There are: {', '.join(map(str, finished)) or 'none'}",
            )
        return Content(directory)
    tiers.require(target, name)
    path = target.within(name)
    if name in (PRODUCTION, STAGING):
        path = target.within(validate_symlink_target(path, target.fs))
    return validate_color(path, target.fs)


def _commands(fs: FileSystem, tier: str) -> frozenset[str]:
    """Return what a tier's own ``bin`` and those of its environments hold that can be executed."""
    environments = f"{tier}/{ENVIRONMENTS}"
    places = [f"{tier}/bin"]
    if exists(fs, environments):
        places += [f"{environments}/{name}/bin" for name in fs.names(environments)]
    return frozenset(
        name
        for place in places
        if exists(fs, place)
        for name in fs.names(place)
        if _is_command(fs, f"{place}/{name}")
    )


def _is_command(fs: FileSystem, path: str) -> bool:
    try:
        entry = fs.entry(path, follow=True)
    except OSError:  # a link that leads nowhere
        return False
    return entry.kind is Kind.FILE and bool(entry.mode & _EXECUTABLE)
