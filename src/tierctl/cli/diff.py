"""``tierctl diff``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from tierctl.cli import options, values
from tierctl.cli.commands import COMMANDS
from tierctl.cli.output import EXIT_DIFFERENT, Call, result, say
from tierctl.filesystem import OsFileSystem
from tierctl.layout import PRODUCTION, STAGING
from tierctl.text import shown

if TYPE_CHECKING:
    from tierctl.comparing import Comparison, Side
    from tierctl.difference import Change
    from tierctl.packages import Package


@click.command("diff", short_help=COMMANDS["diff"])
@click.argument("before", default=PRODUCTION, type=values.TierOrDeployment(), metavar="[A]")
@click.argument("after", default=STAGING, type=values.TierOrDeployment(), metavar="[B]")
@options.target
@click.option("--exit-code", is_flag=True, help="Exit with 3 if they differ.")
@options.json
@options.show_help
@click.pass_obj
def command(call: Call, before: str, after: str, target: str | None, exit_code: bool) -> int:
    """Compare the packages of two tiers.

    And their commands. A and B are tiers or deployment numbers, by default production and staging:
    what the next promotion changes for everybody.
    """
    from tierctl import comparing

    found = comparing.compare(OsFileSystem(), values.find_target(target), before, after)
    if call.json:
        call.document(ok=True, **_members(found))
    else:
        _tell(found)
    return EXIT_DIFFERENT if exit_code and found.differ else 0


def _tell(found: Comparison) -> None:
    for side in (found.before, found.after):
        if side.packages is None:
            say(f"Of {shown(side.name)} ({side.content}) no packages are listed.")
    result("\n".join(_lines(found)))


def _lines(found: Comparison) -> Iterator[str]:
    yield f"{shown(found.before.name)} ({found.before.content}) -> " + (
        f"{shown(found.after.name)} ({found.after.content})"
    )
    yield from _aligned([_row(change) for change in found.changes])
    if found.appearing:
        yield f"commands that appear: {shown(', '.join(found.appearing))}"
    if found.vanishing:
        yield f"commands that vanish: {shown(', '.join(found.vanishing))}"
    if not found.differ:
        yield "no difference"


def _row(change: Change) -> tuple[str, ...]:
    old, new = change.before, change.after
    versions = " -> ".join(_version(package, change) for package in (old, new) if package)
    return shown(change.environment), str(change.kind), shown(change.name), shown(versions)


def _version(package: Package, change: Change) -> str:
    """Return a version; with the build where that is all that differs."""
    same = change.before and change.after and change.before.version == change.after.version
    return f"{package.version} {package.build}".rstrip() if same else package.version


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells)}".rstrip()


def _members(found: Comparison) -> dict[str, Any]:
    return {
        "before": _side(found.before),
        "after": _side(found.after),
        "differ": found.differ,
        "packages": [
            {
                "environment": change.environment,
                "kind": str(change.kind),
                "name": change.name,
                "before": None if change.before is None else change.before._asdict(),
                "after": None if change.after is None else change.after._asdict(),
            }
            for change in found.changes
        ],
        "commands": {"appear": found.appearing, "vanish": found.vanishing},
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "name": side.name,
        "directory": side.content.directory,
        "deployment": side.content.deployment,
        "listed": side.packages is not None,
    }
