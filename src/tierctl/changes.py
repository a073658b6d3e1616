"""A change of the infrastructure, in order; and what an interrupted one left, finished.

There is no second way for crashes: a recovery is the plan from what is there
now to what was intended.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple, Protocol

from tierctl import control, history, intent
from tierctl.errors import ChangeFailed, ChangeUnfinished, Interrupted, TierctlError, cause_of
from tierctl.events import Author, Event, EventKind, new_event
from tierctl.filesystem import FileSystem, exists
from tierctl.layout import Layout
from tierctl.locking import locked
from tierctl.observe import observe
from tierctl.past import Past
from tierctl.request import Request
from tierctl.rotation import Color, Plan, State, lies_between, plan
from tierctl.switching import go_back, switch
from tierctl.validators import validate_rotation

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Outcome(NamedTuple):
    """What a change did, or would do; without an event there was nothing to do."""

    before: State
    after: State
    steps: Plan
    event: Event | None


class Reporter(Protocol):
    """Who is told how a change goes."""

    def recovered(self, event: Event) -> None:
        """Hear that an interrupted change was finished first."""
        ...

    def done(self, outcome: Outcome) -> None:
        """Hear of the change when it is durable and recorded, while its intent still stands.

        Who is killed before this has seen nothing, and finds the change
        finished when typing the command again; who is killed after has seen it.
        """
        ...

    def warn(self, text: str) -> None:
        """Hear of something that went wrong beside the change."""
        ...


def carry_out(
    fs: FileSystem,
    layout: Layout,
    request: Request,
    author: Author,
    reporter: Reporter,
    *,
    lock_timeout: float,
) -> None:
    """Change the infrastructure as asked, or raise a ``TierctlError`` with the reason."""
    with ExitStack() as held:
        with _nothing_changed(request.kind):
            control.require_writable(fs, layout)
            control.ensure(fs, layout)
            held.enter_context(locked(fs, layout, author, str(request.kind), lock_timeout))
            interrupted = interrupted_change(fs, layout)
        if interrupted is not None:
            _finish(fs, layout, request, interrupted, reporter)
            if request.is_met_by(interrupted):
                return
        with _nothing_changed(request.kind):
            before = observe(fs, layout)
            newest = interrupted or history.newest(fs, layout)
            event = _decide(fs, layout, request, author, before, newest)
        if event is None:
            reporter.done(Outcome(before, before, (), None))
        else:
            _perform(fs, layout, request, event, before, reporter)


def preview(
    fs: FileSystem, layout: Layout, request: Request, author: Author, reporter: Reporter
) -> None:
    """Report what ``carry_out`` would do, or raise as it would; writes nothing, takes no lock."""
    with _nothing_changed(request.kind):
        control.require_writable(fs, layout)
        interrupted = interrupted_change(fs, layout)
    if interrupted is not None:
        reporter.recovered(interrupted)
        if request.is_met_by(interrupted):
            reporter.done(_outcome_of(interrupted))
            return
    with _nothing_changed(request.kind):
        before = observe(fs, layout) if interrupted is None else interrupted.after
        newest = interrupted or history.newest(fs, layout)
        event = _decide(fs, layout, request, author, before, newest)
        after = before if event is None else event.after
        steps = plan(before, after, exchange=fs.can_exchange(layout.infrastructure))
    reporter.done(Outcome(before, after, steps, event))


def _decide(
    fs: FileSystem,
    layout: Layout,
    request: Request,
    author: Author,
    state: State,
    newest: Event | None,
) -> Event | None:
    """Return the event to make happen, or None where all is as asked."""
    validate_rotation(state)
    past = Past()
    if newest is not None:
        past = newest.past.reconciled(newest.after.served, state.served)
    after = request.aim(fs, layout, state, past)
    if after == state:
        return None
    return new_event(request.kind, author, state, after, request.past_after(past, state, after))


def _perform(
    fs: FileSystem,
    layout: Layout,
    request: Request,
    event: Event,
    before: State,
    reporter: Reporter,
) -> None:
    no_room = _note(fs, layout, request, event, before)
    steps = _switch_or_go_back(fs, layout, event, before, no_room)
    _make_durable(fs, layout, event, no_room)
    _record(fs, layout, event, reporter, dispensable=request.may_go_unrecorded(steps))
    reporter.done(Outcome(before, event.after, steps, event))
    if no_room is None:
        _clear_intent(fs, layout, reporter)


def _note(
    fs: FileSystem, layout: Layout, request: Request, event: Event, before: State
) -> OSError | None:
    """Write the intent; return why there is none if the change goes ahead without.

    A full disk does not block the way back. What goes ahead so is one step, so
    a crash leaves nothing to finish; but who is killed right after it and types
    the command again goes back further.
    """
    try:
        intent.write(fs, layout, event)
    except OSError as error:
        if not intent.withdraw(fs, layout):
            raise _unfinished(event.kind, "noted, not begun", error) from error
        steps = plan(before, event.after, exchange=True)
        if error.errno in _FULL and request.may_go_unrecorded(steps):
            return error
        raise ChangeFailed(str(event.kind), cause_of(error)) from error
    return None


def _switch_or_go_back(
    fs: FileSystem, layout: Layout, event: Event, before: State, no_room: OSError | None
) -> Plan:
    """Move the links; where that fails, have them as they were and raise ``ChangeFailed``."""
    try:
        return switch(fs, layout, before, event.after, fall_back=no_room is None)
    except OSError as error:
        cause = no_room or error
        _go_back(fs, layout, event, before, cause)
        raise ChangeFailed(str(event.kind), cause_of(cause)) from error


def _go_back(fs: FileSystem, layout: Layout, event: Event, before: State, cause: OSError) -> None:
    """Have the links as they were and no intent, or raise ``ChangeUnfinished``."""
    try:
        now = observe(fs, layout)
        _require_between(now, event)
        if now == event.after:  # it got there, only looking failed: there is no way back from that
            raise cause
        go_back(fs, layout, now, before, event.after)
        fs.sync(layout.infrastructure)
    except OSError as error:
        raise _unfinished(event.kind, "stopped half way", cause) from error
    if not intent.withdraw(fs, layout):
        raise _unfinished(event.kind, "undone, but still noted", cause)


def _make_durable(
    fs: FileSystem, layout: Layout, event: Event, no_room: OSError | None = None
) -> None:
    """Flush the links and read them back."""
    try:
        fs.sync(layout.infrastructure)
        found = observe(fs, layout)
    except OSError as error:
        if no_room is not None:  # without an intent the command, typed again, is a new one
            raise TierctlError(
                f"{event.kind}: switched, not yet durable and not in history: {cause_of(error)}",
                "Mend that, then see what production serves: tierctl status",
            ) from error
        raise _unfinished(event.kind, "switched, not yet durable", error) from error
    if found != event.after:
        raise Interrupted(f"a {event.kind}", str(event.after), str(found))


def _record(
    fs: FileSystem, layout: Layout, event: Event, reporter: Reporter, *, dispensable: bool
) -> None:
    """Append the event; if it is dispensable, a full disk makes that a warning."""
    try:
        history.append(fs, layout, event)
    except OSError as error:
        if not (dispensable and error.errno in _FULL):
            raise _unfinished(event.kind, "done, not yet in history", error) from error
        reporter.warn(f"this {event.kind} is not in history: {cause_of(error)}")


def _clear_intent(fs: FileSystem, layout: Layout, reporter: Reporter) -> None:
    try:
        intent.clear(fs, layout)
    except OSError as error:
        # All is done and recorded. An exit code that asks to try again would be wrong.
        reporter.warn(f"done, but not tidied up, the next command does: {cause_of(error)}")


def interrupted_change(fs: FileSystem, layout: Layout) -> Event | None:
    """Return the event of an interrupted change that can be finished.

    Raises ``Interrupted`` if the links are where that change never was.
    """
    event = intent.read(fs, layout)
    if event is not None:
        now = observe(fs, layout)
        _require_between(now, event)
        _require_contents(fs, layout, now, event)
    return event


def _require_contents(fs: FileSystem, layout: Layout, now: State, event: Event) -> None:
    """Raise ``Interrupted`` if what a color is to show has been removed since."""
    for color in Color:
        content = event.after.content(color)
        if not exists(fs, layout.within(content.directory)):
            intended = f"{event.after}; but {content} is gone"
            raise Interrupted(f"a {event.kind}", intended, str(now))


def _finish(
    fs: FileSystem, layout: Layout, request: Request, event: Event, reporter: Reporter
) -> None:
    """Finish an interrupted change as it would have gone on, and tell of it."""
    dispensable = _is_in_the_way_back(fs, layout, request, event)
    _complete(fs, layout, event, reporter, dispensable=dispensable)
    reporter.recovered(event)
    if request.is_met_by(event):
        reporter.done(_outcome_of(event))
    _clear_intent(fs, layout, reporter)


def _complete(
    fs: FileSystem, layout: Layout, event: Event, reporter: Reporter, *, dispensable: bool
) -> None:
    try:
        intent.flush(fs, layout)
        switch(fs, layout, observe(fs, layout), event.after)
    except OSError as error:
        raise _unfinished(event.kind, "still unfinished", error) from error
    _make_durable(fs, layout, event)
    _record(fs, layout, event, reporter, dispensable=dispensable)


def _is_in_the_way_back(
    fs: FileSystem, layout: Layout, request: Request, interrupted: Event
) -> bool:
    """Say whether on a full disk an interrupted change would block the way back."""
    before, after = _outcome_of(interrupted)[:2]
    if not request.is_met_by(interrupted):
        try:
            before, after = after, request.aim(fs, layout, after, interrupted.past)
        except (TierctlError, OSError):
            return False
    steps = plan(before, after, exchange=fs.can_exchange(layout.infrastructure))
    return request.may_go_unrecorded(steps)


def finish_interrupted(fs: FileSystem, layout: Layout, reporter: Reporter) -> None:
    """Finish the change that was interrupted, if one was; the caller holds the lock."""
    event = interrupted_change(fs, layout)
    if event is None:
        return
    _complete(fs, layout, event, reporter, dispensable=False)
    reporter.recovered(event)
    _clear_intent(fs, layout, reporter)


def _require_between(now: State, event: Event) -> None:
    """Raise ``Interrupted`` if the links are where a change never was."""
    if not lies_between(now, _outcome_of(event).before, event.after):
        raise Interrupted(f"a {event.kind}", str(event.after), str(now))


def _outcome_of(event: Event) -> Outcome:
    before = event.after if event.before is None else event.before
    return Outcome(before, event.after, (), event)


@contextmanager
def _nothing_changed(kind: EventKind) -> Iterator[None]:
    """Raise ``ChangeFailed`` for an error of the system, before the change began."""
    try:
        yield
    except OSError as error:
        raise ChangeFailed(str(kind), cause_of(error)) from error


def _unfinished(kind: EventKind, how_far: str, error: OSError) -> ChangeUnfinished:
    return ChangeUnfinished(str(kind), how_far, cause_of(error))
