"""Whether deployments that people use, or would go back to, are still what was built."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from tierctl import history, tiers, verification
from tierctl.doctor.finding import Finding, fine, problem
from tierctl.errors import InvalidLink, TierctlError
from tierctl.filesystem import FileSystem, exists
from tierctl.layout import PRODUCTION, STAGING, Layout
from tierctl.rotation import Content
from tierctl.text import shown
from tierctl.validators import validate_color
from tierctl.verification import Verification

SUBJECT = "deployments"
_MOST_NAMED = 3


def examine(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    """Yield what differs from the manifests, without reading what files hold."""
    found = [
        (verification.verify(fs, layout, content, quick=True), why)
        for content, why in sorted(_used(fs, layout).items())
    ]
    damaged = [(each, why) for each, why in found if each.differences]
    for each, why in damaged:
        yield _damaged(each, why)
    compared = [f"{each.content}" for each, _ in found if each.is_whole]
    if compared and not damaged:
        yield fine(SUBJECT, f"names, modes and sizes are as built: {', '.join(compared)}")


def _used(fs: FileSystem, layout: Layout) -> dict[Content, str]:
    """Return the deployments that tiers show and that rollback returns to, each with why."""
    used: dict[Content, str] = {}
    for content in {*_shown(fs, layout)}:
        names = tiers.showing(fs, layout, content)
        used[content] = f"{shown(', '.join(names))} {'show' if names[1:] else 'shows'}"
    with suppress(TierctlError, OSError):  # history has its own findings
        newest = history.newest(fs, layout)
        way_back = None if newest is None else newest.past.way_back
        if way_back is not None:
            used.setdefault(way_back, "a rollback would return to")
    return {content: why for content, why in used.items() if _is_finished(fs, layout, content)}


def _is_finished(fs: FileSystem, layout: Layout, content: Content) -> bool:
    """Say whether there is a build to look at: what is not finished or closed has its finding."""
    try:
        return exists(fs, layout.deployment_record(content.directory))
    except OSError:
        return False


def _shown(fs: FileSystem, layout: Layout) -> Iterator[Content]:
    for name in tiers.names(fs, layout):
        if name not in (PRODUCTION, STAGING):
            with suppress(InvalidLink):  # the links have their own findings
                yield validate_color(layout.within(name), fs)


def _damaged(found: Verification, why: str) -> Finding:
    named = [shown(str(each)) for each in found.differences[:_MOST_NAMED]]
    more = len(found.differences) - len(named)
    lines = [*named, f"and {more} more"] if more else named
    return problem(
        SUBJECT,
        "\n".join((f"{found.content}, which {why}, is not what was built:", *lines)),
        "What runs there is not what was tested, and other deployments can share its files.",
        "To see all that differs:",
        f"verify {found.content.deployment}",
    )
