"""Bars on a terminal, for what takes its time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tierctl.text import size

if TYPE_CHECKING:
    from rich.progress import Progress as Display
    from rich.progress import TaskID

    from tierctl.deploy.engine.progress import Progress, Step


class Bars:
    """Shows how far a deploy is, on stderr; gone without a trace when it is over."""

    def __init__(self) -> None:
        self._display: Display | None = None
        self._tasks: dict[str, TaskID] = {}

    def begin(self, step: Step, what: str) -> None:
        """Show that a step begins: with it all that came before is done."""
        from tierctl.deploy.engine.progress import Step

        display = self._display or self._made()
        number = list(Step).index(step)
        display.update(self._tasks["overall"], completed=number, count=f"{number}/{len(Step)}")
        display.update(self._tasks["step"], description=f"{step.value} {what}")
        display.update(self._tasks["fetch"], visible=step is Step.BUILD)
        display.update(self._tasks["link"], visible=step is Step.BUILD)
        display.start()

    def advance(self, done: Progress) -> None:
        """Show how far an install is."""
        if self._display is None:
            return
        self._display.update(
            self._tasks["fetch"],
            completed=done.fetched,
            total=max(done.to_fetch, 1),
            visible=done.to_fetch > 0,
            count=f"{size(done.fetched)}/{size(done.to_fetch)}",
        )
        self._display.update(
            self._tasks["link"],
            completed=done.linked,
            total=done.to_link,
            count=f"{done.linked}/{done.to_link} packages",
        )

    def stop(self) -> None:
        """Take them away."""
        if self._display is not None:
            self._display.stop()
            self._display = None

    def _made(self) -> Display:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Display

        from tierctl.deploy.engine.progress import Step

        display = Display(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            console=Console(file=sys.stderr),
            transient=True,
        )
        self._tasks = {
            "step": display.add_task("", total=None, count=""),
            "fetch": display.add_task("Fetching", total=None, visible=False, count=""),
            "link": display.add_task("Linking", total=None, visible=False, count=""),
            "overall": display.add_task("Overall", total=len(Step), count=""),
        }
        self._display = display
        return display
