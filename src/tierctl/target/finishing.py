"""Finishing a deployment: its record is written, which says that it is whole, and closed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from os import path as paths
from typing import Any

from tierctl import __version__
from tierctl.fs import sealing
from tierctl.fs.protocol import FileSystem
from tierctl.fs.tree import Held
from tierctl.rotation.names import META, RECORD
from tierctl.target import record
from tierctl.target.paths import temporary
from tierctl.target.users import Author


def finish(fs: FileSystem, held: Held, facts: Mapping[str, Any]) -> None:
    """Write the record of a deployment whole, and close ``meta``, the last that was open.

    All else of it is sealed, listed in the manifest and on disk: where the record is, a
    deployment is finished. What fails after that leaves no record, so what was built is
    removed as if it had failed before.
    """
    path = f"{held.place}/{META}/{RECORD}"
    fs.write(temporary(path), encoded(facts), mode=0o644)
    fs.rename(temporary(path), path)
    try:
        fs.sync(paths.dirname(path))
        sealing.seal(held, META)
    except OSError:
        with suppress(OSError):
            fs.remove(path)
        raise


def facts_of(number: int, author: Author, environments: Mapping[str, int]) -> dict[str, Any]:
    """Return what every record says; ``environments`` tells how many packages each has."""
    return {
        "schema": record.SCHEMA,
        "number": number,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "user": author.user,
        "host": author.host,
        "reason": author.reason,
        "environments": dict(environments),
        "tierctl": __version__,
    }


def encoded(document: Mapping[str, Any]) -> bytes:
    """Return a document as it is written into ``meta``."""
    return json.dumps(document, indent=1).encode() + b"\n"
