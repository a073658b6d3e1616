"""Tables for people, drawn with rich."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Sequence
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tierctl.cli.shared import wording
from tierctl.cli.shared.output import columns, is_terminal, result
from tierctl.report.status import LockStatus, Status, TierStatus
from tierctl.target.paths import Layout
from tierctl.target.record import EMPTY_TIER
from tierctl.text import shown

_TITLES = ("TIER", "COLOR", "SERVES", "SINCE (UTC)", "BY", "WHY")
_GAP = 2
_INDENT = 4
# Less of a reason than this says nothing.
_NARROWEST_LAST = 8
# Wide enough that nothing is folded where a program reads.
_COLUMNS_OF_A_PIPE = 100_000


def show(drawing: RenderableType) -> None:
    """Print a drawing."""
    drawn = io.StringIO()
    _console(drawn).print(drawing)
    lines = drawn.getvalue().rstrip("\n").split("\n")
    result("\n".join(line.rstrip() for line in lines))


def fitting(row: Sequence[str]) -> str:
    """Return columns as one line, and as many more as the terminal needs for all of them."""
    # rich takes 80 for the width of a terminal that cannot be drawn on again.
    width = columns(sys.stdout) or _COLUMNS_OF_A_PIPE
    lines = [""]
    for column in row:
        line = f"{lines[-1]}{' ' * _GAP if lines[-1] else ''}{column}"
        if cell_len(line) <= width:
            lines[-1] = line
        else:
            wrapped = Text(column).wrap(_console(), max(1, width - _INDENT))
            lines += [f"{' ' * _INDENT}{part.plain.rstrip()}" for part in wrapped]
    return "\n".join(filter(None, lines))


def watch(draw: Callable[[], RenderableType], every: float) -> None:
    """Show what is drawn on the whole terminal, and draw it again after ``every`` seconds.

    Returns at once where the terminal cannot be drawn on again.
    """
    console = _console()
    if console.is_dumb_terminal:
        return
    with Live(draw(), console=console, auto_refresh=False, screen=True) as live:
        while True:
            time.sleep(every)
            live.update(draw(), refresh=True)


def _console(file: TextIO | None = None) -> Console:
    person = is_terminal()
    width = None if person else _COLUMNS_OF_A_PIPE
    return Console(file=file, force_terminal=person, highlight=False, width=width)


class StatusTable:
    """A status: a row for each tier, then whatever else is worth knowing.

    Where it is narrow, the last columns are cut and left out first.
    """

    def __init__(self, layout: Layout, status: Status, footer: str = "") -> None:
        self._layout = layout
        self._status = status
        self._footer = footer

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it as wide as there is room."""
        yield Text(shown(self._layout.infrastructure), style="bold")
        yield self._table(options.max_width)
        yield from (Text(problem, "red") for problem in self._status.problems)
        yield from _news(self._status)
        if self._footer:
            yield Text(self._footer, "dim")

    def _table(self, room: int) -> Table:
        rows = [_row(tier) for tier in self._status.tiers]
        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
        for number, title in enumerate(_TITLES):
            width = max(len(title), *(row[number].cell_len for row in rows if number < len(row)), 0)
            is_last = title == _TITLES[-1]
            room -= _GAP  # rich sets aside the gap of the last column too
            if room < (_NARROWEST_LAST if is_last else width) and table.columns:
                break
            given = min(width, room)
            table.add_column(title, no_wrap=True, overflow="ellipsis", max_width=given)
            room -= width
        for row in rows:
            table.add_row(*row[: len(table.columns)])
        return table


def _row(tier: TierStatus) -> tuple[Text, ...]:
    name = Text(shown(tier.name), "bold")
    if tier.problem:
        return name, Text("?"), Text("damaged", "red")
    if tier.content is None:
        return name, Text("none"), Text("not promoted yet", "dim")
    color = Text("" if tier.color is None else f"● {tier.color}", _style(tier))
    number = tier.content.deployment
    serves = Text("plain directory" if number is None else f"deployment {number}")
    if tier.is_empty:
        serves.append(f", {EMPTY_TIER}")
    if tier.event is None:
        return name, color, serves, Text("unknown", "dim"), Text(), Text()
    author, minute = tier.event.author, Text(wording.minute(tier.event.time))
    return name, color, serves, minute, Text(wording.person(author)), Text(shown(author.reason))


def _style(tier: TierStatus) -> str:
    return "" if tier.color is None else tier.color


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
