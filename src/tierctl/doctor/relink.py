"""What to type to mend a tier or a color."""

from __future__ import annotations

from os import path as paths

from tierctl.doctor import aside, deployments
from tierctl.errors import TierctlError
from tierctl.fs.protocol import FileSystem, Kind, exists
from tierctl.journal import history
from tierctl.journal.events import Event
from tierctl.rotation.names import BLUE, DEPLOYMENTS, GREEN, LINKS, PRODUCTION, STAGING
from tierctl.rotation.state import Color
from tierctl.target.target import Target
from tierctl.text import shown, typed


def advice(target: Target, name: str) -> str:
    """Return how to mend what has a tier's or a color's name."""
    path = target.within(name)
    clear = f"{aside.move(target.fs, path)} && " if _is_in_the_way(target.fs, path) else ""
    if name in (PRODUCTION, STAGING):
        return _to_a_color(target, name, clear)
    finished = deployments.look(target).finished
    if not finished:
        return _without_deployments(target, name)
    shown_last = _shown_last(target, name)
    is_known = shown_last in finished
    number = shown_last if is_known else finished[0]
    which = "what it showed" if is_known else "the newest finished deployment"
    rest = [str(other) for other in finished if other != number]
    others = f" (or {', '.join(rest)})" if rest else ""
    command = f"{clear}ln -sfn {DEPLOYMENTS}/{number} {typed(path)}"
    rid = "" if name in LINKS else f"If nobody needs it any more, remove it (rm {typed(path)}). "
    return f"{rid}To point it to {which}{others}: {command}"


def _shown_last(target: Target, name: str) -> int | None:
    """Return the deployment that a color or private tier showed, as history has it."""
    try:
        for event in history.newest_first(target):
            content = event.after.behind(name)
            if content is not None:
                return content.deployment
    except (TierctlError, OSError):  # which has its finding
        pass
    return None


def color_of(target: Target, tier: str) -> Color | None:
    """Return the color that a tier names, be that color whole or damaged."""
    try:
        head, name = paths.split(target.fs.read_link(target.within(tier)).rstrip("/"))
        if name not in (BLUE, GREEN):
            return None
        top = target.fs.entry(target.infrastructure, follow=True)
        holder = paths.join(target.infrastructure, head) if head else target.infrastructure
        return Color(name) if target.fs.entry(holder, follow=True).is_same(top) else None
    except OSError:
        return None


def free_color(target: Target, tier: str) -> Color | None:
    """Return the color that is a tier's, by what the other shows or what history knows."""
    other = color_of(target, STAGING if tier == PRODUCTION else PRODUCTION)
    if other is not None:
        return other.opposite
    event = newest(target)
    if event is None:
        return None
    return event.after.production if tier == PRODUCTION else event.after.staging


def newest(target: Target) -> Event | None:
    """Return the newest event; None too where history cannot be read, which has its finding."""
    try:
        return history.newest(target)
    except (TierctlError, OSError):
        return None


def _to_a_color(target: Target, tier: str, clear: str) -> str:
    color = free_color(target, tier)
    why = "To point it to the color that is free"
    if color is None:
        color = Color.GREEN if tier == PRODUCTION else Color.BLUE
        why = "Nothing tells which color it showed; look into both, then type, or with the other"
    return f"{why}: {clear}ln -sfn {color} {typed(target.within(tier))}"


def _without_deployments(target: Target, name: str) -> str:
    path = target.within(name)
    if name not in LINKS:
        return f"There is no finished deployment to point it to. To be rid of it: rm {typed(path)}"
    clear = f"{aside.move(target.fs, path)} && " if exists(target.fs, path) else ""
    begin = f"{clear}mkdir {typed(path)}"
    return f"Put its directory {shown(path)} back; or, to begin with an empty one: {begin}"


def _is_in_the_way(fs: FileSystem, path: str) -> bool:
    return exists(fs, path) and fs.entry(path).kind is not Kind.LINK
