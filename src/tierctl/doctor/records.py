"""History and the intent: whether they can be read, and whether they agree with the links."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tierctl.change import recovery
from tierctl.doctor import aside
from tierctl.doctor.finding import Finding, Remedy, fine, note, problem
from tierctl.errors import BadFile, Interrupted, InvalidLink, NewerVersion, TierctlError
from tierctl.journal import history, intent
from tierctl.journal.events import Event, MalformedEvent, NewerEvent, from_document
from tierctl.journal.lock import read_holder
from tierctl.target import trust
from tierctl.target.links import observe
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.text import shown, typed

SUBJECT = "records"
# So many lines that are no events are named.
_MOST_NUMBERS = 5


def examine(target: Target) -> Iterator[Finding]:
    """Yield what there is to say of the records."""
    if (under_way := change_under_way(target)) is not None:
        yield under_way
        return
    unfinished = list(unfinished_change(target))
    yield from unfinished
    yield from torn_history(target)
    yield from _history(target, between=bool(unfinished))


def change_under_way(target: Target) -> Finding | None:
    """Return the news that somebody holds the lock, in whose records there is nothing to judge."""
    if not _is_locked(target):
        return None
    holder = read_holder(target)
    who = "somebody" if holder is None else str(holder)
    return note(SUBJECT, f"locked by {who}", "A change is under way; its records are not judged.")


def _is_locked(target: Target) -> bool | None:
    """Say whether somebody holds the lock; None if the caller may not ask."""
    try:
        return target.fs.is_locked(target.lock)
    except FileNotFoundError:
        return False
    except OSError:
        return None


def unfinished_change(target: Target) -> Iterator[Finding]:
    """Yield the finding that a change was interrupted, if one was."""
    try:
        event = recovery.interrupted_change(target)
    except Interrupted as error:
        yield _to_be_dropped(target, error)
    except BadFile as error:
        if error.path != target.intent:
            raise  # of the config: that is nothing against the intent
        foreign = isinstance(error, NewerVersion)
        yield _foreign(target, error) if foreign else _to_be_dropped(target, error)
    except InvalidLink:  # the links have their own finding
        event = intent.read(target)
        if event is not None:
            yield _to_be_mended(event)
    else:
        if event is not None:
            yield _to_be_finished(target, event)


def _to_be_finished(target: Target, event: Event) -> Finding:
    may_ask = _is_locked(target) is not None
    return problem(
        SUBJECT,
        f"{_told(event)} was interrupted",
        "The next change finishes it first."
        if may_ask
        else "Or it is under way: you may not ask whether somebody holds the lock.",
        remedy=Remedy.FINISH_CHANGE,
        path=target.intent,
    )


def _to_be_mended(event: Event) -> Finding:
    return problem(
        SUBJECT,
        f"{_told(event)} was interrupted, and a link is broken",
        f"It was to end with: {event.after}",
        "Mend the links so, or as they were before; then:",
        "doctor --fix",
    )


def _to_be_dropped(layout: Layout, error: TierctlError) -> Finding:
    return problem(
        SUBJECT,
        error.message,
        "No change is possible until it is dropped; the links stay as they are.",
        remedy=Remedy.DROP_INTENT,
        path=layout.intent,
    )


def _foreign(target: Target, error: TierctlError) -> Finding:
    return problem(
        SUBJECT,
        error.message,
        "Another version of tierctl wrote it: only that one can finish it.",
        "Update tierctl here. If nobody uses that version any more: "
        + aside.move(target.fs, target.intent),
    )


def _told(event: Event) -> str:
    author = event.author
    return f"a {event.kind} by {shown(author.user)} on {shown(author.host)} ({shown(event.time)})"


def torn_history(target: Target) -> Iterator[Finding]:
    """Yield the finding that the last line of history is torn, if it is."""
    torn = history.torn_bytes(target)
    if torn:
        yield problem(
            SUBJECT,
            f"{shown(target.history)} ends in {torn} bytes of a torn line",
            "Writing it was interrupted. It is passed over, and cut off by the next change.",
            remedy=Remedy.CUT_HISTORY,
            path=target.history,
        )


def _history(target: Target, *, between: bool) -> Iterator[Finding]:
    """``between`` says that a change was interrupted: history lags behind the links."""
    unreadable = list(_unreadable(target))
    yield from unreadable
    try:
        newest = history.newest(target)
    except NewerVersion as error:
        yield problem(
            SUBJECT,
            error.message,
            "This one makes no change: it would go on from an older event.",
            "Update tierctl here.",
        )
        return
    if newest is None:
        yield note(SUBJECT, "no history yet", "Nothing to roll back to.")
    elif not between:
        yield from _against_links(target, newest, whole=not unreadable)


def _against_links(target: Target, newest: Event, *, whole: bool) -> Iterator[Finding]:
    try:
        state = observe(target)
    except InvalidLink:  # the links have their own finding
        return
    if not newest.agrees_with(state):
        yield note(
            SUBJECT,
            "the links were moved without tierctl since the newest event",
            "Since when and by whom is not known; the next change takes it from here.",
        )
    elif whole:
        yield fine(SUBJECT, f"history agrees with the links; newest event: {shown(newest.id)}")


def _unreadable(target: Target) -> Iterator[Finding]:
    if not history.unreadable_lines(target):
        return
    lines = trust.read(target, target.history).split(b"\n")[:-1]
    numbers = [number for number, line in enumerate(lines, 1) if not _is_event(line)]
    are = "lines of {} are no events: lines" if numbers[1:] else "line of {} is no event: line"
    few = ", ".join(map(str, numbers[:_MOST_NUMBERS])) + (", ..." * bool(numbers[_MOST_NUMBERS:]))
    yield problem(
        SUBJECT,
        f"{len(numbers)} {are.format(shown(target.history))} {few}",
        "Passed over: damaged.",
        f"To see the first: sed -n {numbers[0]}p {typed(target.history)}. "
        f"To remove it, while nobody makes a change: "
        f"sed -i {numbers[0]}d {typed(target.history)}",
    )


def _is_event(line: bytes) -> bool:
    try:
        from_document(json.loads(line))
    except NewerEvent:
        return True
    except (MalformedEvent, ValueError, RecursionError):
        return False
    return True
