"""``tierctl demo``."""

from __future__ import annotations

import click

from tierctl.cli.commands import COMMANDS
from tierctl.cli.shared import options, values
from tierctl.cli.shared.output import result


@click.command("demo", short_help=COMMANDS["demo"])
@click.argument("directory", type=values.Directory(), metavar="[DIR]", required=False)
@options.show_help
def command(directory: str | None) -> None:
    """Play the whole story on a throw-away target, without network.

    Builds, promotes, builds the next version, compares, promotes and goes
    back, and prints each command as you would type it. With DIR, which has to
    be new, everything stays there to look at.
    """
    from tierctl.demo import story

    story.tell(directory, result)
