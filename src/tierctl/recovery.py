"""What an interrupted change left, finished.

There is no second way for crashes: a recovery is the plan from what is there
now to what was intended.
"""

from __future__ import annotations

from tierctl import history, intent
from tierctl.ending import (
    Reporter,
    clear_intent,
    interrupted,
    make_durable,
    moved_since,
    outcome_of,
    record,
    unfinished,
)
from tierctl.errors import TierctlError
from tierctl.events import Event
from tierctl.filesystem import FileSystem, exists
from tierctl.history import End
from tierctl.layout import Layout
from tierctl.locking import HeldLock
from tierctl.observe import observe_for
from tierctl.request import Request
from tierctl.rotation import State, lies_between, plan
from tierctl.switching import drop_temporary_links, switch


def interrupted_change(fs: FileSystem, layout: Layout) -> Event | None:
    """Return the event of an interrupted change that can be finished.

    Raises ``Interrupted`` if the links are where that change never was.
    """
    event = intent.read(fs, layout)
    if event is not None:
        now = observe_for(fs, layout, event.after)
        require_between(now, event)
        _require_contents(fs, layout, now, event)
    return event


def _require_contents(fs: FileSystem, layout: Layout, now: State, event: Event) -> None:
    """Raise ``Interrupted`` if what a color is to show has been removed since."""
    private = (content for _, content in event.after.private)
    for content in (event.after.blue, event.after.green, *filter(None, private)):
        if not exists(fs, layout.within(content.directory)):
            raise interrupted(event, f"{content} is gone", now)


def finish(
    fs: FileSystem,
    layout: Layout,
    event: Event,
    reporter: Reporter,
    lock: HeldLock,
    request: Request | None = None,
) -> None:
    """Finish an interrupted change as it would have gone on, and tell of it.

    ``request`` is what was asked for now. If the change meets it, it is
    reported as done.
    """
    dispensable = request is not None and _is_in_the_way_back(fs, layout, request, event)
    end = _complete(fs, layout, event, lock)
    record(fs, layout, event, reporter, lock, dispensable=dispensable, at=end)
    reporter.recovered(event)
    if request is not None and request.is_met_by(event):
        reporter.done(outcome_of(event))
    clear_intent(fs, layout, reporter)


def _is_in_the_way_back(
    fs: FileSystem, layout: Layout, request: Request, interrupted: Event
) -> bool:
    """Say whether on a full disk an interrupted change would block the way back."""
    before, after = outcome_of(interrupted)[:2]
    if not request.is_met_by(interrupted):
        try:
            before, after = after, request.aim(fs, layout, after, interrupted.past)
        except (TierctlError, OSError):
            return False
    steps = plan(before, after, exchange=fs.can_exchange(layout.infrastructure))
    return request.may_go_unrecorded(steps)


def _complete(fs: FileSystem, layout: Layout, event: Event, lock: HeldLock) -> End:
    """Have the links where they were to be, and return where the event belongs into history."""
    try:
        lock.require()
        end = history.end(fs, layout)
        intent.flush(fs, layout)
        drop_temporary_links(fs, layout, event.after)
        switch(fs, layout, observe_for(fs, layout, event.after), event.after)
    except OSError as error:
        raise unfinished(event.kind, "still unfinished", error) from error
    make_durable(fs, layout, event)
    return end


def require_between(now: State, event: Event) -> None:
    """Raise ``Interrupted`` if the links are where a change never was."""
    if not lies_between(now, outcome_of(event).before, event.after):
        raise moved_since(event, now)
