"""How a deploy is told of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tierctl import difference
from tierctl.cli import wording
from tierctl.cli.changing import Teller as TellerOfChange
from tierctl.cli.output import Call, result, say
from tierctl.text import size

if TYPE_CHECKING:
    from tierctl.difference import Change
    from tierctl.packages import Package
    from tierctl.rotation import Content, State


class Teller(TellerOfChange):
    """Tells of a deploy as it goes: a ``deploying.Reporter``."""

    def __init__(self, call: Call, tier: str, *, dry_run: bool) -> None:
        super().__init__(call, dry_run=dry_run)
        self.tier = tier
        self.call.facts.update(deployment=None, packages=None)

    def begun(self, step: str) -> None:
        """Say which step begins, to a person."""
        if not self.call.json:
            say(f"{step} ...")

    def unchanged(self, state: State, content: Content) -> None:
        """Say that there is nothing to build."""
        from tierctl.events import state_to_document

        document = state_to_document(state)
        self.call.facts["deployment"] = content.deployment
        if self.call.json:
            self.call.document(
                ok=True, changed=False, before=document, after=document, steps=[], event=None
            )
        else:
            result(f"nothing to do: {self.tier} shows just that already ({content})")
        if self.dry_run:
            say("Dry run: nothing was changed.")

    def planned(self, number: int | None, changed: tuple[Change, ...]) -> None:
        """Show what will differ from what the tier shows now."""
        counts = difference.counts(changed)
        self.call.facts.update(deployment=number, packages=counts)
        if self.dry_run:
            self._show(changed, counts)

    def _show(self, changed: tuple[Change, ...], counts: dict[str, int]) -> None:
        if self.call.json:
            self.call.document(ok=True, changed=True, plan=[_member(each) for each in changed])
        else:
            lines = [_line(each) for each in changed]
            result("\n".join([*lines, f"packages: {wording.packages(counts)}"]))
        say("Dry run: nothing was changed.")


def _line(change: Change) -> str:
    before, after = _version(change.before, change), _version(change.after, change)
    versions = " -> ".join(filter(None, (before, after)))
    weight = f" ({size(change.after.size)})" if change.after and change.after.size else ""
    return f"{change.environment}: {change.kind} {change.name} {versions}{weight}"


def _version(package: Package | None, change: Change) -> str:
    """Return a version, and the build where that is all that differs."""
    if package is None:
        return ""
    is_rebuilt = change.before and change.after and change.before.version == change.after.version
    return f"{package.version} {package.build}" if is_rebuilt else package.version


def _member(change: Change) -> dict[str, object]:
    return {
        "environment": change.environment,
        "kind": str(change.kind),
        "name": change.name,
        "before": None if change.before is None else change.before._asdict(),
        "after": None if change.after is None else change.after._asdict(),
    }
