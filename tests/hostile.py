"""Packages that want to write where nothing of them belongs, and what is there to be changed."""

import bz2
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tierctl.demo.channel import SUBDIR, list_archive

EVIL = b"evil\n"


class Hostile(NamedTuple):
    """A package: what its archive holds, what it lists, and whatever else it says of itself."""

    name: str
    files: Mapping[str, bytes] = {}
    links: Mapping[str, str] = {}
    # What paths.json lists besides, as (path, kind).
    listed: Iterable[tuple[str, str]] = ()
    unlisted: Iterable[str] = ()
    index: Mapping[str, object] = {}
    record: Mapping[str, object] = {}
    link: Mapping[str, object] | None = None
    digests: bool = True
    depends: Iterable[str] = ()

    def write(self, channel: Path) -> Path:
        """Add it to a channel; return the archive."""
        archive = channel / SUBDIR / f"{self.name}-1-0.tar.bz2"
        archive.parent.mkdir(parents=True, exist_ok=True)
        index = {
            "name": self.name,
            "version": "1",
            "build": "0",
            "build_number": 0,
            "depends": list(self.depends),
            "subdir": SUBDIR,
            **self.index,
        }
        archive.write_bytes(bz2.compress(self._tar(index)))
        list_archive(channel, archive, {**index, **self.record})
        return archive

    def _tar(self, index: Mapping[str, object]) -> bytes:
        info: dict[str, Any] = {
            "index.json": index,
            "paths.json": {"paths_version": 1, "paths": [*self._paths()]},
        }
        if self.link is not None:
            info["link.json"] = self.link
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            for name, document in info.items():
                _add(tar, f"info/{name}", json.dumps(document).encode())
            for path, leads_to in self.links.items():
                member = tarfile.TarInfo(path)
                member.type, member.linkname = tarfile.SYMTYPE, leads_to
                tar.addfile(member)
            for path, content in self.files.items():
                _add(tar, path, content)
        return data.getvalue()

    def _paths(self) -> Iterable[dict[str, object]]:
        for path, content in self.files.items():
            if path not in self.unlisted:
                entry: dict[str, object] = {"_path": path, "path_type": "hardlink"}
                if self.digests:
                    entry["sha256"] = hashlib.sha256(content).hexdigest()
                    entry["size_in_bytes"] = len(content)
                yield entry
        for path in self.links:
            if path not in self.unlisted:
                yield {"_path": path, "path_type": "softlink"}
        for path, kind in self.listed:
            yield {"_path": path, "path_type": kind}


def _add(tar: tarfile.TarFile, path: str, content: bytes) -> None:
    member = tarfile.TarInfo(path)
    member.size, member.mode = len(content), 0o644
    tar.addfile(member, io.BytesIO(content))
