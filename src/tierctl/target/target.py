"""A target, as one value."""

from __future__ import annotations

from typing import Self

from tierctl.fs.protocol import FileSystem
from tierctl.target.paths import Layout


class Target(Layout):
    """One target: its paths, and the filesystem that it is on."""

    fs: FileSystem

    def __new__(cls, fs: FileSystem, layout: Layout) -> Self:
        """Join a filesystem and the paths of a target on it."""
        target = super().__new__(cls, layout.infrastructure)
        target.fs = fs
        return target
