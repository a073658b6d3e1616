"""The commands that packages bring, known before they are installed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rattler import Client, RepoDataRecord
from rattler.package_streaming import PackageArchive

from tierctl.deploy.worker import archives
from tierctl.deploy.worker.failures import all_or_failed
from tierctl.deploy.worker.solving import Environments

_PATHS = "info/paths.json"
_LINK = "info/link.json"


async def listed(asked: dict[str, Any], solved: Environments) -> dict[str, Any]:
    """Return the names in each environment's ``bin``, as its conda packages tell them.

    What is neither in the cache nor local is asked for at its channel: the part
    of the archive that says it, where the server can send that. Raises ``Failed``.
    """
    cache = asked["packages"]
    if asked["offline"]:
        archives.require_within_reach(solved, cache)
    client = Client.default_client()
    found = {}
    for name, environment in solved.items():
        results = await asyncio.gather(
            *(_of_package(client, record, cache) for record in environment.records),
            return_exceptions=True,
        )
        names = (record.file_name for record in environment.records)
        found[name] = sorted(set().union(*all_or_failed(names, results).values()))
    return {"commands": found}


async def _of_package(client: Client, record: RepoDataRecord, cache: str) -> set[str]:
    if archives.is_cached(record, cache):
        place = archives.cached(record, cache)
        told = {name: _content(place / name) for name in (_PATHS, _LINK)}
    else:
        archive = await _opened(client, record.url)
        told = await archive.read_files([_PATHS, _LINK])
    return set(_commands(json.loads(told[_PATHS] or b"{}"), json.loads(told[_LINK] or b"{}")))


async def _opened(client: Client, url: str) -> PackageArchive:
    path = archives.local_path(url)
    return await (PackageArchive.from_path(path) if path else PackageArchive.from_url(client, url))


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _commands(paths: dict[str, Any], link: dict[str, Any]) -> Iterator[str]:
    for entry in paths.get("paths", []):
        directory, _, name = str(entry["_path"]).rpartition("/")
        if directory in ("bin", "python-scripts"):
            yield name
    for point in link.get("noarch", {}).get("entry_points") or []:
        yield str(point).partition("=")[0].strip()
