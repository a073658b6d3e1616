"""The archives of packages: whether they are what their channel says, and within reach."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from rattler import RepoDataRecord

_BLOCK_BYTES = 1 << 20


def wrong(records: Iterable[RepoDataRecord]) -> list[str]:
    """Say which local archives are not what their channel says: the engine does not look."""
    return [
        f"{path}: the archive is not the one that its channel lists (sha256 differs)"
        for record in records
        if (path := local_path(record.url)) and record.sha256
        if _sha256(path) not in (None, record.sha256)
    ]


def out_of_reach(records: Iterable[RepoDataRecord], cache: str) -> list[str]:
    """Say which packages are neither local nor in the cache: installing would ask the network."""
    return [
        f"{record.file_name} is not in the cache {cache}, and deploy is offline"
        for record in records
        if not local_path(record.url)
        if not Path(cache, f"{record.name.normalized}-{record.version}-{record.build}").is_dir()
    ]


def local_path(url: str) -> str:
    """Return where a file is that a URL names, nothing for one of a server."""
    parts = urlsplit(url)
    return unquote(parts.path) if parts.scheme == "file" else ""


def _sha256(path: str) -> bytes | None:
    """Return a file's digest, None without one: then it may be in the cache."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as archive:
            while block := archive.read(_BLOCK_BYTES):
                digest.update(block)
    except FileNotFoundError:
        return None
    return digest.digest()
