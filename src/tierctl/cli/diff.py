"""``tierctl diff``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from tierctl.cli.commands import COMMANDS
from tierctl.cli.shared import differences, options, values
from tierctl.cli.shared.output import EXIT_DIFFERENT, Call, result, say
from tierctl.rotation.names import PRODUCTION, STAGING
from tierctl.text import shown

if TYPE_CHECKING:
    from tierctl.report.compare import Comparison, Side


@click.command("diff", short_help=COMMANDS["diff"])
@click.argument("before", default=PRODUCTION, type=values.TierOrDeployment(), metavar="[A]")
@click.argument("after", default=STAGING, type=values.TierOrDeployment(), metavar="[B]")
@options.target
@click.option("--exit-code", is_flag=True, help="Exit with 3 if they differ, or may differ.")
@options.json
@options.show_help
@click.pass_obj
def command(call: Call, before: str, after: str, target: str | None, exit_code: bool) -> int:
    """Compare the packages of two tiers.

    And their commands. A and B are tiers or deployment numbers, by default production and staging:
    what the next promotion changes for everybody.
    """
    from tierctl.report import compare

    found = compare.compare(values.find_target(target), before, after)
    if call.json:
        call.document(ok=True, **_members(found))
    else:
        _tell(found)
    return EXIT_DIFFERENT if exit_code and (found.differ or not found.is_whole) else 0


def _tell(found: Comparison) -> None:
    for side in (found.before, found.after):
        if side.packages is None:
            say(f"Of {shown(side.name)} ({side}) no packages are listed.")
    result("\n".join(_lines(found)))


def _lines(found: Comparison) -> Iterator[str]:
    sides = (f"{shown(side.name)} ({side})" for side in (found.before, found.after))
    yield " -> ".join(sides)
    yield from differences.lines(found.changes)
    if found.appearing:
        yield f"commands that appear: {shown(', '.join(found.appearing))}"
    if found.vanishing:
        yield f"commands that vanish: {shown(', '.join(found.vanishing))}"
    if found.files_differ:
        yield "files of tier/ differ"
    if not found.differ:
        yield "no difference" if found.is_whole else "no difference in what can be compared"


def _members(found: Comparison) -> dict[str, Any]:
    return {
        "before": _side(found.before),
        "after": _side(found.after),
        "differ": found.differ if found.differ or found.is_whole else None,
        "packages": differences.members(found.changes),
        "files_differ": found.files_differ,
        "commands": {"appear": found.appearing, "vanish": found.vanishing},
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "name": side.name,
        "directory": side.content.directory,
        "deployment": side.content.deployment,
        "listed": side.packages is not None,
    }
