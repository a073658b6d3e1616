"""``tierctl history``."""

from __future__ import annotations

from itertools import islice

import click

from tierctl.cli.commands import COMMANDS
from tierctl.cli.shared import options, values, wording
from tierctl.cli.shared.output import Call, is_terminal, result, say
from tierctl.errors import NewerVersion
from tierctl.journal import freshness, history
from tierctl.journal.events import Event, to_document


@click.command("history", short_help=COMMANDS["history"])
@click.argument("event", required=False, type=values.EventId())
@options.target
@click.option(
    "--limit",
    type=values.WholeNumber("number of events"),
    metavar="N",
    help="Show no more than the newest N.",
)
@options.json
@options.show_help
@click.pass_obj
def command(call: Call, event: str | None, target: str | None, limit: int | None) -> None:
    """List who changed what, when and why, newest first.

    With EVENT, an id or the beginning of one, show that one in full.

    Example: tierctl history --limit 5
    """
    here = values.find_target(target)
    freshness.refresh_by_reading(here)
    if event is not None:
        _show_one(call, history.find(here, event))
        return
    newer: list[NewerVersion] = []
    events = islice(history.newest_first(here, newer), limit)
    if call.json:
        documents = [to_document(found) for found in events]
        call.document(ok=True, events=documents, newer=len(newer))
        return
    count = 0
    for count, found in enumerate(events, 1):  # noqa: B007 (how many is asked below)
        result(_fitting_line(found) if is_terminal() else wording.event_line(found))
    if newer:
        say(f"{newer[0].message}; of such events {len(newer)} cannot be shown. {newer[0].hint}")
    elif not count:
        say("No events yet.")


def _fitting_line(event: Event) -> str:
    from tierctl.cli.shared import screen

    return screen.fitting(wording.short_event(event))


def _show_one(call: Call, event: Event) -> None:
    if call.json:
        call.document(ok=True, event=to_document(event))
    else:
        result("\n".join(wording.event_in_full(event)))
