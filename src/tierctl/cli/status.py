"""``tierctl status``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import click

from tierctl.cli.commands import COMMANDS
from tierctl.cli.shared import options, values
from tierctl.cli.shared.output import EXIT_INTERRUPTED, Call, is_terminal
from tierctl.report import status
from tierctl.text import shown

if TYPE_CHECKING:
    from tierctl.target.paths import Layout

_REFRESH_SECONDS = 2.0


@click.command("status", short_help=COMMANDS["status"])
@click.argument("tiers", nargs=-1, type=values.TierName(), metavar="[TIER]...")
@options.target
@click.option("--watch", is_flag=True, help="Show it again every two seconds, until Ctrl-C.")
@options.json
@options.show_help
@click.pass_obj
def command(call: Call, tiers: tuple[str, ...], target: str | None, watch: bool) -> int:
    """Show what production and staging serve, since when and by whom.

    Or what each TIER serves: production, staging, a color, or a private one.

    Example: tierctl status blue dev1
    """
    here = values.find_target(target)

    def read() -> status.Status:
        return status.read(here, tiers)

    if not watch:
        _show(call, here, read())
        return 0
    try:
        _watch(call, here, read)
    except KeyboardInterrupt:  # the way to end it
        return EXIT_INTERRUPTED


def _show(call: Call, layout: Layout, found: status.Status, footer: str = "") -> None:
    if call.json:
        call.document(ok=True, **_members(layout, found))
        return
    from tierctl.cli.shared import screen

    screen.show(screen.StatusTable(layout, found, footer))


def _watch(call: Call, layout: Layout, read: Callable[[], status.Status]) -> NoReturn:
    if is_terminal() and not call.json:
        from tierctl.cli.shared import screen

        screen.watch(lambda: screen.StatusTable(layout, read(), _footer()), _REFRESH_SECONDS)
    while True:
        _show(call, layout, read(), _footer())
        time.sleep(_REFRESH_SECONDS)


def _footer() -> str:
    now = time.strftime("%H:%M:%S")
    return f"{now}, again every {_REFRESH_SECONDS:g} s; Ctrl-C ends" if is_terminal() else ""


def _members(layout: Layout, found: status.Status) -> dict[str, Any]:
    from tierctl.journal.events import to_document

    holder = found.lock.holder
    return {
        "target": shown(layout.top),
        "infrastructure": shown(layout.infrastructure),
        "tiers": {shown(tier.name): _tier_members(tier) for tier in found.tiers},
        "lock": {
            "held": found.lock.held,
            "holder": None if holder is None else holder._asdict(),
        },
        "unfinished": None if found.unfinished is None else to_document(found.unfinished),
        "problems": list(found.problems),
    }


def _tier_members(tier: status.TierStatus) -> dict[str, Any]:
    content, event = tier.content, tier.event
    return {
        "color": None if tier.color is None else tier.color.value,
        "directory": None if content is None else content.directory,
        "deployment": None if content is None else content.deployment,
        "empty": tier.is_empty,
        "since": None if event is None else event.time,
        "user": None if event is None else event.author.user,
        "host": None if event is None else event.author.host,
        "reason": None if event is None else event.author.reason,
        "event": None if event is None else event.id,
        "problem": tier.problem or None,
    }
