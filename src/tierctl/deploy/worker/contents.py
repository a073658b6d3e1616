"""What packages say of themselves, read before they are installed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rattler import Client, RepoDataRecord
from rattler.package_streaming import PackageArchive

from tierctl.deploy.worker import archives
from tierctl.deploy.worker.failures import all_or_failed

PATHS = "info/paths.json"
LINK = "info/link.json"


async def read(
    records: Sequence[RepoDataRecord], cache: str, *names: str
) -> list[dict[str, dict[str, Any]]]:
    """Return for each package the JSON documents of those names, empty where there is none.

    What is neither in the cache nor local is asked for at its channel: the part
    of the archive that holds them, where the server can send that. Raises
    ``Failed``.
    """
    client = Client.default_client()
    results = await asyncio.gather(
        *(_read_one(client, record, cache, names) for record in records), return_exceptions=True
    )
    return list(all_or_failed((record.file_name for record in records), results).values())


async def _read_one(
    client: Client, record: RepoDataRecord, cache: str, names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    if archives.is_cached(record, cache):
        place = archives.cached(record, cache)
        found = {name: _content(place / name) for name in names}
    else:
        archive = await _opened(client, record.url)
        found = await archive.read_files(names)
    return {name: json.loads(content or b"{}") for name, content in found.items()}


async def _opened(client: Client, url: str) -> PackageArchive:
    path = archives.local_path(url)
    return await (PackageArchive.from_path(path) if path else PackageArchive.from_url(client, url))


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None
