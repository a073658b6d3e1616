"""Programs that are tierctl but for one thing each: ``python broken.py VARIANT WORDS...``.

Whatever puts tierctl to the test has to notice each of them.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tierctl.__main__ import run
from tierctl.change import change, ending
from tierctl.fs.local import OsFileSystem
from tierctl.journal import history, intent
from tierctl.journal.history import End
from tierctl.target.target import Target


def program(variant: Callable[[], None]) -> tuple[str, ...]:
    """Return the words before those of a command, to have a variant carry it out."""
    return sys.executable, str(Path(__file__)), variant.__name__


def unlinks_and_links() -> None:
    """As the usual script does it: for a moment there is no production."""

    def exchange(fs: OsFileSystem, first: str, second: str) -> None:
        texts = fs.read_link(second), fs.read_link(first)
        for path, text in zip((first, second), texts, strict=True):
            fs.remove(path)
            fs.make_link(path, text)

    OsFileSystem.exchange = exchange


def writes_no_intent() -> None:
    """Whoever comes after a crash cannot know what was under way."""
    intent.write = intent.clear = lambda *_: None


def records_without_looking() -> None:
    """What is in history already is added again when its change is finished."""
    append = history.append

    def blindly(target: Target, event: Any, at: End | None = None) -> None:
        at = at or history.end(target)
        append(target, event, at._replace(newest=None))

    history.append = blindly


def locks_nobody_out() -> None:
    """Everybody has the lock at once; the first to begin a change waits for the second."""
    note = intent.write

    @contextmanager
    def lock(*_: object, **__: object) -> Iterator[None]:
        yield

    def together(target: Target, event: Any) -> None:
        (Path(target.control) / f"begun-{event.id}").touch()
        deadline = time.monotonic() + 20
        while len(list(Path(target.control).glob("begun-*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        note(target, event)

    OsFileSystem.lock, intent.write = lock, together


def passes_over_errors() -> None:
    """What cannot be written or flushed is nobody's concern."""

    def passing_over(verb: Callable[..., None]) -> Callable[..., None]:
        def passed_over(*arguments: Any, **options: Any) -> None:
            with suppress(OSError):
                verb(*arguments, **options)

        return passed_over

    OsFileSystem.write = passing_over(OsFileSystem.write)
    OsFileSystem.sync = passing_over(OsFileSystem.sync)


def needs_room() -> None:
    """A full disk is an error like any other, also on the way back."""
    change.FULL = ending.FULL = frozenset()


if __name__ == "__main__":
    globals()[sys.argv.pop(1)]()
    run()
