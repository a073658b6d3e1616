"""Where to move what stands in the way."""

from __future__ import annotations

from itertools import count

from tierctl.fs.protocol import FileSystem, exists
from tierctl.text import typed


def free_name(fs: FileSystem, path: str) -> str:
    """Return a path, or one that begins so, where there is nothing."""
    free, numbers = path, count(2)
    while exists(fs, free):
        free = f"{path}.{next(numbers)}"
    return free


def move(fs: FileSystem, path: str) -> str:
    """Return the command that moves something away."""
    return f"mv {typed(path)} {typed(free_name(fs, f'{path}.old'))}"
