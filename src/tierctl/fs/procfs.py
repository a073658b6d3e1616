"""What the system tells of processes: proc(5), where there is that."""

from __future__ import annotations

import os


def processes() -> list[int]:
    """Return the numbers of the processes that are listed, in order; none without ``/proc``."""
    try:
        return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
    except OSError:
        return []


def told(pid: int, name: str) -> bytes:
    """Return what a file of a process says; nothing if it has ended, or is closed to the caller."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except OSError:
        return b""
