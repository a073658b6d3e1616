"""How a deploy is told of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tierctl.cli.shared import differences, wording
from tierctl.cli.shared.bars import Bars
from tierctl.cli.shared.changing import Teller as TellerOfChange
from tierctl.cli.shared.output import Call, result, say, talks_to_terminal
from tierctl.report import difference
from tierctl.text import shown

if TYPE_CHECKING:
    from tierctl.change.ending import Outcome
    from tierctl.deploy.deploy import Seen
    from tierctl.deploy.engine.progress import Progress, Step
    from tierctl.deploy.plans import Plan
    from tierctl.journal.events import Event


class Teller(TellerOfChange):
    """Tells of a deploy as it goes: a ``deploying.Reporter``.

    On a terminal there are bars until there is something to say, elsewhere
    lines; with ``--json`` nothing.
    """

    def __init__(self, call: Call, tier: str, *, dry_run: bool) -> None:
        super().__init__(call, dry_run=dry_run)
        self.tier = tier
        self.bars = Bars() if talks_to_terminal() and not call.json else None
        self.call.facts.update(deployment=None, packages=None)

    def close(self) -> None:
        """Show no bars any more."""
        if self.bars is not None:
            self.bars.stop()

    def begun(self, step: Step, what: str) -> None:
        """Show which step begins."""
        if self.bars is not None:
            self.bars.begin(step, shown(what))
        elif not self.call.json:
            say(f"{step.value} {shown(what)} ...")

    def advanced(self, done: Progress) -> None:
        """Show how far an install is."""
        if self.bars is not None:
            self.bars.advance(done)

    def recovered(self, event: Event) -> None:
        """Say that an interrupted change was finished first."""
        self.close()
        super().recovered(event)

    def warn(self, text: str) -> None:
        """Say what went wrong beside the deploy."""
        self.close()
        super().warn(text)

    def done(self, outcome: Outcome) -> None:
        """Print the change."""
        self.close()
        super().done(outcome)

    def unchanged(self, seen: Seen) -> None:
        """Say that there is nothing to build."""
        from tierctl.journal.events import state_to_document

        self.close()
        document = state_to_document(seen.state)
        self.call.facts["deployment"] = seen.content and seen.content.deployment
        if self.call.json:
            self.call.document(
                ok=True, changed=False, before=document, after=document, steps=[], event=None
            )
        else:
            result(f"nothing to do: {self.tier} shows just that already ({seen.content})")
        if self.dry_run:
            say("Dry run: nothing was changed.")

    def planned(self, number: int | None, plan: Plan) -> None:
        """Show what will differ from what the tier shows now."""
        counts = difference.counts(plan.changes)
        self.call.facts.update(deployment=number, packages=counts)
        if self.dry_run:
            self.close()
            self._show(plan, counts)

    def _show(self, plan: Plan, counts: dict[str, int]) -> None:
        if self.call.json:
            self.call.document(
                ok=True,
                changed=True,
                plan=differences.members(plan.changes),
                collisions={name: list(owners) for name, owners in plan.collisions.items()},
            )
        else:
            lines = [*differences.lines(plan.changes, sizes=True)]
            lines.append(f"packages: {wording.packages(counts)}")
            if not plan.changes:
                lines.append("What differs is in tier/, or in what the environments ask for.")
            lines += [
                f"collision: {shown(name)} is in {', '.join(map(shown, owners))}; "
                f"on PATH {shown(owners[0])} comes first"
                for name, owners in plan.collisions.items()
            ]
            result("\n".join(lines))
        say("Dry run: nothing was changed.")
