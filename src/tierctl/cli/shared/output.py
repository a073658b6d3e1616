"""Results on stdout, everything else on stderr; with ``--json`` one document on stdout.

A reader that goes away (``tierctl history | head``) is no failure.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import TYPE_CHECKING, Any, TextIO, cast

from tierctl.cli.commands import COMMANDS
from tierctl.text import typed

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

SCHEMA = 1
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_DIFFERENT = 3
EXIT_INTERRUPTED = 130


class Call:
    """One call of the program: its command, and whether it asked for JSON.

    ``target`` is the one that ``--target`` named. ``facts`` are members that
    belong into the call's document however it ends.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        # First guesses, for arguments that cannot be parsed; click itself decides.
        self.command = _first_command(arguments)
        self.json = "--json" in arguments
        self.target: str | None = None
        self.facts: dict[str, Any] = {}
        self._answered = False

    def document(self, *, ok: bool, **members: Any) -> None:  # noqa: ANN401 (JSON values)
        """Write the call's JSON document; raises as ``result`` does."""
        import json

        values = {"schema": SCHEMA, "command": self.command, "ok": ok, **self.facts, **members}
        result(json.dumps(values))
        self._answered = True

    def advice(self, text: str, command: str = "") -> str:
        """Return an advice that may end in a command, as it is typed for the same target."""
        words = [text] if text else []
        if command:
            words.append(f"tierctl {command}")
            if self.target is not None:
                words.append(f"--target {typed(self.target)}")
        return " ".join(words)

    def failure(self, code: str, message: str, hint: str = "") -> None:
        """Report an error to people, and in the document if one was asked for."""
        say(f"Error: {message}" + (f"\n{hint}" if hint else ""))
        if self.json and not self._answered:  # interrupted after its answer, it has one
            self.document(ok=False, error={"code": code, "message": message, "hint": hint})


def is_terminal() -> bool:
    """Say whether a person looks at stdout."""
    return sys.stdout is not None and sys.stdout.isatty()


def talks_to_terminal() -> bool:
    """Say whether what is said besides results reaches a person as it is said."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class _Whole(FileIO):
    """A stream that takes all that is written, or fails.

    Unbuffered, as with PYTHONUNBUFFERED, Python's own takes part of it for all; and it
    fails where nobody has read yet what is there already, if the reader's end does not wait.
    """

    def write(self, data: Buffer) -> int:
        """Write all of it."""
        rest = memoryview(data)
        while rest:
            written = super().write(rest)
            if written is None:
                from select import select

                select([], [self], [])
            else:
                rest = rest[written:]
        return memoryview(data).nbytes


def folded(text: str, stream: TextIO | None, margin: str = "") -> str:
    """Return a line as it fits the terminal, with breaks between words and a margin behind them.

    A program reads it whole; a path that is too long for a line stays whole, too.
    """
    room = columns(stream)
    if room is None or len(text) <= room:
        return text
    from textwrap import fill

    return fill(
        text,
        room,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )


def columns(stream: TextIO | None) -> int | None:
    """Return how wide a terminal is, None for what is none."""
    if stream is None or not stream.isatty():
        return None
    given = os.environ.get("COLUMNS", "")
    try:
        return int(given) if given.isdecimal() else os.get_terminal_size(stream.fileno()).columns
    except OSError:
        return None


def prepare_streams() -> None:
    """Have the streams take all that is written and every character: others are escaped."""
    sys.stdout, sys.stderr = map(_prepared, (sys.stdout, sys.stderr))


def _prepared(stream: TextIO | None) -> TextIO:
    if not isinstance(stream, TextIOWrapper):
        return cast(TextIO, stream)  # None where whoever started us closed it
    stream.reconfigure(errors="backslashreplace")
    raw = getattr(stream.buffer, "raw", stream.buffer)
    if not isinstance(raw, FileIO) or isinstance(raw, _Whole):
        return stream
    buffered = BufferedWriter(_Whole(stream.fileno(), "w", closefd=False))
    return TextIOWrapper(buffered, stream.encoding, stream.errors, line_buffering=True)


def _first_command(arguments: Sequence[str]) -> str:
    """Return the first word that is a command, and not a target of that name."""
    behind = zip(("", *arguments), arguments, strict=False)
    return next(
        (word for last, word in behind if word in COMMANDS and last not in ("-t", "--target")), ""
    )


class NobodyReads(Exception):
    """The reader of stdout has gone away: there is nothing more to do, and nothing went wrong."""


def result(text: str) -> None:
    """Write a result to stdout; raises ``NobodyReads``, or ``OSError`` where that fails."""
    try:
        _write(sys.stdout, text)
    except BrokenPipeError as error:
        raise NobodyReads from error
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


def say(text: str) -> None:
    """Write for people, to stderr; if they do not read, so be it."""
    with suppress(OSError):
        _write(sys.stderr, text)


def _write(stream: TextIO | None, text: str) -> None:
    if stream is not None:  # None where whoever started us closed it
        stream.write(text + "\n")
        stream.flush()
