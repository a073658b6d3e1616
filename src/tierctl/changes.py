"""A change of the infrastructure, in order; and what an interrupted one left, finished.

There is no second way for crashes: a recovery is the plan from what is there
now to what was intended.
"""

from __future__ import annotations

import errno
from typing import NamedTuple, Protocol

from tierctl import control, history, intent
from tierctl.errors import ChangeFailed, ChangeUnfinished, Interrupted, cause_of
from tierctl.events import Author, Event, new_event
from tierctl.filesystem import ExchangeUnsupported, FileSystem, exists
from tierctl.layout import LINKS, Layout, temporary
from tierctl.locking import locked
from tierctl.observe import observe
from tierctl.past import Past
from tierctl.request import Request
from tierctl.rotation import Exchange, Plan, Replace, State, lies_between, plan
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
    control.require_writable(fs, layout)
    control.ensure(fs, layout)
    with locked(fs, layout, author, str(request.kind), lock_timeout):
        interrupted = _finish_interrupted(fs, layout)
        if interrupted is not None:
            reporter.recovered(interrupted)
            if request.is_met_by(interrupted):
                reporter.done(_outcome_of(interrupted))
            _clear_intent(fs, layout, reporter)
            if request.is_met_by(interrupted):
                return
        before, newest = observe(fs, layout), history.newest(fs, layout)
        event = _decide(fs, layout, request, author, before, newest)
        if event is None:
            reporter.done(Outcome(before, before, (), None))
            return
        _perform(fs, layout, request, event, before, reporter)


def preview(
    fs: FileSystem, layout: Layout, request: Request, author: Author, reporter: Reporter
) -> None:
    """Report what ``carry_out`` would do, or raise as it would; writes nothing, takes no lock."""
    control.require_writable(fs, layout)
    interrupted = _interrupted(fs, layout)
    if interrupted is None:
        before, newest = observe(fs, layout), history.newest(fs, layout)
    else:
        reporter.recovered(interrupted)
        if request.is_met_by(interrupted):
            reporter.done(_outcome_of(interrupted))
            return
        before, newest = interrupted.after, interrupted
    event = _decide(fs, layout, request, author, before, newest)
    after = before if event is None else event.after
    exchange = fs.can_exchange(layout.infrastructure)
    reporter.done(Outcome(before, after, plan(before, after, exchange=exchange), event))


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
    def tolerates(error: OSError) -> bool:
        """Say whether to go on: a full disk does not block the way back."""
        steps = plan(before, event.after, exchange=fs.can_exchange(layout.infrastructure))
        return error.errno in _FULL and request.may_go_unrecorded(steps)

    noted = True
    try:
        _write_intent(fs, layout, event)
    except OSError as error:
        if not tolerates(error):
            raise ChangeFailed(str(event.kind), cause_of(error)) from error
        noted = False
    steps = _switch_or_go_back(fs, layout, event, before)
    _make_durable(fs, layout, event)
    try:
        history.append(fs, layout, event)
    except OSError as error:
        if not tolerates(error):
            raise _not_recorded(event, error) from error
        reporter.warn(f"this {event.kind} is not in history: {cause_of(error)}")
        reporter.done(Outcome(before, event.after, steps, event))
        return
    reporter.done(Outcome(before, event.after, steps, event))
    if noted:
        _clear_intent(fs, layout, reporter)


def _write_intent(fs: FileSystem, layout: Layout, event: Event) -> None:
    """Note the change; where that fails, leave no note, or say that one may stand."""
    try:
        intent.write(fs, layout, event)
    except OSError as error:
        if not intent.withdraw(fs, layout):
            raise ChangeUnfinished(str(event.kind), "noted, not begun", cause_of(error)) from error
        raise


