"""What an interrupted command left behind."""

from __future__ import annotations

from collections.abc import Iterator

from tierctl import bootstrap
from tierctl.deploy import cachelock, tree
from tierctl.doctor import deployments, records, scratch
from tierctl.doctor.finding import Finding, Remedy, note, problem
from tierctl.filesystem import FileSystem, exists
from tierctl.layout import LINKS, Layout, temporary
from tierctl.prune import caching, removing
from tierctl.text import shown, size

SUBJECT = deployments.LEFTOVERS
# Less of interrupted downloads is not worth a word.
_MUCH_BYTES = 100_000_000


def examine(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    """Yield what could be removed, unless a change is using it just now."""
    if records.change_under_way(fs, layout) is None:
        yield from removable(fs, layout)
    yield from deployments.abandoned(fs, layout)
    yield from _retired(fs, layout)
    yield from _downloads(fs, layout)
    if exists(fs, layout.half_built):
        yield note(
            SUBJECT,
            f"an interrupted bootstrap left {shown(layout.half_built)}",
            "It is in nobody's way.",
            f"If no bootstrap is running: {bootstrap.removal_of(layout.half_built)}",
        )


def _retired(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    """Yield a finding for each deployment and cached package that is not quite gone."""
    for left in removing.in_use(list(removing.retired(fs, layout))):
        yield note(
            SUBJECT,
            f"{shown(left.path)} is left of what was removed"
            + (f": {left.used_by} uses it" if left.used_by else ""),
            "Nobody can load it: it has lost its name. It takes up room until it is gone.",
            "When no process uses it any more, prune removes it:",
            "prune",
        )


def _downloads(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    """Yield a finding if interrupted deploys left much in the cache, and none uses it now."""
    if cachelock.why_kept(fs, layout):
        return
    found = list(caching.interrupted(fs, layout))
    left = tree.own_bytes(f"{layout.cache}/{name}" for name in found)
    if left >= _MUCH_BYTES:
        yield note(
            SUBJECT,
            f"interrupted deploys left {size(left)} in {shown(layout.cache)}: {len(found)} files "
            "or directories that were being fetched",
            "Nobody uses them; they take up room.",
            "To remove them:",
            "prune",
        )


def removable(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    """Yield a finding for each temporary file, link or directory."""
    paths = [temporary(layout.within(name)) for name in LINKS]
    for path in (*paths, temporary(layout.intent), layout.scratch):
        if scratch.is_left_over(fs, layout) if path == layout.scratch else exists(fs, path):
            yield problem(
                SUBJECT,
                f"an interrupted command left {shown(path)}",
                "It is in nobody's way.",
                remedy=Remedy.REMOVE_LEFTOVER,
                path=path,
            )
