"""What a deployment says of itself: ``meta/deployment.json``, written when it is finished."""

from __future__ import annotations

import json
from os import path as paths
from typing import Any

from tierctl.errors import NewerVersion, TierctlError
from tierctl.fs.protocol import exists
from tierctl.rotation.state import Content
from tierctl.target import trust
from tierctl.target.target import Target

SCHEMA = 1
# What a record has as ``files`` if nothing was in ``tier/``: ``wanted.files_digest`` of that.
NO_FILES = "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
# What a deployment is called that holds nothing.
EMPTY_TIER = "the empty tier"


def is_newer(document: object, schema: int) -> bool:
    """Say whether a document is of a later schema than the one that is known."""
    found = document.get("schema") if isinstance(document, dict) else None
    return type(found) is int and found > schema


def load(target: Target, directory: str) -> object:
    """Return what a record holds.

    Raises ``Untrusted``, ``NewerVersion``, ``OSError``, ``ValueError`` or ``RecursionError``.
    """
    path = target.deployment_record(directory)
    document = json.loads(trust.read(target, path))
    if is_newer(document, SCHEMA):
        raise NewerVersion(path, f"schema {document['schema']}", stops_changes=False)
    return document


def read(target: Target, directory: str) -> dict[str, Any]:
    """Return the record, nothing where it is missing or cannot be read or believed."""
    try:
        found = load(target, directory)
    except (OSError, ValueError, RecursionError, TierctlError):
        return {}
    return found if isinstance(found, dict) else {}


def is_finished(target: Target, directory: str) -> bool:
    """Say whether a deployment was finished: whether its record is there."""
    record = target.deployment_record(directory)
    if exists(target.fs, record):
        return True
    try:
        # Who looked before the build ended may still have it cached that there is none.
        target.fs.refresh(paths.dirname(record))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return exists(target.fs, record)


def is_empty_tier(target: Target, content: Content) -> bool:
    """Say whether a content is known to hold no packages and nothing of ``tier/``.

    Of a plain directory that is not known.
    """
    if content.deployment is None:
        return False
    found = read(target, content.directory)
    return found.get("environments") == {} and found.get("files") == NO_FILES


def described(target: Target, content: Content) -> str:
    """Return words for a content: ``deployment 41``, or ``deployment 1, the empty tier``."""
    return f"{content}, {EMPTY_TIER}" if is_empty_tier(target, content) else str(content)
