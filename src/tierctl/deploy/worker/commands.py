"""The commands that packages bring, known before they are installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tierctl.deploy.worker import archives, contents
from tierctl.deploy.worker.contents import LINK, PATHS
from tierctl.deploy.worker.solving import Environments


async def listed(asked: dict[str, Any], solved: Environments) -> dict[str, Any]:
    """Return the names in each environment's ``bin``, as its conda packages tell them.

    Raises ``Failed``.
    """
    cache = asked["packages"]
    if asked["offline"]:
        archives.require_within_reach(solved, cache)
    found = {}
    for name, environment in solved.items():
        told = await contents.read(environment.records, cache, PATHS, LINK)
        found[name] = sorted({command for each in told for command in _commands(each)})
    return {"commands": found}


def _commands(told: dict[str, dict[str, Any]]) -> Iterator[str]:
    for entry in told[PATHS].get("paths", []):
        directory, _, name = str(entry["_path"]).rpartition("/")
        if directory in ("bin", "python-scripts"):
            yield name
    for point in told[LINK].get("noarch", {}).get("entry_points") or []:
        yield str(point).partition("=")[0].strip()
