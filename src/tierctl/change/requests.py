"""What can be asked of an infrastructure: where each kind of change wants to go, and its guards."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple, Protocol

from tierctl.errors import (
    EmptiesProduction,
    Guarded,
    NothingToRollBackTo,
    TierctlError,
    WrongColor,
)
from tierctl.fs.protocol import exists
from tierctl.journal.events import Built, Event, EventKind
from tierctl.rotation.plan import Exchange, Plan
from tierctl.rotation.state import Color, Content, State, promoted, rolled_back
from tierctl.rotation.trail import Past
from tierctl.target import record, tiers
from tierctl.target.target import Target
from tierctl.text import counted, shown

# So many commands that would vanish are named.
_MOST_NAMED = 5


class Request(Protocol):
    """A change that somebody asks for."""

    @property
    def kind(self) -> EventKind:
        """The kind of event that the change makes."""
        ...

    @property
    def private(self) -> tuple[str, ...]:
        """The private tiers that the change is about."""
        ...

    @property
    def built(self) -> Built | None:
        """What was built for the change."""
        ...

    def aim(self, target: Target, state: State, past: Past) -> State:
        """Return the state to end in, or raise the reason against it.

        The state it was given means that there is nothing to do.
        """
        ...

    def past_after(self, past: Past, before: State, after: State) -> Past:
        """Return the past as it stands after the change."""
        ...

    def is_met_by(self, event: Event) -> bool:
        """Say whether an interrupted change is the one asked for."""
        ...

    def may_go_unrecorded(self, steps: Plan) -> bool:
        """Say whether the change goes ahead when the disk is too full to record it."""
        ...


class Promotion(NamedTuple):
    """Staging's color becomes production."""

    to: Color | None = None
    force: bool = False
    kind: EventKind = EventKind.PROMOTION
    private: tuple[str, ...] = ()
    built: Built | None = None

    def aim(self, target: Target, state: State, past: Past) -> State:
        """See ``Request.aim``."""
        if self.to is not None and self.to is state.production:
            return state
        if self.to not in (None, state.staging):
            raise WrongColor(
                f"staging is {state.staging}, not {self.to}",
                "To promote it:",
                f"promote-staging --to {state.staging}",
            )
        if not self.force:
            _guard_against_going_back(target, state.staged, past)
            _guard_against_unfinished(target, state.staged)
        return promoted(state)

    def past_after(self, past: Past, before: State, after: State) -> Past:
        """See ``Request.past_after``."""
        return past.after_promotion(before.served, before.staged)

    def is_met_by(self, event: Event) -> bool:
        """See ``Request.is_met_by``."""
        return event.kind is self.kind and self.to in (None, event.after.production)

    def may_go_unrecorded(self, steps: Plan) -> bool:
        """See ``Request.may_go_unrecorded``."""
        return False


class Rollback(NamedTuple):
    """Production serves again what it served before, or a deployment named by its number."""

    to: int | None = None
    kind: EventKind = EventKind.ROLLBACK
    private: tuple[str, ...] = ()
    built: Built | None = None

    def aim(self, target: Target, state: State, past: Past) -> State:
        """See ``Request.aim``."""
        if state.production is None:
            raise NothingToRollBackTo(
                "production does not exist yet", "Promote first:", "promote-staging"
            )
        content = self._destination(past)
        if content == state.served:
            return state
        _require_present(target, state, content)
        if self.to is None:
            _require_not_empty(target, state, content, past)
        return rolled_back(state, content)

    def _destination(self, past: Past) -> Content:
        if self.to is not None:
            return Content.of_deployment(self.to)
        if past.way_back is None:
            raise NothingToRollBackTo(
                "history does not say what production served before that",
                "To go to a deployment that is still there:",
                "rollback --to NUMBER",
            )
        return past.way_back

    def past_after(self, past: Past, before: State, after: State) -> Past:
        """See ``Request.past_after``."""
        if before.served is None or after.served is None:
            raise ValueError("a rollback is between two contents")
        return past.after_rollback(before.served, after.served)

    def is_met_by(self, event: Event) -> bool:
        """See ``Request.is_met_by``."""
        if event.kind is not self.kind or event.after.served is None:
            return False
        return self.to in (None, event.after.served.deployment)

    def may_go_unrecorded(self, steps: Plan) -> bool:
        """See ``Request.may_go_unrecorded``: one step needs no intent to be finished by."""
        return len(steps) == 1 and isinstance(steps[0], Exchange)


