"""What a deployment says of itself: ``meta/deployment.json``, written when it is finished."""

from __future__ import annotations

import json
from os import path as paths
from typing import Any

from tierctl import trust
from tierctl.errors import NewerVersion, TierctlError
from tierctl.filesystem import FileSystem, exists
from tierctl.layout import Layout

SCHEMA = 1


def is_newer(document: object, schema: int) -> bool:
    """Say whether a document is of a later schema than the one that is known."""
    found = document.get("schema") if isinstance(document, dict) else None
    return type(found) is int and found > schema


def load(fs: FileSystem, layout: Layout, directory: str) -> object:
    """Return what a record holds.

    Raises ``Untrusted``, ``NewerVersion``, ``OSError``, ``ValueError`` or ``RecursionError``.
    """
    path = layout.deployment_record(directory)
    document = json.loads(trust.read(fs, layout, path))
    if is_newer(document, SCHEMA):
        raise NewerVersion(path, f"schema {document['schema']}")
    return document


def read(fs: FileSystem, layout: Layout, directory: str) -> dict[str, Any]:
    """Return the record, nothing where it is missing or cannot be read or believed."""
    try:
        found = load(fs, layout, directory)
    except (OSError, ValueError, RecursionError, TierctlError):
        return {}
    return found if isinstance(found, dict) else {}


def is_finished(fs: FileSystem, layout: Layout, directory: str) -> bool:
    """Say whether a deployment was finished: whether its record is there."""
    record = layout.deployment_record(directory)
    if exists(fs, record):
        return True
    try:
        # Who looked before the build ended may still have it cached that there is none.
        fs.refresh(paths.dirname(record))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return exists(fs, record)
