"""A change of the infrastructure, in order."""

from __future__ import annotations

from collections.abc import Sequence

from tierctl.change.ending import (
    FULL,
    Outcome,
    Reporter,
    clear_intent,
    make_durable,
    outcome_of,
    record,
    unfinished,
)
from tierctl.change.links import drop_temporary_links, go_back, switch
from tierctl.change.recovery import finish, interrupted_change, require_between
from tierctl.change.requests import Request
from tierctl.errors import (
    ChangeFailed,
    ChangeUnfinished,
    InvalidLink,
    Refused,
    TierctlError,
    cause_of,
)
from tierctl.fs.protocol import exists
from tierctl.journal import freshness, history, intent, store
from tierctl.journal.events import Event, new_event
from tierctl.journal.history import End
from tierctl.journal.lock import HeldLock, locked
from tierctl.report import summary
from tierctl.rotation.names import PRODUCTION
from tierctl.rotation.plan import Plan, plan
from tierctl.rotation.state import Color, Content, State
from tierctl.rotation.trail import Past
from tierctl.target.links import color_of, observe, observe_for, private_tier
from tierctl.target.target import Target
from tierctl.target.users import Author
from tierctl.target.validators import validate_rotation
from tierctl.text import shown


def carry_out(
    target: Target,
    request: Request,
    author: Author,
    reporter: Reporter,
    *,
    lock_timeout: float,
) -> None:
    """Change the infrastructure as asked, or raise a ``TierctlError`` with the reason."""
    with _nothing_changed(request.kind):
        if not store.require_writable(target):
            store.ensure(target)
    with locked(target, author, request.kind, lock_timeout, request.private) as lock:
        with _nothing_changed(request.kind):
            interrupted = interrupted_change(target)
        if interrupted is not None:
            finish(target, interrupted, reporter, lock, request)
            if request.is_met_by(interrupted):
                return
        with _nothing_changed(request.kind):
            before, end = _found(target, request, interrupted, reporter)
            newest = interrupted or end.newest
            event = _decide(target, request, author, before, newest)
        if event is None:
            reporter.done(Outcome(before, before, (), None))
        else:
            _perform(target, request, event, before, end, reporter, lock)


def finish_interrupted(
    target: Target,
    command: str,
    author: Author,
    reporter: Reporter,
    *,
    lock_timeout: float,
) -> None:
    """Finish an interrupted change, if there is one, before the work of a command begins."""
    with _nothing_changed(command):
        store.require_writable(target)
        if not exists(target.fs, target.intent):
            return
    with locked(target, author, command, lock_timeout) as lock:
        with _nothing_changed(command):
            interrupted = interrupted_change(target)
        if interrupted is not None:
            finish(target, interrupted, reporter, lock)


def preview(target: Target, request: Request, author: Author, reporter: Reporter) -> None:
    """Report what ``carry_out`` would do, or raise as it would; writes nothing, takes no lock."""
    with _nothing_changed(request.kind):
        store.require_writable(target)
        freshness.refresh_by_reading(target)
        interrupted = interrupted_change(target)
        newest = history.newest(target)
    if interrupted is not None:
        newest = interrupted
        reporter.recovered(interrupted)
        if request.is_met_by(interrupted):
            reporter.done(outcome_of(interrupted))
            return
    with _nothing_changed(request.kind):
        before = _foreseen(target, request, interrupted)
        _tell_if_moved(newest, before, reporter)
        event = _decide(target, request, author, before, newest)
        after = before if event is None else event.after
        steps = plan(before, after, exchange=target.fs.can_exchange(target.infrastructure))
    reporter.done(Outcome(before, after, steps, event))


def _found(
    target: Target,
    request: Request,
    interrupted: Event | None,
    reporter: Reporter,
) -> tuple[State, End]:
    """Return where the links point to and where history ends, held against each other.

    The newest event says where it left the links. Where they are elsewhere,
    either somebody has moved them without tierctl or this host's cache is old,
    so both are read again from the server.
    """
    before, end = observe(target, request.private), history.end(target)
    newest = interrupted or end.newest
    if newest is not None and not newest.agrees_with(before):
        freshness.refresh(target, request.private)
        before, end = observe(target, request.private), history.end(target)
        _tell_if_moved(interrupted or end.newest, before, reporter)
    return before, end


def _tell_if_moved(newest: Event | None, state: State, reporter: Reporter) -> None:
    if newest is not None and not newest.agrees_with(state):
        reporter.warn(
            f"the links are not where the newest event, {shown(newest.id)}, left them "
            f"({newest.after}), and history does not say who moved them; "
            f"going on from where they are now ({state})"
        )


def _foreseen(target: Target, request: Request, interrupted: Event | None) -> State:
    """Return the state that a change begins with, when an interrupted one has been finished."""
    if interrupted is None:
        return observe(target, request.private)
    private = {name: private_tier(target, name) for name in request.private}
    moved = {name: content for name, content in interrupted.after.private if name in private}
    return interrupted.after._replace(private=tuple((private | moved).items()), adopted=None)


