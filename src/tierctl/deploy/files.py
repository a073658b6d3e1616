"""Reading files of definitions, whatever is in their place."""

from __future__ import annotations

import os
import stat

LARGEST_BYTES = 1 << 20


def read(path: str) -> bytes:
    """Return the content of a file; raises ``OSError``, or ``ValueError`` for what is none."""
    # O_NONBLOCK: opening a FIFO that somebody left here must not hang.
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is no file")
        data = file.read(LARGEST_BYTES + 1)
    if len(data) > LARGEST_BYTES:
        raise ValueError("it is too large to be one")
    return data
