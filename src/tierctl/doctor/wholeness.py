"""Whether deployments that people use, or would go back to, are still what was built."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from tierctl.doctor.finding import Finding, fine, problem
from tierctl.errors import InvalidLink, TierctlError
from tierctl.fs.protocol import exists
from tierctl.journal import history
from tierctl.report import verify
from tierctl.report.verify import Verification
from tierctl.rotation.names import PRODUCTION, STAGING
from tierctl.rotation.state import Content
from tierctl.target import tiers
from tierctl.target.target import Target
from tierctl.target.validators import validate_color
from tierctl.text import shown

SUBJECT = "deployments"
_MOST_NAMED = 3


def examine(target: Target) -> Iterator[Finding]:
    """Yield what differs from the manifests, without reading what files hold."""
    found = [
        (verify.verify(target, content, quick=True), why)
        for content, why in sorted(_used(target).items())
    ]
    damaged = [(each, why) for each, why in found if each.differences]
    for each, why in damaged:
        yield _damaged(each, why)
    compared = [f"{each.content}" for each, _ in found if each.is_whole]
    if compared and not damaged:
        yield fine(SUBJECT, f"names, modes and sizes are as built: {', '.join(compared)}")


def _used(target: Target) -> dict[Content, str]:
    """Return the deployments that tiers show and that rollback returns to, each with why."""
    used: dict[Content, str] = {}
    for content in {*_shown(target)}:
        names = tiers.showing(target, content)
        used[content] = f"{shown(', '.join(names))} {'show' if names[1:] else 'shows'}"
    with suppress(TierctlError, OSError):  # history has its own findings
        newest = history.newest(target)
        way_back = None if newest is None else newest.past.way_back
        if way_back is not None:
            used.setdefault(way_back, "a rollback would return to")
    return {content: why for content, why in used.items() if _is_finished(target, content)}


def _is_finished(target: Target, content: Content) -> bool:
    """Say whether there is a build to look at: what is not finished or closed has its finding."""
    try:
        return exists(target.fs, target.deployment_record(content.directory))
    except OSError:
        return False


def _shown(target: Target) -> Iterator[Content]:
    for name in tiers.names(target):
        if name not in (PRODUCTION, STAGING):
            with suppress(InvalidLink):  # the links have their own findings
                yield validate_color(target.within(name), target.fs)


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