def _decide(
    target: Target,
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
    after = request.aim(target, state, past)
    if after == state:
        return None
    past = request.past_after(past, state, after)
    packages = summary.of_change(target, state, after)
    return new_event(request.kind, author, state, after, past, packages, request.built)


def _perform(
    target: Target,
    request: Request,
    event: Event,
    before: State,
    end: End,
    reporter: Reporter,
    lock: HeldLock,
) -> None:
    with _nothing_changed(request.kind):
        lock.require()
    no_room = _note(target, request, event, before)
    steps = _switch_or_go_back(target, event, before, no_room, lock)
    make_durable(target, event, no_room)
    dispensable = request.may_go_unrecorded(steps)
    is_noted = no_room is None
    record(target, event, reporter, lock, dispensable=dispensable, is_noted=is_noted, at=end)
    reporter.done(Outcome(before, event.after, steps, event))
    if is_noted:
        clear_intent(target, reporter)


def _note(target: Target, request: Request, event: Event, before: State) -> OSError | None:
    """Write the intent; return why there is none if the change goes ahead without.

    A full disk does not block the way back. What goes ahead so is one step, so
    a crash leaves nothing to finish; but who is killed right after it and types
    the command again goes back further.
    """
    try:
        intent.write(target, event)
    except OSError as error:
        if not intent.withdraw(target):
            raise unfinished(event.kind, "noted, not begun", error) from error
        steps = plan(before, event.after, exchange=True)
        if error.errno in FULL and request.may_go_unrecorded(steps):
            return error
        raise ChangeFailed(event.kind, cause_of(error)) from error
    return None


def _switch_or_go_back(
    target: Target,
    event: Event,
    before: State,
    no_room: OSError | None,
    lock: HeldLock,
) -> Plan:
    """Move the links; where that fails, have them as they were and raise ``ChangeFailed``."""
    try:
        _look_once_more(target, event, before, lock)
        return switch(target, before, event.after, fall_back=no_room is None)
    except OSError as error:
        cause = no_room or error
        _go_back(target, event, before, cause)
        raise ChangeFailed(event.kind, cause_of(cause)) from error
    except InvalidLink as error:
        raise _stopped(event, error.message) from error


def _look_once_more(target: Target, event: Event, before: State, lock: HeldLock) -> None:
    """Raise ``LockLost``, or ``Refused`` if a color can no longer show what it is to show.

    Everything was read under the lock, when the change was decided. Who moves links or
    removes deployments by hand takes no lock, so the server is asked once more.
    """
    moving = [color for color in Color if before.content(color) != event.after.content(color)]
    try:
        lock.require()
        if moving:
            _require_unserved(target, event, moving)
        for content in map(event.after.content, moving):
            _require_there(target, event, content)
    except TierctlError as error:
        if not intent.withdraw(target):
            raise ChangeUnfinished(event.kind, "noted, not begun", error.message) from error
        raise


def _require_unserved(target: Target, event: Event, moving: Sequence[Color]) -> None:
    target.fs.refresh(target.infrastructure, write=True, names=(PRODUCTION,))
    served = color_of(target, PRODUCTION)
    if served is not None and served in moving:
        raise Refused(
            f"{event.kind}: production shows {served} now, which was about to be pointed to "
            f"{event.after.content(served)}; nothing was changed",
            "Somebody has moved the links meanwhile. See what they show:",
            "status",
        )


def _require_there(target: Target, event: Event, content: Content) -> None:
    if content.deployment is None:
        return
    target.fs.refresh(target.deployments, write=True, names=(str(content.deployment),))
    if not exists(target.fs, target.within(content.directory)):
        raise Refused(
            f"{event.kind}: {content} is gone; nothing was changed",
            "Somebody has removed it meanwhile. See which deployments there are:",
            "prune -n",
        )


def _go_back(target: Target, event: Event, before: State, cause: OSError) -> None:
    """Have the links as they were and no intent, or raise ``ChangeUnfinished``.

    Where the answer to a renaming was lost, the server may do that later, but
    not without what is renamed: after that is removed the links stay as they are seen.
    """
    try:
        drop_temporary_links(target, event.after)
        freshness.refresh(target, dict(event.after.private))
        now = observe_for(target, event.after)
        require_between(now, event)
        if now == event.after:  # it got there, only looking failed: there is no way back from that
            raise cause
        go_back(target, now, before, event.after)
        target.fs.sync(target.infrastructure)
    except OSError as error:
        raise _stopped(event, cause_of(cause)) from error
    except InvalidLink as error:
        raise _stopped(event, error.message) from error
    if not intent.withdraw(target):
        raise unfinished(event.kind, "undone, but still noted", cause)


def _stopped(event: Event, cause: str) -> ChangeUnfinished:
    return ChangeUnfinished(event.kind, "stopped half way", cause)


class _nothing_changed:  # noqa: N801 (as other contexts)
    """Raises ``ChangeFailed`` for an error of the system, before the change began."""

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise ChangeFailed(self._what, cause_of(error)) from error