def _guard_against_going_back(target: Target, staged: Content, past: Past) -> None:
    """Refuse to promote what production has left behind.

    Only deployments are guarded: what a plain directory holds now is not known
    to be what it held then, and tiers made by hand go back and forth.
    """
    if staged.deployment is None:
        return
    if staged.deployment in past.rolled_back:
        raise Guarded(
            f"staging shows {staged}, which was rolled back",
            "Deploy a fixed one, or promote it all the same with --force.",
        )
    if staged in past.trail:
        raise Guarded(
            f"staging shows {record.described(target, staged)}, which production served "
            "before: that would be a rollback",
            "To promote it all the same: --force. To go back:",
            f"rollback --to {staged.deployment}",
        )


def _guard_against_unfinished(target: Target, staged: Content) -> None:
    if staged.deployment is None or record.is_finished(target, staged.directory):
        return
    raise Guarded(
        f"staging shows {staged}, which was never finished: "
        f"it has no {shown(target.deployment_record(staged.directory))}",
        "Deploy it again; or, if you know that it is whole, promote it with --force.",
    )


def _require_present(target: Target, state: State, content: Content) -> None:
    if content == state.staged:
        return
    if content.deployment is None:
        raise NothingToRollBackTo(
            f"production served the plain directory {content.directory} before, "
            f"and staging does not show that any more",
            "Name a deployment that is still there:",
            "rollback --to NUMBER",
        )
    if content not in (state.blue, state.green):  # a link keeps what it shows from being pruned
        with suppress(FileNotFoundError):
            target.fs.refresh(target.deployments)
    if not record.is_finished(target, content.directory):
        gone = not exists(target.fs, target.within(content.directory))
        finished = tiers.deployments(target, finished=True)
        raise NothingToRollBackTo(
            f"{content} is not there" if gone else f"{content} was never finished",
            f"Finished deployments: {', '.join(map(str, finished)) or 'none'}. "
            "See what was served before:",
            "history",
        )
    if state.staged.deployment is None:
        raise NothingToRollBackTo(
            f"staging's color {state.staging} is a plain directory, "
            f"and a rollback to {content} would have to move it away",
            f"Make it a deployment: move it to {shown(target.deployments)}/NUMBER, "
            f"and link {state.staging} to that.",
        )


def _require_not_empty(target: Target, state: State, content: Content, past: Past) -> None:
    """Raise ``EmptiesProduction`` if a rollback takes away all: a second one can be meant as undo.

    The full disk that never blocks the way back does not block ``--to`` either.
    """
    served = state.served
    if served is None or not record.is_empty_tier(target, content):
        return
    if record.is_empty_tier(target, served):
        return
    left = state.staged.deployment
    undo = f"To undo the last rollback: --to {left}. " if left in past.rolled_back else ""
    raise EmptiesProduction(
        f"this rollback leads to {content}, {record.EMPTY_TIER}: production would lose "
        f"{_what_is_in(target, served)}",
        f"{undo}If you mean it:",
        f"rollback --to {content.deployment}",
    )


def _what_is_in(target: Target, content: Content) -> str:
    """Return what somebody loses with a content: how many packages, and which commands."""
    from tierctl.report import compare

    try:
        side = compare.side_of(target, content)
    except (OSError, TierctlError):  # the refusal stands without that
        return f"all that is in {content}"
    what = []
    if packages := sum(map(len, (side.packages or {}).values())):
        what.append(counted(packages, "package"))
    if commands := sorted(map(shown, side.commands)):
        more = ["..."] if len(commands) > _MOST_NAMED else []
        names = ", ".join(commands[:_MOST_NAMED] + more)
        what.append(f"{counted(len(commands), 'command')} ({names})")
    return " and ".join(what) or f"all that is in {content}"
