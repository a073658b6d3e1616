"""``tierctl verify``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from tierctl.cli.commands import COMMANDS
from tierctl.cli.shared import options, values
from tierctl.cli.shared.output import EXIT_FAILED, Call, result, say
from tierctl.rotation.names import PRODUCTION, STAGING
from tierctl.text import shown

if TYPE_CHECKING:
    from tierctl.report.verify import Verification

_MOST_NAMED = 20


@click.command("verify", short_help=COMMANDS["verify"])
@click.argument("tiers", nargs=-1, type=values.TierOrDeployment(), metavar="[TIER|N]...")
@options.target
@click.option("--quick", is_flag=True, help="Compare names, kinds, modes and sizes; read no file.")
@options.json
@options.show_help
@click.pass_obj
def command(call: Call, tiers: tuple[str, ...], target: str | None, quick: bool) -> int:
    """Compare deployments with what was built, byte for byte.

    Each is compared with the manifest that its build wrote. A TIER stands for
    the deployment that it shows, N is a deployment's number; without any, those
    of production and staging are compared. Exits with 1 if anything differs, or
    if there is no manifest.

    Example: tierctl verify production 4
    """
    from tierctl.report import verify

    here = values.find_target(target)
    names = verify.contents_of(here, tiers)
    found = [verify.verify(here, content, quick=quick) for content in names]
    whole = all(each.is_whole for each in found)
    if call.json:
        documents = [_members(each, names[each.content]) for each in found]
        call.document(ok=whole, quick=quick, deployments=documents)
        return 0 if whole else EXIT_FAILED
    for each in found:
        result("\n".join(_lines(each, names[each.content])))
    for each in found:
        if each.differences:
            say(_advice(call, each, names[each.content]))
    return 0 if whole else EXIT_FAILED


def _advice(call: Call, found: Verification, names: list[str]) -> str:
    """Return what to type to have the same packages whole again, in a tier that can be built."""
    number = str(found.content.deployment)
    tier = next((name for name in names if name not in (PRODUCTION, number)), STAGING)
    promote = "" if PRODUCTION not in names else " Then promote it."
    command = f"deploy {tier} --like {number} --rebuild"
    return call.advice("To build the same packages anew:", command) + promote


def _lines(found: Verification, names: list[str]) -> Iterator[str]:
    tiers = ", ".join(name for name in names if name != str(found.content.deployment))
    what = f"{found.content} ({shown(tiers)})" if tiers else f"{found.content}"
    if found.unknown:
        yield f"{what} cannot be verified: {found.unknown}"
    elif found.is_whole:
        unwitnessed = "" if found.is_witnessed else "; history does not know its manifest"
        yield f"{what} is what was built: {found.names} names compared{unwitnessed}"
    else:
        yield f"{what} is not what was built:"
        yield from (f"  {shown(str(each))}" for each in found.differences[:_MOST_NAMED])
        more = len(found.differences) - _MOST_NAMED
        if more > 0:
            yield f"  and {more} more; --json lists all"


def _members(found: Verification, names: list[str]) -> dict[str, Any]:
    return {
        "names": [shown(name) for name in names],
        "directory": found.content.directory,
        "deployment": found.content.deployment,
        "whole": None if found.unknown else found.is_whole,
        "unknown": found.unknown or None,
        "witnessed": found.is_witnessed,
        "compared": found.names,
        "differences": [
            {
                "path": shown(each.path),
                "what": each.what,
                "wanted": shown(each.wanted),
                "found": shown(each.found),
                "package": shown(each.package) or None,
            }
            for each in found.differences
        ],
    }
