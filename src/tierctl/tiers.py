"""The names of a target: its tiers and its deployments."""

from __future__ import annotations

import os
from os import path as paths

from tierctl.layout import DEPLOYMENTS, LINKS, Layout, is_deployment_number

# Private tiers: their names begin so.
PRIVATE = ("dev", "test")


def is_tier_name(name: str) -> bool:
    """Say whether a tier may have this name."""
    return name in LINKS or (name.startswith(PRIVATE) and "/" not in name)


def names(layout: Layout) -> list[str]:
    """Return the tiers that exist: production, staging, the colors, then private ones."""
    found = os.listdir(layout.infrastructure)
    private = sorted(name for name in found if name.startswith(PRIVATE))
    return [name for name in LINKS if name in found] + private


def finished_deployments(layout: Layout) -> list[int]:
    """Return the numbers of the deployments that were finished, newest first."""
    try:
        found = filter(is_deployment_number, os.listdir(layout.deployments))
    except FileNotFoundError:
        return []
    numbers = sorted(map(int, found), reverse=True)
    return [n for n in numbers if paths.exists(layout.deployment_record(f"{DEPLOYMENTS}/{n}"))]
