"""Reading files that people or packages have written, whatever is in their place."""

from __future__ import annotations

import os
import stat
from io import BufferedReader

LARGEST_BYTES = 1 << 20

# Files that were read, by path, as they were then.
Sources = dict[str, os.stat_result]


def read(path: str, sources: Sources) -> bytes:
    """Return the content of a file, and add it to the sources.

    Raises ``OSError``, or ``ValueError`` for what is none.
    """
    # O_NONBLOCK: opening a FIFO that somebody left here must not hang.
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        sources[path] = os.fstat(file.fileno())
        return content(file)


def content(file: BufferedReader) -> bytes:
    """Return the content of a file that is open; raises ``ValueError`` for what is none."""
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise ValueError("it is no file")
    data = file.read(LARGEST_BYTES + 1)
    if len(data) > LARGEST_BYTES:
        raise ValueError("it is too large to be one")
    return data
