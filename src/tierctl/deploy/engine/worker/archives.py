"""The archives of packages: whether they are what their channel says, and within reach."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tierctl.deploy.engine.worker.failures import Failed
from tierctl.text import shown

if TYPE_CHECKING:
    from rattler import RepoDataRecord

    from tierctl.deploy.engine.worker.solving import Environments


def require_right(records: Iterable[RepoDataRecord]) -> None:
    """Raise ``Failed`` for local archives that are not what their channel says.

    The engine does not look.
    """
    _require_none(
        f"{path}: the archive is not the one that its channel lists (sha256 differs)"
        for record in records
        if (path := local_path(record.url)) and record.sha256
        if _sha256(path) not in (None, record.sha256)
    )


def require_within_reach(solved: Environments, cache: str) -> None:
    """Raise ``Failed`` for packages that are neither local nor in the cache."""
    records = chain.from_iterable(found.records for found in solved.values())
    require_local((record for record in records if not is_cached(record, cache)), cache)


def require_local(records: Iterable[RepoDataRecord], cache: str) -> None:
    """Raise ``Failed`` for packages that would have to be fetched from a server."""
    _require_none(
        f"{record.file_name} is not in the cache {cache}, and deploy is offline"
        for record in records
        if not local_path(record.url)
    )


def _require_none(wrong: Iterable[str]) -> None:
    texts = sorted(set(wrong))
    if texts:
        raise Failed({"archives": "\n".join(texts)})


def is_cached(record: RepoDataRecord, cache: str) -> bool:
    """Say whether a package is in the cache."""
    return cached(record, cache).is_dir()


def cached(record: RepoDataRecord, cache: str) -> Path:
    """Return where a package is in the cache, if it is there.

    Raises ``Failed`` for one whose channel gives it a name that is none of a directory there:
    what has that path is removed if it is damaged.
    """
    name = f"{record.name.normalized}-{record.version}-{record.build}"
    if "/" in name or name.startswith(".") or not name.isprintable():
        raise Failed({record.file_name: f"its channel calls it {shown(name)!r}, which is no name"})
    return Path(cache, name)


def local_path(url: str) -> str:
    """Return where a file is that a URL names, nothing for one of a server."""
    parts = urlsplit(url)
    return unquote(parts.path) if parts.scheme == "file" else ""


def _sha256(path: str) -> bytes | None:
    """Return a file's digest, None without one: then it may be in the cache."""
    try:
        with open(path, "rb") as archive:
            return hashlib.file_digest(archive, "sha256").digest()
    except FileNotFoundError:
        return None
