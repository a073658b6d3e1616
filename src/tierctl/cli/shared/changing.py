"""What promote-staging and rollback have in common: make a change, tell of it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from tierctl.change import change, ending
from tierctl.cli.shared import wording
from tierctl.cli.shared.output import Call, NobodyReads, folded, result, say
from tierctl.cli.shared.values import find_target
from tierctl.report import loadable
from tierctl.target import users
from tierctl.target.target import Target

if TYPE_CHECKING:
    from tierctl.change.requests import Request
    from tierctl.journal.events import Event


def make(
    call: Call,
    request: Request,
    *,
    target: str | None,
    dry_run: bool,
    message: str,
    lock_timeout: float,
) -> None:
    """Make a change, or show it, and tell of it; raises a ``TierctlError``."""
    here, who = find_target(target), users.current(os.environ, message)
    teller = _TellerOfProduction(call, here, dry_run=dry_run)
    if dry_run:
        change.preview(here, request, who, teller)
    else:
        change.carry_out(here, request, who, teller, lock_timeout=lock_timeout)


class Teller:
    """Tells of a change as it goes: a ``ending.Reporter``."""

    def __init__(self, call: Call, *, dry_run: bool) -> None:
        self.call = call
        self.dry_run = dry_run
        self.call.facts.update(dry_run=dry_run, recovered=None, warnings=[])

    def recovered(self, event: Event) -> None:
        """Say that an interrupted change was, or would be, finished first."""
        say(wording.recovered(event, dry_run=self.dry_run))
        if self.call.json:
            from tierctl.journal.events import to_document

            self.call.facts["recovered"] = to_document(event)

    def warn(self, text: str) -> None:
        """Say what went wrong beside the change."""
        say(folded(f"Warning: {text}", sys.stderr))
        self.call.facts["warnings"].append(text)

    def done(self, outcome: ending.Outcome) -> None:
        """Print the change; the change is made, so printing cannot make it fail."""
        try:
            with suppress(NobodyReads):
                self._print(outcome)
        except OSError as error:
            say(f"Warning: the change could not be printed: {error.strerror}")
        if self.dry_run:
            say("Dry run: nothing was changed.")

    def _print(self, outcome: ending.Outcome) -> None:
        if self.call.json:
            self.call.document(ok=True, **self._members(outcome))
        else:
            result("\n".join(self._lines(outcome)))

    def _lines(self, outcome: ending.Outcome) -> list[str]:
        return wording.outcome(outcome)

    def _members(self, outcome: ending.Outcome) -> dict[str, object]:
        from tierctl.journal.events import state_to_document, to_document

        event = None if self.dry_run or outcome.event is None else to_document(outcome.event)
        return {
            "changed": outcome.event is not None,
            "before": state_to_document(outcome.before),
            "after": state_to_document(outcome.after),
            "steps": [str(step) for step in outcome.steps],
            "event": event,
        }


class _TellerOfProduction(Teller):
    """Says as well if nobody can load what production serves, and how to undo a rollback."""

    def __init__(self, call: Call, target: Target, *, dry_run: bool) -> None:
        super().__init__(call, dry_run=dry_run)
        self._target = target

    def done(self, outcome: ending.Outcome) -> None:
        """See ``Teller.done``."""
        served = outcome.after.served
        if served is not None and loadable.is_meant_to_be(self._target, served):
            hindrance = loadable.hindrance(self._target, served.directory)
            if hindrance:
                self.warn(f"nobody can load production: {served} has {hindrance}")
        super().done(outcome)

    def _lines(self, outcome: ending.Outcome) -> list[str]:
        lines = super()._lines(outcome)
        forward = wording.way_forward(outcome)
        if forward:
            lines.append(self.call.advice("To go forward again:", forward))
        return lines

    def _members(self, outcome: ending.Outcome) -> dict[str, object]:
        forward = wording.way_forward(outcome)
        command = self.call.advice("", forward) or None
        return {**super()._members(outcome), "forward": command}
