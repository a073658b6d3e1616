"""What an interrupted change left, finished.

There is no second way for crashes: a recovery is the plan from what is there
now to what was intended.
"""

from __future__ import annotations

from tierctl.change.ending import (
    Reporter,
    clear_intent,
    interrupted,
    make_durable,
    moved_since,
    outcome_of,
    record,
    unfinished,
)
from tierctl.change.links import drop_temporary_links, switch
from tierctl.change.requests import Request
from tierctl.errors import TierctlError
from tierctl.fs.protocol import exists
from tierctl.journal import history, intent
from tierctl.journal.events import Event
from tierctl.journal.history import End
from tierctl.journal.lock import HeldLock
from tierctl.rotation.plan import lies_between, plan
from tierctl.rotation.state import State
from tierctl.target.links import observe_for
from tierctl.target.target import Target


def interrupted_change(target: Target) -> Event | None:
    """Return the event of an interrupted change that can be finished.

    Raises ``Interrupted`` if the links are where that change never was.
    """
    event = intent.read(target)
    if event is not None:
        now = observe_for(target, event.after)
        require_between(now, event)
        _require_contents(target, now, event)
    return event


def _require_contents(target: Target, now: State, event: Event) -> None:
    """Raise ``Interrupted`` if what a color is to show has been removed since."""
    private = (content for _, content in event.after.private)
    for content in (event.after.blue, event.after.green, *filter(None, private)):
        if not exists(target.fs, target.within(content.directory)):
            raise interrupted(event, f"{content} is gone", now)


def finish(
    target: Target,
    event: Event,
    reporter: Reporter,
    lock: HeldLock,
    request: Request | None = None,
) -> None:
    """Finish an interrupted change as it would have gone on, and tell of it.

    ``request`` is what was asked for now. If the change meets it, it is
    reported as done.
    """
    dispensable = request is not None and _is_in_the_way_back(target, request, event)
    end = _complete(target, event, lock)
    record(target, event, reporter, lock, dispensable=dispensable, at=end)
    reporter.recovered(event)
    if request is not None and request.is_met_by(event):
        reporter.done(outcome_of(event))
    clear_intent(target, reporter)


def _is_in_the_way_back(target: Target, request: Request, interrupted: Event) -> bool:
    """Say whether on a full disk an interrupted change would block the way back."""
    before, after = outcome_of(interrupted)[:2]
    if not request.is_met_by(interrupted):
        try:
            before, after = after, request.aim(target, after, interrupted.past)
        except (TierctlError, OSError):
            return False
    steps = plan(before, after, exchange=target.fs.can_exchange(target.infrastructure))
    return request.may_go_unrecorded(steps)


def _complete(target: Target, event: Event, lock: HeldLock) -> End:
    """Have the links where they were to be, and return where the event belongs into history."""
    try:
        lock.require()
        end = history.end(target)
        intent.flush(target)
        drop_temporary_links(target, event.after)
        switch(target, observe_for(target, event.after), event.after)
    except OSError as error:
        raise unfinished(event.kind, "still unfinished", error) from error
    make_durable(target, event)
    return end


def require_between(now: State, event: Event) -> None:
    """Raise ``Interrupted`` if the links are where a change never was."""
    if not lies_between(now, outcome_of(event).before, event.after):
        raise moved_since(event, now)
