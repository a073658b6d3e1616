"""What a deploy changes: packages, and which commands hide others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import path as paths
from typing import NamedTuple

from tierctl.deploy import unchanged
from tierctl.deploy.wanted import Build
from tierctl.report.difference import Change, between
from tierctl.rotation.state import Content
from tierctl.target.target import Target

# Where definitions have commands of their own, which comes first on PATH.
_OWN = "tier/bin"

Collisions = dict[str, tuple[str, ...]]


class Plan(NamedTuple):
    """What a deploy changes, against what the tier shows now.

    ``collisions``: the commands that several environments bring, or ``tier/bin``
    and one, each with those in the order of PATH, so that the first one wins;
    known to a dry run.
    """

    changes: tuple[Change, ...]
    collisions: Collisions


def against(target: Target, seen: Content | None, wanted: Build) -> Plan:
    """Return what differs from what a tier shows, None for one that is new."""
    before = None if seen is None else unchanged.packages_of(target, seen)
    return Plan(tuple(between(before or {}, wanted.packages)), {})


def collisions(wanted: Build, commands: Mapping[str, Iterable[str]]) -> Collisions:
    """Return the commands that are in several directories of PATH, by name."""
    own = (paths.split(item.path) for item in wanted.definitions.overlay if not item.is_directory)
    owners: Collisions = {name: (_OWN,) for directory, name in own if directory == "bin"}
    for environment in wanted.definitions.environments:
        for command in commands[environment.name]:
            owners[command] = (*owners.get(command, ()), environment.name)
    return {name: owners[name] for name in sorted(owners) if len(owners[name]) > 1}
