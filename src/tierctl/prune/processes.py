"""Which deployments the processes of this host use, by what the kernel says of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from os import path as paths
from typing import NamedTuple

_LINKS = ("cwd", "root", "exe")


class Uses(NamedTuple):
    """The deployments that processes use, each with one of them, and how many were not seen."""

    by_number: dict[int, str]
    not_inspected: int


def uses(deployments: str) -> Uses:
    """Look through the processes of this host; ``deployments`` is the directory of the builds.

    Their working directory, root, program, environment, open files and mapped
    libraries are looked at. Without ``/proc`` nothing is known: all of it is not inspected.
    """
    # The kernel tells resolved paths.
    pattern = re.compile(re.escape(paths.realpath(deployments)) + r"/([1-9][0-9]*)(?:/|$)")
    found: dict[int, str] = {}
    not_inspected = 0
    for pid in _processes():
        try:
            numbers = {int(match[1]) for path in _paths(pid) if (match := pattern.match(path))}
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
        except PermissionError:
            not_inspected += 1
            continue
        for number in numbers:
            found.setdefault(number, f"process {pid}")
    return Uses(found, not_inspected)


def _processes() -> list[int]:
    try:
        names = os.listdir("/proc")
    except OSError:
        return []
    return sorted(int(name) for name in names if name.isdigit())


def _paths(pid: int) -> Iterator[str]:
    for name in _LINKS:
        yield from _link(f"/proc/{pid}/{name}")
    with open(f"/proc/{pid}/environ", errors="surrogateescape") as environment:
        yield from re.split("[\0:=]", environment.read())
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        yield from _link(f"/proc/{pid}/fd/{descriptor}")
    with open(f"/proc/{pid}/maps", errors="surrogateescape") as maps:
        for line in maps:
            yield line.rstrip("\n").partition("/")[2].join(("/", ""))


def _link(path: str) -> Iterator[str]:
    """Yield what a link of the kernel's says; a thread of the kernel has none."""
    try:
        yield os.readlink(path)
    except (FileNotFoundError, ProcessLookupError):
        return
