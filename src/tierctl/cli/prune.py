"""``tierctl prune``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from tierctl.cli.commands import COMMANDS
from tierctl.cli.shared import options, values
from tierctl.cli.shared.changing import Teller
from tierctl.cli.shared.output import Call, folded, result, say
from tierctl.target import policy, users
from tierctl.text import counted, shown, size

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
@click.option(
    "--yes",
    is_flag=True,
    help="With --older-than: remove also where nobody can see which processes use a deployment.",
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
    yes: bool,
    target: str | None,
    dry_run: bool,
    lock_timeout: float,
) -> None:
    """Remove deployments and cached packages that nobody needs.

    Kept is what a tier shows, what a rollback would return to, what a process
    of this host uses, the newest ones, and what is young. Of other hosts, and
    of shells that wait at their prompt, nothing is known: --older-than is for
    what they use.

    Example: tierctl prune --keep 3 --older-than 14d -n
    """
    from tierctl.prune import pruning
    from tierctl.prune.retention import Policy

    here = values.find_target(target)
    recorded = policy.load(here)
    wanted = Policy(
        recorded.keep if keep is None else keep,
        recorded.days if older_than is None else older_than,
        unseen=yes and older_than is not None,
    )
    teller = PruneTeller(call, dry_run=dry_run)
    if dry_run:
        pruning.preview(here, wanted, teller)
    else:
        who = users.current(os.environ, "")
        pruning.prune(here, wanted, who, teller, lock_timeout=lock_timeout)


class PruneTeller(Teller):
    """Tells of a prune as it goes: a ``pruning.Reporter``."""

    def pruned(self, done: Pruned) -> None:
        """Print what was removed, and what was kept why."""
        for text in _warnings(done):
            self.warn(text)
        if not self.call.json:
            lines = _lines(done, "would remove" if self.dry_run else "removed")
            result("\n".join(folded(line, sys.stdout, "  ") for line in lines))
        elif done.errors:  # the error's document has it
            self.call.facts.update(_members(done))
        else:
            self.call.document(ok=True, **_members(done))
        if self.dry_run:
            say("Dry run: nothing was changed.")


def _warnings(done: Pruned) -> Iterator[str]:
    """Yield what was not seen, or not looked at."""
    if done.uses.blind:
        yield f"nobody can see here which processes use a deployment: {done.uses.blind}"
    if done.assumed:
        yield done.assumed
    if done.uses.not_inspected:
        count = counted(done.uses.not_inspected, "process", "es")
        yield f"{count} of this host could not be inspected" + (
            ": only root can look at those of other users" if os.geteuid() else ""
        )
    if any(not verdict.reason for verdict in done.verdicts):
        yield (
            "shells that have loaded a tier and wait at their prompt are not seen, nor is any "
            "process of another host: only the age (--older-than) protects what they use"
        )
    for owner in map(shown, done.cached.others):
        yield (
            f"interrupted downloads of {owner} stay in the package cache: {owner} or root removes "
            "them with tierctl prune"
        )
    if done.cache_kept:
        yield f"the package cache stays as it is: {done.cache_kept}"


def _members(done: Pruned) -> dict[str, object]:
    return {
        "removed": [verdict.number for verdict in done.verdicts if not verdict.reason],
        "kept": [
            {"deployment": number, "reason": reason} for number, reason in _kept(done).items()
        ],
        "unfinished": _unfinished(done),
        "cached": list(done.cached.names),
        "left": [{"path": left.path, "used_by": left.used_by or None} for left in done.left],
        "freed": done.freed,
        "not_inspected": done.uses.not_inspected,
        "unseen": done.uses.blind or None,
    }


def _kept(done: Pruned) -> dict[int, str]:
    """Return why each deployment stays that does; an unfinished one, too."""
    kept = {verdict.number: verdict.reason for verdict in done.verdicts if verdict.reason}
    for number, owner in done.unfinished.items():
        if owner is not None:
            kept[number] = (
                f"a deploy of {owner} was interrupted, who can remove what is left of it with "
                "tierctl prune, or root can"
            )
    return kept


def _unfinished(done: Pruned) -> list[int]:
    """Return which unfinished deployments go."""
    return [number for number, owner in done.unfinished.items() if owner is None]


def _lines(done: Pruned, removed: str) -> list[str]:
    fates = dict.fromkeys((verdict.number for verdict in done.verdicts), removed)
    fates |= dict.fromkeys(_unfinished(done), f"{removed}: its deploy was interrupted")
    fates |= {number: f"kept: {shown(reason)}" for number, reason in _kept(done).items()}
    lines = [f"deployment {number}: {fates[number]}" for number in sorted(fates, reverse=True)]
    lines += [
        f"still in use: {shown(left.path)}, by {left.used_by or 'a process that cannot be seen'}; "
        "a later prune removes it"
        for left in done.left
    ]
    return [*lines, f"{removed}: {', '.join(_counts(done))}, {size(done.freed)}"]


def _counts(done: Pruned) -> Iterator[str]:
    yield counted(sum(not verdict.reason for verdict in done.verdicts), "deployment")
    yield counted(len(done.cached.packages + done.cached.wheels), "cached package")
    if done.cached.interrupted:
        yield counted(len(done.cached.interrupted), "interrupted download")
