"""``tierctl prune``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from tierctl import author, config
from tierctl.cli import options, values
from tierctl.cli.changing import Teller
from tierctl.cli.commands import COMMANDS
from tierctl.cli.output import Call, result, say
from tierctl.osfilesystem import OsFileSystem
from tierctl.text import shown, size

if TYPE_CHECKING:
    from tierctl.prune.pruning import Pruned


@click.command("prune", short_help=COMMANDS["prune"])
@click.option(
    "--keep",
    type=click.IntRange(min=0),
    metavar="NUMBER",
    help="Keep so many of the newest deployments; by default what config.toml says, else 5.",
)
@click.option(
    "--older-than",
    type=values.Age(),
    metavar="DAYS",
    help="Remove only what is older: 30d; by default what config.toml says, else 30d.",
)
@options.target
@options.dry_run
@options.lock_timeout
@options.json
@options.show_help
@click.pass_obj
def command(
    call: Call,
    keep: int | None,
    older_than: int | None,
    target: str | None,
    dry_run: bool,
    lock_timeout: float,
) -> None:
    """Remove deployments and cached packages that nobody needs.

    Kept is what a tier shows, what a rollback would return to, what a process
    of this host uses, the newest ones, and what is young. Of other hosts
    nothing is known: --older-than is for jobs that still run there.

    Example: tierctl prune --keep 3 --older-than 14d -n
    """
    from tierctl.prune import pruning
    from tierctl.prune.retention import Policy

    fs, layout = OsFileSystem(), values.find_target(target)
    recorded = config.load(fs, layout)
    policy = Policy(
        recorded.keep if keep is None else keep,
        recorded.days if older_than is None else older_than,
    )
    teller = PruneTeller(call, dry_run=dry_run)
    if dry_run:
        pruning.preview(fs, layout, policy, teller)
    else:
        who = author.current(os.environ, "")
        pruning.prune(fs, layout, policy, who, teller, lock_timeout=lock_timeout)


class PruneTeller(Teller):
    """Tells of a prune as it goes: a ``pruning.Reporter``."""

    def pruned(self, done: Pruned) -> None:
        """Print what was removed, and what was kept why."""
        if done.not_inspected:
            count = _count(done.not_inspected, "process", "es")
            self.warn(f"{count} of this host could not be inspected, and other hosts never are")
        if not self.call.json:
            result("\n".join(_lines(done, "would remove" if self.dry_run else "removed")))
        elif done.errors:  # the error's document has it
            self.call.facts.update(_members(done))
        else:
            self.call.document(ok=True, **_members(done))
        if self.dry_run:
            say("Dry run: nothing was changed.")


def _members(done: Pruned) -> dict[str, object]:
    return {
        "removed": [verdict.number for verdict in done.verdicts if not verdict.reason],
        "kept": [
            {"deployment": verdict.number, "reason": verdict.reason}
            for verdict in done.verdicts
            if verdict.reason
        ],
        "cached": list(done.cached.names),
        "left": [{"path": left.path, "used_by": left.used_by or None} for left in done.left],
        "freed": done.freed,
        "not_inspected": done.not_inspected,
    }


def _lines(done: Pruned, removed: str) -> list[str]:
    lines = [
        f"deployment {verdict.number}: kept: {shown(verdict.reason)}"
        if verdict.reason
        else f"deployment {verdict.number}: {removed}"
        for verdict in done.verdicts
    ]
    lines += [
        f"still in use: {shown(left.path)}, by {left.used_by or 'a process that cannot be seen'}; "
        "a later prune removes it"
        for left in done.left
    ]
    going = sum(not verdict.reason for verdict in done.verdicts)
    counts = f"{_count(going, 'deployment')}, {_count(len(done.cached.names), 'cached package')}"
    return [*lines, f"{removed}: {counts}, {size(done.freed)}"]


def _count(number: int, of: str, ending: str = "s") -> str:
    return f"{number} {of}" + ending * (number != 1)
