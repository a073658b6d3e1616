"""What promote-staging and rollback have in common: make a change, tell of it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from tierctl import author, changes, ending, loadable
from tierctl.cli import wording
from tierctl.cli.output import Call, NobodyReads, folded, result, say
from tierctl.cli.values import find_target
from tierctl.osfilesystem import OsFileSystem

if TYPE_CHECKING:
    from tierctl.events import Event
    from tierctl.filesystem import FileSystem
    from tierctl.layout import Layout
    from tierctl.request import Request


def change(
    call: Call,
    request: Request,
    *,
    target: str | None,
    dry_run: bool,
    message: str,
    lock_timeout: float,
) -> None:
    """Make a change, or show it, and tell of it; raises a ``TierctlError``."""
    layout = find_target(target)
    fs, who = OsFileSystem(), author.current(os.environ, message)
    teller = _TellerOfProduction(call, fs, layout, dry_run=dry_run)
    if dry_run:
        changes.preview(fs, layout, request, who, teller)
    else:
        changes.carry_out(fs, layout, request, who, teller, lock_timeout=lock_timeout)


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
            from tierctl.events import to_document

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
        from tierctl.events import state_to_document, to_document

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

    def __init__(self, call: Call, fs: FileSystem, layout: Layout, *, dry_run: bool) -> None:
        super().__init__(call, dry_run=dry_run)
        self._fs = fs
        self._layout = layout

    def done(self, outcome: ending.Outcome) -> None:
        """See ``Teller.done``."""
        served = outcome.after.served
        if served is not None and loadable.is_meant_to_be(self._fs, self._layout, served):
            hindrance = loadable.hindrance(self._fs, self._layout, served.directory)
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
