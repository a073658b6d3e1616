"""``tierctl rollback``."""

from __future__ import annotations

import click

from tierctl.change.requests import Rollback
from tierctl.cli.commands import COMMANDS
from tierctl.cli.shared import changing, options, values
from tierctl.cli.shared.output import Call


@click.command("rollback", short_help=COMMANDS["rollback"])
@click.option(
    "--to",
    type=values.DeploymentNumber(),
    metavar="NUMBER",
    help="Let production serve the deployment of this number, finished and still there.",
)
@options.of_a_change
@click.pass_obj
def command(
    call: Call,
    target: str | None,
    to: int | None,
    dry_run: bool,
    message: str,
    lock_timeout: float,
) -> None:
    """Let production serve what it served before.

    Called again, it goes further back, never forward to what was rolled back.
    What production leaves is marked: promote-staging refuses it without --force.
    The last line says how to go forward again. To the empty tier it goes only if
    --to names it.

    Example: tierctl rollback -m "plots are broken"
    """
    changing.make(
        call,
        Rollback(to),
        target=target,
        dry_run=dry_run,
        message=message,
        lock_timeout=lock_timeout,
    )
