"""History and the intent: whether they can be read, and whether they agree with the links."""

from __future__ import annotations

from collections.abc import Iterator

from tierctl import changes, filelock, history
from tierctl.doctor.finding import Finding, Remedy, fine, note, problem
from tierctl.errors import BadFile, Interrupted, InvalidLink
from tierctl.events import Event
from tierctl.filesystem import FileSystem
from tierctl.layout import Layout
from tierctl.locking import read_holder
from tierctl.observe import observe
from tierctl.text import shown

SUBJECT = "records"


def examine(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    """Yield what there is to say of the records."""
    if (under_way := change_under_way(fs, layout)) is not None:
        yield under_way
        return
    yield from unfinished_change(fs, layout)
    yield from torn_history(fs, layout)
    yield from _history(fs, layout)


def change_under_way(fs: FileSystem, layout: Layout) -> Finding | None:
    """Return the news that somebody holds the lock, in whose records there is nothing to judge."""
    try:
        if filelock.is_free(layout.lock):
            return None
    except OSError:  # there is none, or the caller may not ask
        return None
    holder = read_holder(fs, layout)
    who = "somebody" if holder is None else str(holder)
    return note(SUBJECT, f"locked by {who}", "A change is under way; its records are not judged.")


def unfinished_change(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    """Yield the finding that a change was interrupted, if one was."""
    try:
        event = changes.interrupted_change(fs, layout)
    except (BadFile, Interrupted) as error:
        yield problem(
            SUBJECT,
            error.message,
            "No change is possible until it is dropped; the links stay as they are.",
            remedy=Remedy.DROP_INTENT,
            path=layout.intent,
        )
        return
    except InvalidLink:
        return  # the links have their own finding
    if event is not None:
        yield problem(
            SUBJECT,
            f"a {event.kind} by {shown(event.author.user)} on {shown(event.author.host)} "
            f"({shown(event.time)}) was interrupted",
            "The next change finishes it first.",
            remedy=Remedy.FINISH_CHANGE,
            path=layout.intent,
        )


def torn_history(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    """Yield the finding that the last line of history is torn, if it is."""
    torn = history.torn_bytes(fs, layout)
    if torn:
        yield problem(
            SUBJECT,
            f"{shown(layout.history)} ends in {torn} bytes of a torn line",
            "Writing it was interrupted. It is passed over, and cut off by the next change.",
            remedy=Remedy.CUT_HISTORY,
            path=layout.history,
        )


def _history(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    unreadable = history.unreadable_lines(fs, layout)
    if unreadable:
        yield problem(
            SUBJECT,
            f"{unreadable} lines of {shown(layout.history)} are no events",
            "They are passed over: damaged, or written by a newer tierctl.",
        )
    newest = history.newest(fs, layout)
    if newest is None:
        yield note(SUBJECT, "no history yet", "Nothing to roll back to.")
    elif _moved_since(fs, layout, newest):
        yield note(
            SUBJECT,
            "the links were moved without tierctl since the newest event",
            "Since when and by whom is not known; the next change takes it from here.",
        )
    elif not unreadable:
        yield fine(SUBJECT, f"history agrees with the links; newest event: {shown(newest.id)}")


def _moved_since(fs: FileSystem, layout: Layout, newest: Event) -> bool:
    try:
        return observe(fs, layout) != newest.after
    except InvalidLink:
        return True
