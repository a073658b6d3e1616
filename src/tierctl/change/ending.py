"""How every change ends, an interrupted one too: durable, recorded, reported, its intent gone."""

from __future__ import annotations

import errno
from typing import NamedTuple, Protocol

from tierctl.change import adopt
from tierctl.errors import ChangeUnfinished, Interrupted, TierctlError, cause_of
from tierctl.journal import freshness, history, intent
from tierctl.journal.events import Event, EventKind
from tierctl.journal.history import End
from tierctl.journal.lock import HeldLock
from tierctl.rotation.plan import Plan
from tierctl.rotation.state import State
from tierctl.target.links import is_as, observe_for
from tierctl.target.target import Target

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


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


def make_durable(target: Target, event: Event, no_room: OSError | None = None) -> None:
    """Flush the links, complete what was adopted, and read the links back."""
    try:
        target.fs.sync(target.infrastructure)
        adopt.complete(target, event)
        found = event.after
        if not is_as(target, found):
            freshness.refresh(target, dict(event.after.private))
            found = observe_for(target, event.after)
    except OSError as error:
        if no_room is not None:  # without an intent the command, typed again, is a new one
            raise TierctlError(
                f"{event.kind}: switched, not yet durable and not in history: {cause_of(error)}",
                "Fix that, then see what production serves: tierctl status",
            ) from error
        raise unfinished(event.kind, "switched, not yet durable", error) from error
    if found != event.after:
        raise moved_since(event, found)


def record(
    target: Target,
    event: Event,
    reporter: Reporter,
    lock: HeldLock,
    *,
    dispensable: bool,
    is_noted: bool = True,
    at: End | None = None,
) -> None:
    """Append the event; if it is dispensable, a full disk makes that a warning.

    So does any error if the change ``is_noted`` nowhere: typed again, it would be another one.

    Raises ``LockLost``: who has got the lock has found the intent, and recorded the event.
    """
    try:
        lock.require()
        history.append(target, event, at)
    except OSError as error:
        if is_noted and not (dispensable and error.errno in FULL):
            raise unfinished(event.kind, "done, not yet in history", error) from error
        reporter.warn(f"this {event.kind} is not in history: {cause_of(error)}")


def clear_intent(target: Target, reporter: Reporter) -> None:
    """Remove the intent; where that fails, all is done and recorded all the same."""
    try:
        intent.clear(target)
    except OSError as error:
        # An exit code that asks to try again would be wrong.
        reporter.warn(
            f"done, but the note of it cannot be removed: {cause_of(error)}. "
            "The next change removes it first; one of the same kind then does no more than that"
        )


def moved_since(event: Event, now: State) -> Interrupted:
    """Return the error of a change whose links somebody else has moved since it began."""
    return interrupted(event, "the links were moved without tierctl since it began", now)


def interrupted(event: Event, why: str, now: State) -> Interrupted:
    """Return the error of a change that cannot be finished, with the reason."""
    served = str(now.served or "nothing")
    return Interrupted(f"a {event.kind}", why, str(event.after), str(now), served)


def outcome_of(event: Event) -> Outcome:
    """Return what an interrupted change comes to."""
    before = event.after if event.before is None else event.before
    return Outcome(before, event.after, (), event)


def unfinished(kind: EventKind, how_far: str, error: OSError) -> ChangeUnfinished:
    """Return the error of a change that stopped on its way."""
    return ChangeUnfinished(kind, how_far, cause_of(error))
