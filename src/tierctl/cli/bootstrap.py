"""``tierctl bootstrap``."""

from __future__ import annotations

import os

import click

from tierctl.change import bootstrap
from tierctl.cli.commands import COMMANDS
from tierctl.cli.shared import options, values
from tierctl.cli.shared.output import Call, result, say
from tierctl.fs.local import OsFileSystem
from tierctl.journal.events import to_document
from tierctl.rotation.names import PRODUCTION
from tierctl.target import find, groups, users
from tierctl.target.paths import Layout
from tierctl.text import shown, typed


@click.command("bootstrap", short_help=COMMANDS["bootstrap"])
@click.argument("target_dir", type=values.Directory())
@click.option("--group", metavar="NAME", help="Share the target with a group: its members write.")
@options.dry_run
@options.message
@options.lock_timeout
@options.json
@options.show_help
@click.pass_obj
def command(
    call: Call,
    target_dir: str,
    group: str | None,
    dry_run: bool,
    message: str,
    lock_timeout: float,
) -> None:
    """Create a target in TARGET_DIR.

    Both colors show deployment 1, the empty tier, and can be loaded at once:
    production is green, staging is blue. An
    infrastructure that is there already is never touched. If a bootstrap was
    interrupted, type it again.
    """
    fs = OsFileSystem()
    place = target_dir and find.absolute(target_dir, os.environ)
    shared_with = None if group is None else groups.find(group)
    event = None
    if dry_run:
        bootstrap.check(fs, place, shared_with)
    else:
        who = users.current(os.environ, message)
        event = bootstrap.create(fs, place, who, shared_with, lock_timeout=lock_timeout)
    _tell(
        call,
        Layout.of_target(place),
        dry_run=dry_run,
        event=None if event is None else to_document(event),
    )


def _tell(call: Call, layout: Layout, *, dry_run: bool, event: object) -> None:
    if call.json:
        call.document(
            ok=True, dry_run=dry_run, infrastructure=shown(layout.infrastructure), event=event
        )
        return
    result(f"infrastructure: {shown(layout.infrastructure)}")
    result(f"production: {bootstrap.INITIAL.production}")
    result(f"staging: {bootstrap.INITIAL.staging}")
    if dry_run:
        say("Dry run: nothing was made.")
    else:
        profile = f"{layout.within(PRODUCTION)}/etc/{_profile_of(os.environ.get('SHELL', ''))}"
        say(f"Load it with: source {typed(profile)}")


def _profile_of(shell: str) -> str:
    """Return the name of the profile for a login shell."""
    match os.path.basename(shell):
        case "fish":
            return "profile.fish"
        case "tcsh" | "csh":
            return "profile.csh"
        case _:
            return "profile.sh"
