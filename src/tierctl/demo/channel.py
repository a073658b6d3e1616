"""Small conda channels, written with the standard library."""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

NOARCH = "noarch"
SUBDIR = "linux-64"


def write_package(
    channel: Path,
    name: str,
    version: str,
    files: Mapping[str, str],
    *,
    depends: Iterable[str] = (),
    build: str = "0",
    sha256: str = "",
    subdir: str = SUBDIR,
) -> Path:
    """Add a package to a channel and list it there, with another ``sha256`` if one is given.

    Files below ``bin/`` can be executed. Returns the archive.
    """
    index = {
        "name": name,
        "version": version,
        "build": build,
        "build_number": 0,
        "depends": list(depends),
        "subdir": subdir,
        "timestamp": 1_700_000_000_000,
    }
    if subdir == NOARCH:
        index["noarch"] = "generic"
    paths = [
        {
            "_path": path,
            "path_type": "hardlink",
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "size_in_bytes": len(text.encode()),
        }
        for path, text in files.items()
    ]
    info = {
        "info/index.json": json.dumps(index),
        "info/paths.json": json.dumps({"paths_version": 1, "paths": paths}),
        "info/files": "\n".join(files),
    }
    archive = channel / subdir / f"{name}-{version}-{build}.tar.bz2"
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(_archive({**info, **files}))
    list_archive(channel, archive, index, sha256)
    return archive


def _archive(files: Mapping[str, str]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for path, text in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(text.encode())
            member.mode = 0o755 if path.startswith("bin/") else 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
    return bz2.compress(data.getvalue())


def list_archive(
    channel: Path, archive: Path, index: Mapping[str, object], sha256: str = ""
) -> None:
    """Have a channel list an archive, with another ``sha256`` if one is given."""
    data = archive.read_bytes()
    for subdir in {archive.parent.name, NOARCH}:
        repodata = channel / subdir / "repodata.json"
        repodata.parent.mkdir(exist_ok=True)
        if not repodata.exists():
            repodata.write_text(
                json.dumps({"info": {"subdir": subdir}, "packages": {}, "packages.conda": {}})
            )
    repodata = archive.parent / "repodata.json"
    listed = json.loads(repodata.read_text())
    listed["packages.conda" if archive.suffix == ".conda" else "packages"][archive.name] = {
        **index,
        "sha256": sha256 or hashlib.sha256(data).hexdigest(),
        "md5": hashlib.md5(data, usedforsecurity=False).hexdigest(),
        "size": len(data),
    }
    repodata.write_text(json.dumps(listed))
