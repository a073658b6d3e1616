"""``tierctl promote-staging``."""

from __future__ import annotations

import click

from tierctl.change.requests import Promotion
from tierctl.cli.commands import COMMANDS
from tierctl.cli.shared import changing, options, values
from tierctl.cli.shared.output import Call
from tierctl.rotation.state import Color


@click.command("promote-staging", short_help=COMMANDS["promote-staging"])
@click.option(
    "--to",
    type=values.COLOR,
    help="Promote this color and no other; if it is production already, all is well.",
)
@click.option(
    "--force", is_flag=True, help="Promote what production served before, or what was rolled back."
)
@options.of_a_change
@click.pass_obj
def command(
    call: Call,
    target: str | None,
    to: str | None,
    force: bool,
    dry_run: bool,
    message: str,
    lock_timeout: float,
) -> None:
    """Make staging's color production.

    Both links change in one atomic step where the filesystem can do that, and
    one right after the other where it cannot. Staging then shows what
    production served before: tierctl rollback goes back to it.

    Example: tierctl promote-staging -m "numpy 2"
    """
    changing.make(
        call,
        Promotion(None if to is None else Color(to), force),
        target=target,
        dry_run=dry_run,
        message=message,
        lock_timeout=lock_timeout,
    )
