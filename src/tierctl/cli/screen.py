"""Tables for people, drawn with rich."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from typing import NoReturn, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tierctl.cli import wording
from tierctl.cli.output import result
from tierctl.layout import Layout
from tierctl.status import LockStatus, Status, TierStatus
from tierctl.text import shown

# Wide enough that nothing is folded where a program reads.
_COLUMNS_OF_A_PIPE = 500


def show(drawing: RenderableType) -> None:
    """Print a drawing."""
    drawn = io.StringIO()
    _console(drawn).print(drawing)
    lines = drawn.getvalue().rstrip("\n").split("\n")
    result("\n".join(line.rstrip() for line in lines))


def watch(draw: Callable[[], RenderableType], every: float) -> NoReturn:
    """Show what is drawn on the whole terminal, and draw it again after ``every`` seconds."""
    with Live(draw(), console=_console(), auto_refresh=False, screen=True) as live:
        while True:
            time.sleep(every)
            live.update(draw(), refresh=True)


def is_terminal() -> bool:
    """Say whether a person looks at stdout."""
    return sys.stdout is not None and sys.stdout.isatty()


def _console(file: TextIO | None = None) -> Console:
    person = is_terminal()
    width = None if person else _COLUMNS_OF_A_PIPE
    return Console(file=file, force_terminal=person, highlight=False, width=width)


def status_table(layout: Layout, status: Status) -> RenderableType:
    """Draw a status: a row for each tier, then whatever else is worth knowing."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("TIER", "COLOR", "SERVES", "SINCE (UTC)", "BY", "WHY"):
        table.add_column(title, overflow="fold")
    for tier in status.tiers:
        table.add_row(*_row(tier))
    return Group(
        Text(shown(layout.infrastructure), style="bold"),
        table,
        *(Text(f"{tier.name}: {tier.problem}", "red") for tier in status.tiers if tier.problem),
        *(Text(problem, "red") for problem in status.problems),
        *_news(status),
    )


def _row(tier: TierStatus) -> tuple[Text, ...]:
    name = Text(shown(tier.name), "bold")
    if tier.problem:
        return name, Text("?"), Text("damaged", "red")
    if tier.content is None:
        return name, Text("none"), Text("not promoted yet", "dim")
    color = Text("" if tier.color is None else f"● {tier.color}", _style(tier))
    number = tier.content.deployment
    serves = Text("plain directory" if number is None else f"deployment {number}")
    if tier.event is None:
        return name, color, serves, Text("unknown", "dim"), Text(), Text()
    author, minute = tier.event.author, Text(wording.minute(tier.event.time))
    return name, color, serves, minute, Text(wording.person(author)), Text(shown(author.reason))


def _style(tier: TierStatus) -> str:
    return "" if tier.color is None else tier.color.value


def _news(status: Status) -> list[Text]:
    news = []
    if status.unfinished is not None:
        event = status.unfinished
        news.append(
            Text(
                f"Unfinished: a {event.kind} by {wording.person(event.author)}, "
                f"{wording.when(event.time)}; the next change finishes it.",
                "yellow",
            )
        )
    if (text := _lock_news(status.lock)) is not None:
        news.append(Text(text, "yellow"))
    return news


def _lock_news(lock: LockStatus) -> str | None:
    who = "somebody" if lock.holder is None else str(lock.holder)
    if lock.held:
        return f"Locked by {who}."
    return None
