"""The intent: what the change under way is meant to end in, durable before its first step.

It says states in absolute terms (never "swap") and carries the complete event,
so that whoever finds it can finish the change and record it as it was meant.
"""

from __future__ import annotations

import json
from contextlib import suppress
from os import path as paths

from tierctl import trust
from tierctl.errors import BadFile, NewerVersion
from tierctl.events import Event, MalformedEvent, NewerEvent, from_document, to_line
from tierctl.filesystem import FileSystem
from tierctl.layout import Layout, temporary


def read(fs: FileSystem, layout: Layout) -> Event | None:
    """Return the event of the change under way, or None.

    Raises ``Untrusted``; ``NewerVersion`` if only a newer tierctl can finish that change;
    ``BadFile`` if it is no intent.
    """
    try:
        data = trust.read(fs, layout, layout.intent)
    except FileNotFoundError:
        return None
    try:
        event = from_document(json.loads(data))
        if event.before is None or event.after.production is None:
            raise MalformedEvent("no change between two states")
    except NewerEvent as error:
        raise NewerVersion(layout.intent, str(error), stops_changes=True) from error
    except (MalformedEvent, ValueError, RecursionError) as error:
        raise BadFile(
            layout.intent,
            f"says that a change is under way, but not which: {error}",
            "Nobody can finish it. Drop it with:",
            "doctor --fix",
        ) from error
    return event


def write(fs: FileSystem, layout: Layout, event: Event) -> None:
    """Write the intent durably, whole or not at all."""
    draft = temporary(layout.intent)
    fs.write(draft, to_line(event))
    fs.rename(draft, layout.intent)
    fs.sync(layout.control)


def flush(fs: FileSystem, layout: Layout) -> None:
    """Make an intent durable that was found: who wrote it may have been stopped just before."""
    fs.sync(layout.control)


def clear(fs: FileSystem, layout: Layout) -> None:
    """Remove the intent durably: the change is over."""
    fs.remove(layout.intent)
    fs.sync(layout.control)


def withdraw(fs: FileSystem, layout: Layout) -> bool:
    """Remove the intent of a change that did not happen, and its draft; say whether that worked.

    The draft first: where the answer to its renaming was lost, the server may do
    that later, but not without a draft.
    """
    try:
        for path in (temporary(layout.intent), layout.intent):
            fs.refresh(layout.control, write=True, names=(paths.basename(path),))
            with suppress(FileNotFoundError):
                fs.remove(path)
        fs.sync(layout.control)
    except OSError:
        return False
    return True
