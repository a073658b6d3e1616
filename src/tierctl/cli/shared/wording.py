"""How changes and events are put into words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tierctl.journal.events import EventKind
from tierctl.rotation.state import Color, Content, State
from tierctl.text import shown

if TYPE_CHECKING:
    from tierctl.change.ending import Outcome
    from tierctl.journal.events import Event
    from tierctl.target.users import Author


def outcome(done: Outcome) -> list[str]:
    """Return what a change did, or would do: what moves, then by which steps."""
    if done.event is None:
        return [f"nothing to do: {_already(done.after)}"]
    lines = moved(done.before, done.after) + [f"  by: {step}" for step in done.steps]
    if done.event.packages is not None:
        lines.append(f"packages: {packages(done.event.packages)}")
    return lines


def way_forward(done: Outcome) -> str:
    """Return the command that goes forward again to what a rollback left; empty for all else."""
    event, left = done.event, done.before.served
    if event is None or event.kind is not EventKind.ROLLBACK or left is None:
        return ""
    if event.past.way_back == left:  # it went forward itself
        return ""
    return "promote-staging" if left.deployment is None else f"rollback --to {left.deployment}"


def packages(counts: Mapping[str, int]) -> str:
    """Return how many packages differ: ``2 added, 1 upgraded``."""
    return ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "no changes"


def moved(before: State, after: State) -> list[str]:
    """Return one line for each link that differs: ``production: blue -> green``."""
    lines = []
    if before.production is not after.production:
        served = _deployments(before.served, after.served)
        lines.append(f"production: {before.production or 'none'} -> {after.production}{served}")
    if before.staging is not after.staging:
        staged = _deployments(before.staged, after.staged)
        lines.append(f"staging: {before.staging} -> {after.staging}{staged}")
    for color in Color:
        old, new = before.content(color), after.content(color)
        if old != new:
            staging = " (staging)" if color is before.staging is after.staging else ""
            kept = "" if after.adopted is None else f", kept as deployment {after.adopted}"
            lines.append(f"{color}{staging}: {old}{kept} -> {new}")
    for name, content in after.private:
        if content != before.behind(name):
            lines.append(f"{name}: {before.behind(name) or 'none'} -> {content}")
    return lines


def recovered(event: Event, *, dry_run: bool) -> str:
    """Return the news that an interrupted change is finished first."""
    verb = "Would first finish" if dry_run else "Finished"
    changed = ""
    if event.before is not None:
        changed = ": " + ", ".join(moved(event.before, event.after))
    who = f"{person(event.author)}, {when(event.time)}"
    return f"{verb} an interrupted {event.kind} by {who}{changed}"


def event_line(event: Event) -> str:
    """Return an event as one line of a list, with all that it changed."""
    columns = (event.id, when(event.time), f"{event.kind!s:<9}", person(event.author))
    return _joined(*columns, what(event), event.author.reason)


def short_event(event: Event) -> list[str]:
    """Return the columns of an event for a terminal: what production became, else all that moved.

    The longest comes last.
    """
    before, after = event.before, event.after
    serves = after.production, after.served
    if before is not None and (before.production, before.served) == serves:
        became = what(event)
    else:
        became = f"{after.production or 'none'}{_deployments(None, after.served)}"
    columns = (event.id, minute(event.time), f"{event.kind!s:<9}", became, person(event.author))
    return [shown(column) for column in (*columns, event.author.reason) if column]


def event_in_full(event: Event) -> list[str]:
    """Return all that an event tells, one fact a line."""
    facts = [
        ("event", event.id),
        ("time", when(event.time)),
        ("kind", event.kind),
        ("by", person(event.author)),
        ("why", event.author.reason),
        ("before", "" if event.before is None else str(event.before)),
        ("after", str(event.after)),
        ("packages", "" if event.packages is None else packages(event.packages)),
        ("way back", "" if event.past.way_back is None else str(event.past.way_back)),
        ("rolled back", ", ".join(map(str, event.past.rolled_back))),
    ]
    return [shown(f"{name}: {value}") for name, value in facts if value]


def what(event: Event) -> str:
    """Return what an event changed."""
    if event.before is None:
        return str(event.after)
    return ", ".join(moved(event.before, event.after))


def person(author: Author) -> str:
    """Return who did something, and where."""
    return f"{shown(author.user)} on {shown(author.host)}"


def when(time: str) -> str:
    """Return an event's time for people."""
    return shown(time.replace("T", " ").replace("Z", " UTC"))


def minute(time: str) -> str:
    """Return an event's time to the minute, UTC."""
    return shown(time.replace("T", " ")[:16])


def _joined(*columns: str) -> str:
    return shown("  ".join(filter(None, columns)))


def _already(state: State) -> str:
    if state.served is None or state.served.deployment is None:
        return f"production is {state.production} already"
    return f"production serves {state.served} already ({state.production})"


def _deployments(before: Content | None, after: Content | None) -> str:
    """Return which deployments a tier moved between, where they have numbers."""
    old = None if before is None else before.deployment
    new = None if after is None else after.deployment
    if new is None:
        return ""
    return f" (deployment {new})" if old in (None, new) else f" (deployment {old} -> {new})"
