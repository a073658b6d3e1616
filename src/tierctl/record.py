"""What a deployment says of itself: ``meta/deployment.json``, written when it is finished."""

from __future__ import annotations

import json
from typing import Any

from tierctl import trust
from tierctl.errors import TierctlError
from tierctl.filesystem import FileSystem
from tierctl.layout import Layout


def read(fs: FileSystem, layout: Layout, directory: str) -> dict[str, Any]:
    """Return the record, nothing where it is missing or cannot be read or believed."""
    try:
        found = json.loads(trust.read(fs, layout, layout.deployment_record(directory)))
    except (OSError, ValueError, RecursionError, TierctlError):
        return {}
    return found if isinstance(found, dict) else {}
