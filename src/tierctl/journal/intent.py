"""The intent: what the change under way is meant to end in, durable before its first step.

It says states in absolute terms (never "swap") and carries the complete event,
so that whoever finds it can finish the change and record it as it was meant.
"""

from __future__ import annotations

import json
from contextlib import suppress
from os import path as paths

from tierctl.errors import BadFile, NewerVersion
from tierctl.journal.events import Event, MalformedEvent, NewerEvent, from_document, to_line
from tierctl.target import trust
from tierctl.target.paths import temporary
from tierctl.target.target import Target


def read(target: Target) -> Event | None:
    """Return the event of the change under way, or None.

    Raises ``Untrusted``; ``NewerVersion`` if only a newer tierctl can finish that change;
    ``BadFile`` if it is no intent.
    """
    try:
        data = trust.read(target, target.intent)
    except FileNotFoundError:
        return None
    try:
        event = from_document(json.loads(data))
        if event.before is None or event.after.production is None:
            raise MalformedEvent("no change between two states")
    except NewerEvent as error:
        raise NewerVersion(target.intent, str(error), stops_changes=True) from error
    except (MalformedEvent, ValueError, RecursionError) as error:
        raise BadFile(
            target.intent,
            f"says that a change is under way, but not which: {error}",
            "Nobody can finish it. Drop it with:",
            "doctor --fix",
        ) from error
    return event


def write(target: Target, event: Event) -> None:
    """Write the intent durably, whole or not at all."""
    draft = temporary(target.intent)
    target.fs.write(draft, to_line(event))
    target.fs.rename(draft, target.intent)
    target.fs.sync(target.control)


def flush(target: Target) -> None:
    """Make an intent durable that was found: who wrote it may have been stopped just before."""
    target.fs.sync(target.control)


def clear(target: Target) -> None:
    """Remove the intent durably: the change is over."""
    target.fs.remove(target.intent)
    target.fs.sync(target.control)


def withdraw(target: Target) -> bool:
    """Remove the intent of a change that did not happen, and its draft; say whether that worked.

    The draft first: where the answer to its renaming was lost, the server may do
    that later, but not without a draft.
    """
    try:
        for path in (temporary(target.intent), target.intent):
            target.fs.refresh(target.control, write=True, names=(paths.basename(path),))
            with suppress(FileNotFoundError):
                target.fs.remove(path)
        target.fs.sync(target.control)
    except OSError:
        return False
    return True
