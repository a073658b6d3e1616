"""What a deployment says of itself: ``meta/deployment.json``, written when it is finished."""

from __future__ import annotations

import json
from os import path as paths
from typing import Any

from tierctl import trust
from tierctl.errors import TierctlError
from tierctl.filesystem import FileSystem, exists
from tierctl.layout import Layout


def read(fs: FileSystem, layout: Layout, directory: str) -> dict[str, Any]:
    """Return the record, nothing where it is missing or cannot be read or believed."""
    try:
        found = json.loads(trust.read(fs, layout, layout.deployment_record(directory)))
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
