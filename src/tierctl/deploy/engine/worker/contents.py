"""What packages bring, read before they are installed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from rattler import Client, RepoDataRecord
from rattler.package_streaming import PackageArchive

from tierctl.deploy.engine.worker import archives, members
from tierctl.deploy.engine.worker.failures import all_or_failed
from tierctl.deploy.engine.worker.members import FILES, INDEX, LINK, PATHS, Contents, Kind


async def paths(records: Sequence[RepoDataRecord], cache: str) -> list[list[str]]:
    """Return for each package the paths that it lists, as they are in its archive.

    What is neither in the cache nor local is asked for at its channel: the part
    of the archive that says it, where the server can send that; what symlinks
    lead to is not known then. Raises ``Failed``.
    """
    return [list(each.sources) for each in await read(records, cache)]


async def read(records: Sequence[RepoDataRecord], cache: str) -> list[Contents]:
    """Return for each package of an environment what it brings; asks and raises as ``paths``.

    What a symlink leads to is not known of a package that only its channel has.
    """
    client, modules = Client.default_client(), members.modules_of(records)
    results = await asyncio.gather(
        *(_read_one(client, record, cache, modules) for record in records), return_exceptions=True
    )
    return list(all_or_failed((record.file_name for record in records), results).values())


async def _read_one(client: Client, record: RepoDataRecord, cache: str, modules: str) -> Contents:
    name = record.file_name
    if archives.is_cached(record, cache):
        with suppress(OSError, ValueError):  # it is damaged there, and is fetched anew in the end
            return members.of_extracted(name, str(archives.cached(record, cache)), modules)
    archive = await _opened(client, record.url)
    content = await archive.read_files((PATHS, FILES, LINK, INDEX))
    links: dict[str, str] = {}
    if archives.local_path(record.url) and _lists_links(content[PATHS]):
        async for entry in archive.stream("pkg"):
            if entry.is_symlink:
                links[entry.name] = entry.link_target or ""
    return members.read(name, content.get, lambda path: links.get(path, ""), modules)


def _lists_links(listed: bytes | None) -> bool:
    return Kind.LINK.value.encode() in (listed or b"")


async def _opened(client: Client, url: str) -> PackageArchive:
    path = archives.local_path(url)
    return await (PackageArchive.from_path(path) if path else PackageArchive.from_url(client, url))