def _switch_or_go_back(fs: FileSystem, layout: Layout, event: Event, before: State) -> Plan:
    """Move the links; where that fails, have them as they were and raise ``ChangeFailed``."""
    what = str(event.kind)
    try:
        return _switch(fs, layout, before, event.after)
    except OSError as error:
        cause = cause_of(error)
        # The kernel may have done what it reports as failed: only the links know.
        now = observe(fs, layout)
        if now == event.after:
            return plan(before, event.after, exchange=True)
        try:
            _switch(fs, layout, now, before)
            fs.sync(layout.infrastructure)
        except OSError:
            raise ChangeUnfinished(what, "stopped half way", cause) from error
        if not intent.withdraw(fs, layout):
            raise ChangeUnfinished(what, "undone, but still noted", cause) from error
        raise ChangeFailed(what, cause) from error


def _switch(fs: FileSystem, layout: Layout, before: State, after: State) -> Plan:
    """Take the steps between two states, by exchange where the filesystem can; return them."""
    steps = plan(before, after, exchange=True)
    try:
        _execute(fs, layout, steps)
    except ExchangeUnsupported:
        steps = plan(before, after, exchange=False)
        _execute(fs, layout, plan(observe(fs, layout), after, exchange=False))
    return steps


def _execute(fs: FileSystem, layout: Layout, steps: Plan) -> None:
    """Prepare every new link, then take the steps with nothing in between."""
    drop_temporary_links(fs, layout)
    for step in steps:
        if isinstance(step, Replace):
            fs.make_link(temporary(layout.within(step.name)), step.target)
    for step in steps:
        match step:
            case Exchange(first, second):
                fs.exchange(layout.within(first), layout.within(second))
            case Replace(name):
                fs.rename(temporary(layout.within(name)), layout.within(name))


def drop_temporary_links(fs: FileSystem, layout: Layout) -> None:
    """Remove what an interrupted change had prepared."""
    for name in LINKS:
        path = temporary(layout.within(name))
        if exists(fs, path):
            fs.remove(path)


def _make_durable(fs: FileSystem, layout: Layout, event: Event) -> None:
    """Flush the links and read them back."""
    try:
        fs.sync(layout.infrastructure)
        found = observe(fs, layout)
    except OSError as error:
        raise ChangeUnfinished(
            str(event.kind), "switched, not yet durable", cause_of(error)
        ) from error
    if found != event.after:
        raise Interrupted(str(event.kind), str(event.after), str(found))


def _not_recorded(event: Event, error: OSError) -> ChangeUnfinished:
    return ChangeUnfinished(str(event.kind), "done, not yet in history", cause_of(error))


def _clear_intent(fs: FileSystem, layout: Layout, reporter: Reporter) -> None:
    try:
        intent.clear(fs, layout)
    except OSError as error:
        # All is done and recorded. An exit code that asks to try again would be wrong.
        reporter.warn(f"done, but not tidied up, the next command does: {cause_of(error)}")


def _finish_interrupted(fs: FileSystem, layout: Layout) -> Event | None:
    """Finish the change whose intent stands, if one does, and return its event."""
    event = _interrupted(fs, layout)
    if event is None:
        return None
    try:
        _switch(fs, layout, observe(fs, layout), event.after)
    except OSError as error:
        raise ChangeUnfinished(str(event.kind), "still unfinished", cause_of(error)) from error
    _make_durable(fs, layout, event)
    try:
        history.append(fs, layout, event)
    except OSError as error:
        raise _not_recorded(event, error) from error
    return event


def _interrupted(fs: FileSystem, layout: Layout) -> Event | None:
    """Return the event of an interrupted change that can be finished.

    Raises ``Interrupted`` if the links are where that change never was.
    """
    event = intent.read(fs, layout)
    if event is None or event.before is None:
        return None
    now = observe(fs, layout)
    if not lies_between(now, event.before, event.after):
        raise Interrupted(f"a {event.kind}", str(event.after), str(now))
    return event


def _outcome_of(event: Event) -> Outcome:
    before = event.after if event.before is None else event.before
    return Outcome(before, event.after, (), event)
