"""``tierctl run``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from tierctl.cli.commands import COMMANDS
from tierctl.cli.shared import options, values
from tierctl.errors import TierctlError
from tierctl.report import run
from tierctl.target.target import Target

if TYPE_CHECKING:
    pass

_NAMES_A_TARGET = re.compile(r"-t|--target(=|$)")


@click.command(
    "run",
    short_help=COMMANDS["run"],
    # Whatever stands behind the tier is the command's, options included.
    context_settings={"allow_interspersed_args": False},
)
@click.argument("tier", type=values.TierName())
@click.argument("command_line", nargs=-1, required=True, metavar="CMD...")
@options.target
@options.show_help
def command(tier: str, command_line: tuple[str, ...], target: str | None) -> None:
    """Run a command inside a tier, without loading it into this shell.

    CMD finds what a shell finds that has sourced the tier's profile. Its exit
    code is passed on; 127 means that there is no such command. Options of
    tierctl stand before TIER: tierctl run -t DIR staging python -V
    """
    words = command_line[1:] if command_line[0] == "--" else command_line
    if not words:
        raise click.MissingParameter(param_type="argument", param_hint="'CMD...'")
    run.run(_target(target, words), tier, words)


def _target(given: str | None, words: Sequence[str]) -> Target:
    """Return the target at hand; say so if it was named behind the tier."""
    try:
        return values.find_target(given)
    except TierctlError as error:
        if given is None and any(_NAMES_A_TARGET.match(word) for word in words):
            error.hint = (
                "Whatever stands behind the tier belongs to the command, --target too. "
                "Options of tierctl stand before it: tierctl run --target DIR TIER CMD"
            )
            error.command = ""
        raise
