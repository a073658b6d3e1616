"""History: events appended to a file, one a line, and read from its end.

A line counts when its newline is there. A last line without one was torn by a
crash: readers pass over it, and the next append cuts it off (its event, if it
was real, is still in the intent). A whole line that is no event is passed over,
too; not so an event of a newer tierctl, since what comes before it is not how it is now.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

from tierctl.errors import BadFile, NewerVersion, NoSuchEvent
from tierctl.fs.protocol import read
from tierctl.journal.events import Event, MalformedEvent, NewerEvent, from_document, to_line
from tierctl.target import trust
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.text import shown

# The newest event is in the first block; who reads on wants more at a time.
_FIRST_BLOCK = 4 * 1024
_LARGEST_BLOCK = 256 * 1024
# In bytes: where no line ends for so long, somebody has written something else there.
_LONGEST_LINE = 16 * 1024 * 1024
# So many events are named where several may be meant.
_MOST_NAMED = 4


class _Line(NamedTuple):
    """A whole line of the file: its offset in bytes, and its text without the newline."""

    start: int
    text: bytes

    @property
    def end(self) -> int:
        return self.start + len(self.text) + 1

    def event(self) -> Event | None:
        """Return the event, None for what is none; raises ``NewerEvent``."""
        try:
            return from_document(json.loads(self.text.decode()))
        except NewerEvent:
            raise
        except (MalformedEvent, ValueError, RecursionError):
            return None


class End(NamedTuple):
    """Where history ends: the offset in bytes at which an event is added, and the newest one.

    ``is_young`` says that the file's name may not be durable yet.
    """

    offset: int
    is_young: bool
    newest: Event | None


def end(target: Target) -> End:
    """Find the end of history; raises ``Untrusted``, or ``NewerVersion`` as ``newest_first``."""
    last = event = None
    for line in _lines_from_end(target):
        last = last or line
        if (event := _event(target, line)) is not None:
            break
    if last is None:
        return End(0, is_young=True, newest=None)
    return End(last.end, is_young=last.start == 0, newest=event)


def append(target: Target, event: Event, at: End | None = None) -> None:
    """Add an event, durably, unless it is there already.

    Only the newest event can be the one that is there already: no change
    begins before the one whose intent is written has ended. It is flushed all
    the same, since whoever wrote it may not have come to that. ``at`` is the
    end as it was found under the lock, if it was.
    """
    at = at or end(target)
    known = at.newest is not None and at.newest.id == event.id
    line = b"" if known else to_line(event)
    target.fs.write(target.history, line, at=at.offset)
    if at.is_young:
        target.fs.sync(target.control)


def newest(target: Target) -> Event | None:
    """Return the newest event that can be read, or None without any."""
    return next(newest_first(target), None)


def newest_first(target: Target, newer: list[NewerVersion] | None = None) -> Iterator[Event]:
    """Yield the events, newest first, passing over lines that are none.

    Raises ``NewerVersion`` where a newer tierctl has written one; with a list, that
    is added to it and the event passed over: for those who only show what there is.
    """
    for line in _lines_from_end(target):
        try:
            event = _event(target, line)
        except NewerVersion as error:
            if newer is None:
                raise
            newer.append(error)
        else:
            if event is not None:
                yield event


def _event(layout: Layout, line: _Line) -> Event | None:
    try:
        return line.event()
    except NewerEvent as error:
        raise NewerVersion(layout.history, str(error), stops_changes=True) from error


def find(target: Target, beginning: str) -> Event:
    """Return the one event whose id begins so; raises ``NoSuchEvent`` or ``NewerVersion``."""
    if not beginning:
        raise NoSuchEvent("an event's id cannot be empty", "List them with:", "history")
    newer: list[NewerVersion] = []
    events = newest_first(target, newer)
    found = [event for event in events if event.id.startswith(beginning)]
    exact = [event for event in found if event.id == beginning]
    match exact or found:
        case [event]:
            return event
        case [] if newer:
            raise newer[0]
        case []:
            what = f"no event {shown(beginning)}"
        case _:
            few = ", ".join(event.id for event in found[:_MOST_NAMED])
            more = ", ..." if len(found) > _MOST_NAMED else ""
            what = f"several events begin with {shown(beginning)}: {shown(few)}{more}"
    raise NoSuchEvent(what, "List them with:", "history")


def unreadable_lines(target: Target) -> int:
    """Count the whole lines that are no events, whatever the version."""
    return sum(_is_unreadable(line) for line in _lines_from_end(target))


def _is_unreadable(line: _Line) -> bool:
    try:
        return line.event() is None
    except NewerEvent:
        return False


def torn_bytes(target: Target) -> int:
    """Return how many bytes of a torn line stand at the end of the file."""
    last = next(_lines_from_end(target), None)
    return _size(target) - (0 if last is None else last.end)


def cut_torn_line(target: Target) -> None:
    """Cut off what ``torn_bytes`` counts."""
    end = _size(target) - torn_bytes(target)
    target.fs.write(target.history, b"", at=end)


def _lines_from_end(target: Target) -> Iterator[_Line]:
    """Yield the whole lines, last one first, reading no more than is asked for.

    Raises ``BadFile`` for what is no history.
    """
    try:
        entry, pending = trust.load(target, target.history, -_FIRST_BLOCK)
    except FileNotFoundError:
        return
    start, block = entry.size - len(pending), _FIRST_BLOCK
    while True:  # pending: what is read and not yet yielded, from start on
        if whole := pending.rfind(b"\n") + 1:
            # The first of them may begin further ahead, and be the only one.
            first = 0 if start == 0 else pending.find(b"\n", 0, whole - 1) + 1 or whole
            while whole > first:
                begin = pending.rfind(b"\n", 0, whole - 1) + 1
                yield _Line(start + begin, pending[begin : whole - 1])
                whole = begin
            pending = pending[:first]
        if len(pending) > _LONGEST_LINE:
            raise BadFile(target.history, f"a line of it has more than {_LONGEST_LINE} bytes")
        if start == 0:
            return
        length = min(block, start)
        start, block = start - length, min(2 * block, _LARGEST_BLOCK)
        pending = read(target.fs, target.history, start, length) + pending


def _size(target: Target) -> int:
    """Return the size in bytes, 0 without history; raises ``Untrusted``."""
    try:
        return trust.require(target, target.history).size
    except FileNotFoundError:
        return 0
