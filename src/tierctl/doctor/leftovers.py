"""What an interrupted command left behind."""

from __future__ import annotations

from collections.abc import Iterator

from tierctl.change import bootstrap
from tierctl.deploy import cachelock
from tierctl.doctor import deployments, records, scratch
from tierctl.doctor.finding import Finding, Remedy, note, problem
from tierctl.fs import tree
from tierctl.fs.protocol import exists
from tierctl.prune import caching, removing
from tierctl.rotation.names import LINKS
from tierctl.target.paths import temporary
from tierctl.target.target import Target
from tierctl.text import shown, size

SUBJECT = deployments.LEFTOVERS
# Less of interrupted downloads is not worth a word.
_MUCH_BYTES = 100_000_000


def examine(target: Target) -> Iterator[Finding]:
    """Yield what could be removed, unless a change is using it just now."""
    if records.change_under_way(target) is None:
        yield from removable(target)
    yield from deployments.abandoned(target)
    yield from _retired(target)
    yield from _downloads(target)
    if exists(target.fs, target.half_built):
        yield note(
            SUBJECT,
            f"an interrupted bootstrap left {shown(target.half_built)}",
            "It is in nobody's way.",
            f"If no bootstrap is running: {bootstrap.removal_of(target.half_built)}",
        )


def _retired(target: Target) -> Iterator[Finding]:
    """Yield a finding for each deployment and cached package that is not quite gone."""
    for left in removing.in_use(list(removing.retired(target))):
        yield note(
            SUBJECT,
            f"{shown(left.path)} is left of what was removed"
            + (f": {left.used_by} uses it" if left.used_by else ""),
            "Nobody can load it: it has lost its name. It takes up room until it is gone.",
            "When no process uses it any more, prune removes it:",
            "prune",
        )


def _downloads(target: Target) -> Iterator[Finding]:
    """Yield a finding if interrupted deploys left much in the cache, and none uses it now."""
    if cachelock.why_kept(target):
        return
    found = list(caching.interrupted(target))
    left = tree.own_bytes(f"{target.cache}/{name}" for name in found)
    if left >= _MUCH_BYTES:
        yield note(
            SUBJECT,
            f"interrupted deploys left {size(left)} in {shown(target.cache)}: {len(found)} files "
            "or directories that were being fetched",
            "Nobody uses them; they take up room.",
            "To remove them:",
            "prune",
        )


def removable(target: Target) -> Iterator[Finding]:
    """Yield a finding for each temporary file, link or directory."""
    paths = [temporary(target.within(name)) for name in LINKS]
    for path in (*paths, temporary(target.intent), target.scratch):
        if scratch.is_left_over(target) if path == target.scratch else exists(target.fs, path):
            yield problem(
                SUBJECT,
                f"an interrupted command left {shown(path)}",
                "It is in nobody's way.",
                remedy=Remedy.REMOVE_LEFTOVER,
                path=path,
            )
