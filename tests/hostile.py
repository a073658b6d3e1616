"""Packages that want to write where nothing of them belongs, and what is there to be changed."""

import bz2
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tierctl.demo.channel import SUBDIR, list_archive

EVIL = b"evil\n"
# A Zstandard frame: its magic number, and a header that says only how large a block can be.
_FRAME, _BLOCK = b"\x28\xb5\x2f\xfd\x00\x38", 1 << 17
_RAW, _REPEATED = 0, 1


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
    # Of members that are files; directories are members only if they are here.
    modes: Mapping[str, int] = {}
    # Members of other types: by path what tar calls the type, and what a hard link leads to.
    odd: Mapping[str, tuple[bytes, str]] = {}

    def write(self, channel: Path, ending: str = ".tar.bz2") -> Path:
        """Add it to a channel, as ``.tar.bz2`` or ``.conda``; return the archive."""
        archive = channel / SUBDIR / f"{self.name}-1-0{ending}"
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
        info, files = io.BytesIO(), io.BytesIO()
        with tarfile.open(fileobj=info, mode="w") as tar:
            self._add_info(tar, index)
            if ending == ".tar.bz2":
                self._add_members(tar)
        with tarfile.open(fileobj=files, mode="w") as tar:
            self._add_members(tar)
        if ending == ".tar.bz2":
            archive.write_bytes(bz2.compress(info.getvalue()))
        else:
            write_conda(archive, info.getvalue(), files.getvalue())
        list_archive(channel, archive, {**index, **self.record})
        return archive

    def _add_info(self, tar: tarfile.TarFile, index: Mapping[str, object]) -> None:
        info: dict[str, Any] = {
            "index.json": index,
            "paths.json": {"paths_version": 1, "paths": [*self._paths()]},
        }
        if self.link is not None:
            info["link.json"] = self.link
        for name, document in info.items():
            _add(tar, f"info/{name}", json.dumps(document).encode())

    def _add_members(self, tar: tarfile.TarFile) -> None:
        for path in self.modes.keys() - self.files.keys():
            member = tarfile.TarInfo(path)
            member.type, member.mode = tarfile.DIRTYPE, self.modes[path]
            tar.addfile(member)
        for path, leads_to in self.links.items():
            member = tarfile.TarInfo(path)
            member.type, member.linkname = tarfile.SYMTYPE, leads_to
            tar.addfile(member)
        for path, content in self.files.items():
            _add(tar, path, content, self.modes.get(path, 0o644))
        for path, (kind, leads_to) in self.odd.items():
            member = tarfile.TarInfo(path)
            member.type, member.linkname = kind, leads_to
            tar.addfile(member)

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


def write_conda(archive: Path, info: bytes, files: bytes) -> None:
    """Write an archive of the newer format: a zip of two tars."""
    stem = archive.name.removesuffix(".conda")
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("metadata.json", json.dumps({"conda_pkg_format_version": 2}))
        for kind, tar in (("pkg", files), ("info", info)):
            zipped.writestr(f"{kind}-{stem}.tar.zst", b"".join(_in_zstandard(tar)))


def _in_zstandard(data: bytes) -> Iterator[bytes]:
    """Yield a Zstandard frame: what is all one byte takes next to no room, all else its own."""
    yield _FRAME
    for start in range(0, len(data), _BLOCK):
        block = data[start : start + _BLOCK]
        kind = _REPEATED if block == block[:1] * len(block) else _RAW
        is_last = start + _BLOCK >= len(data)
        yield (is_last | kind << 1 | len(block) << 3).to_bytes(3, "little")
        yield block if kind == _RAW else block[:1]


def _add(tar: tarfile.TarFile, path: str, content: bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(path)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))
