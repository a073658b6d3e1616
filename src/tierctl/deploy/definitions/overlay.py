"""The overlay: what is copied into a deployment as it is."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from os import path as paths

from tierctl.deploy.definitions.problems import Place, Problems
from tierctl.errors import TierctlError
from tierctl.fs.opened import Naming
from tierctl.rotation.names import PROFILE, TIER_DIRECTORIES
from tierctl.text import shown

# What tierctl writes itself.
_WRITTEN = {"etc/condarc", "etc/profile.csh", "etc/profile.fish", PROFILE}
_KEPT = {"conda", "logs", "meta"}


@dataclass(frozen=True)
class Item:
    """A file, directory or symlink; ``path`` is relative to the tier, ``link`` a symlink's text.

    ``status`` is the source's and ``sha256`` that of a file's content, both as
    they were when it was read.
    """

    path: str
    source: str
    status: os.stat_result
    link: str | None = None
    sha256: str = ""

    @property
    def mode(self) -> int:
        """Its type and rights."""
        return self.status.st_mode

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)


class Changed(TierctlError):
    """A file is not what it was when the definitions were read."""

    code = "definitions-changed"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"the definitions were changed meanwhile: {shown(path)}",
            "Deploy again. No tier was changed.",
        )


def read(directory: str, problems: Problems) -> Iterator[Item]:
    """Yield what an overlay holds, each directory before what is in it; note what cannot be."""
    if not paths.lexists(directory):
        return
    if paths.islink(directory) or not paths.isdir(directory):
        problems.add(Place(directory), "has to be a directory")
        return
    yield from _below(directory, "", problems)


def _below(top: str, path: str, problems: Problems) -> Iterator[Item]:
    for name in sorted(os.listdir(paths.join(top, path))):
        item = _item(top, paths.join(path, name), problems)
        if item is None:
            continue
        yield item
        if item.is_directory:
            yield from _below(top, item.path, problems)


def _item(top: str, path: str, problems: Problems) -> Item | None:
    source = paths.join(top, path)
    status = os.lstat(source)
    if wrong := _why_not(top, path, status.st_mode):
        problems.add(Place(source), wrong)
        return None
    if stat.S_ISREG(status.st_mode):
        return _file(path, source)
    link = os.readlink(source) if stat.S_ISLNK(status.st_mode) else None
    return Item(path, source, status, link)


def _file(path: str, source: str) -> Item:
    with open_file(source) as file:
        status = os.fstat(file.fileno())
        return Item(path, source, status, sha256=hashlib.file_digest(file, "sha256").hexdigest())


def open_file(source: str) -> BufferedReader:
    """Open a file to read it, and no symlink that has taken its place."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    return open(os.open(source, flags), "rb")


def copy(items: Iterable[Item], destination: str) -> None:
    """Copy an overlay into a directory, where its directories may be already.

    Everyone may read the copies, and execute what its owner may execute.
    """
    for item in items:
        path = paths.join(destination, item.path)
        if item.link is not None:
            os.symlink(item.link, path)
        elif item.is_directory:
            os.makedirs(path, 0o755, exist_ok=True)
        else:
            _copy_file(item, path)


def _copy_file(item: Item, path: str) -> None:
    with Naming(path), open_file(item.source) as read, open(path, "x+b") as written:
        shutil.copyfileobj(read, written)
        written.seek(0)
        if hashlib.file_digest(written, "sha256").hexdigest() != item.sha256:
            raise Changed(item.source)
        os.fchmod(written.fileno(), 0o755 if item.mode & stat.S_IXUSR else 0o644)


def _why_not(top: str, path: str, mode: int) -> str:
    if path in _WRITTEN or path.partition("/")[0] in _KEPT:
        return "tierctl writes that itself: choose another name"
    if path in TIER_DIRECTORIES and not stat.S_ISDIR(mode):
        return "has to be a directory"
    if stat.S_ISLNK(mode):
        return _why_not_link(top, path)
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return "is neither a file, nor a directory, nor a symlink"
    return ""


def _why_not_link(top: str, path: str) -> str:
    """Say why a symlink cannot be copied: what it shows has to come along with it."""
    text = os.readlink(paths.join(top, path))
    if paths.isabs(text):
        return f"is an absolute symlink, to {shown(text)}"
    inside = paths.normpath(paths.join(paths.dirname(path), text))
    if inside == ".." or inside.startswith("../"):
        return f"is a symlink out of the overlay, to {shown(text)}"
    real_top = paths.realpath(top)
    real = paths.realpath(paths.join(top, path))
    if paths.commonpath((real, real_top)) != real_top:
        return f"is a symlink out of the overlay, to {shown(text)}"
    return ""
