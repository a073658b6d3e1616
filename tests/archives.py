"""Conda archives of every kind: a real Python, noarch Python, prefixes in text and binaries."""

import bz2
import hashlib
import io
import json
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tierctl.demo.channel import NOARCH, SUBDIR, list_archive

# What stands where the prefix comes, as conda's build tools have it.
PLACEHOLDER = "/placehold" * 20
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
# What commands of wheels and those who look an interpreter over import.
_NEEDED = (
    "argparse, compileall, concurrent.futures.process, encodings.ascii, encodings.cp437, "
    "encodings.idna, encodings.latin_1, fcntl, importlib.metadata, importlib.resources, json, "
    "logging, pathlib, platform, random, runpy, socket, struct, subprocess, sysconfig, tempfile, "
    "textwrap, typing, urllib.request, zipfile"
)
_FILES = (
    f"import {_NEEDED}, sys; print(*(getattr(m, '__file__', '') for m in sys.modules.values()))"
)


@dataclass
class Package:
    """A package; ``prefixed`` names the files that hold ``PLACEHOLDER``, and how."""

    name: str
    version: str
    files: dict[str, bytes]
    links: dict[str, str] = field(default_factory=dict)
    prefixed: dict[str, str] = field(default_factory=dict)
    depends: tuple[str, ...] = ()
    subdir: str = SUBDIR
    entry_points: tuple[str, ...] | None = None

    def write(self, channel: Path) -> Path:
        """Add it to a channel; returns the archive."""
        archive = channel / self.subdir / f"{self.name}-{self.version}-0.tar.bz2"
        archive.parent.mkdir(parents=True, exist_ok=True)
        archive.write_bytes(bz2.compress(self._tar(), 1))
        list_archive(channel, archive, self._index())
        return archive

    def _index(self) -> dict[str, object]:
        index = {
            "name": self.name,
            "version": self.version,
            "build": "0",
            "build_number": 0,
            "depends": list(self.depends),
            "subdir": self.subdir,
            "timestamp": 1_700_000_000_000,
        }
        if self.subdir == NOARCH:
            index["noarch"] = "generic" if self.entry_points is None else "python"
        return index

    def _paths(self) -> Iterator[dict[str, object]]:
        for path, data in self.files.items():
            entry: dict[str, object] = {
                "_path": path,
                "path_type": "hardlink",
                "sha256": hashlib.sha256(data).hexdigest(),
                "size_in_bytes": len(data),
            }
            if path in self.prefixed:
                entry |= {"file_mode": self.prefixed[path], "prefix_placeholder": PLACEHOLDER}
            yield entry
        for path in self.links:
            yield {"_path": path, "path_type": "softlink"}

    def _tar(self) -> bytes:
        paths = {"paths_version": 1, "paths": list(self._paths())}
        info: dict[str, object] = {"index.json": self._index(), "paths.json": paths}
        if self.entry_points is not None:
            noarch = {"type": "python", "entry_points": self.entry_points}
            info["link.json"] = {"noarch": noarch, "package_metadata_version": 1}
        files = {f"info/{name}": json.dumps(value).encode() for name, value in info.items()}
        files["info/files"] = "\n".join((*self.files, *self.links)).encode()
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            for path, content in (files | self.files).items():
                member = tarfile.TarInfo(path)
                member.size = len(content)
                member.mode = 0o755 if path.startswith("bin/") else 0o644
                tar.addfile(member, io.BytesIO(content))
            for path, link in self.links.items():
                member = tarfile.TarInfo(path)
                member.type, member.linkname = tarfile.SYMTYPE, link
                tar.addfile(member)
        return data.getvalue()


@cache
def python() -> Package:
    """Return the Python that runs this, small: its program, and what it imports to start."""
    library = Path(sysconfig.get_path("stdlib"))
    program = Path(sys.base_prefix, "bin", f"python{PYTHON}")
    done = subprocess.run([program, "-I", "-c", _FILES], capture_output=True, check=True, text=True)
    modules = {Path(name) for name in done.stdout.split() if name.startswith(str(library))}
    modules |= {
        path for name in modules if name.stem == "__init__" for path in name.parent.glob("*.py")
    }
    modules |= set(library.glob("_sysconfigdata_*.py"))
    files = {f"lib/python{PYTHON}/{path.relative_to(library)}": path for path in modules}
    files[f"bin/python{PYTHON}"] = program
    read = {name: path.read_bytes() for name, path in files.items()}
    read[f"lib/python{PYTHON}/site-packages/README"] = b""
    version = ".".join(map(str, sys.version_info[:3]))
    return Package("python", version, read, {"bin/python": f"python{PYTHON}"})


def write_wheel(
    directory: Path,
    name: str,
    version: str,
    *,
    requires: str = "",
    more: Mapping[str, str] = {},
    digests: bool = False,
    but: Mapping[str, str] = {},
    data: bytes = b"",
) -> Path:
    """Write a wheel of one module, with a command of the same name that says its version.

    It has a file of ``data``, too, and ``more`` members. ``digests``: it lists those of its
    files, ``but`` other ones.
    """
    stem = f"{name}-{version}"
    requirement = f"Requires-Dist: {requires}\n" if requires else ""
    members: dict[str, str | bytes] = {
        f"{name}.py": f"def main():\n    print('{name} {version}')\n",
        f"{name}.data": data,
        f"{stem}.dist-info/METADATA": (
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requirement}"
        ),
        f"{stem}.dist-info/WHEEL": (
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
        f"{stem}.dist-info/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
        **more,
    }
    listed = {
        member: f"sha256={_digest(text)}" if digests else "" for member, text in members.items()
    }
    record = f"{stem}.dist-info/RECORD"
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in members.items():
            wheel.writestr(member, text)
        rows = {**listed, record: "", **but}
        wheel.writestr(record, "".join(f"{member},{each},\n" for member, each in rows.items()))
    return path


def _digest(content: str | bytes) -> str:
    data = content.encode() if isinstance(content, str) else content
    return urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def write_index(directory: Path, wheels: Path) -> None:
    """Write a package index (PEP 503) of all wheels in a directory."""
    pages: dict[Path, str] = {}
    for wheel in sorted(wheels.iterdir()):
        data = wheel.read_bytes()
        place = directory / wheel.name.partition("-")[0]
        place.mkdir(parents=True, exist_ok=True)
        (place / wheel.name).write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        link = f'<a href="{wheel.name}#sha256={digest}">{wheel.name}</a>\n'
        pages[place] = pages.get(place, "") + link
    for place, links in pages.items():
        (place / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")
