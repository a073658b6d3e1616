"""The overlay: what is copied into a deployment as it is."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from os import path as paths

from tierctl.deploy.problems import Place, Problems
from tierctl.layout import PROFILE
from tierctl.text import shown

# What tierctl writes itself.
_WRITTEN = {"etc/condarc", "etc/profile.csh", "etc/profile.fish", PROFILE}
_KEPT = {"conda", "logs", "meta"}


@dataclass(frozen=True)
class Item:
    """A file, directory or symlink; ``path`` is relative to the tier, ``link`` a symlink's text."""

    path: str
    source: str
    mode: int
    link: str | None = None

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)


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
    mode = os.lstat(source).st_mode
    if wrong := _why_not(top, path, mode):
        problems.add(Place(source), wrong)
        return None
    link = os.readlink(source) if stat.S_ISLNK(mode) else None
    return Item(path, source, mode, link)


def _why_not(top: str, path: str, mode: int) -> str:
    if path in _WRITTEN or path.partition("/")[0] in _KEPT:
        return "tierctl writes that itself: choose another name"
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
