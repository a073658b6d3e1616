"""What the processes of this host use, by what the kernel says of them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator
from os import path as paths
from typing import NamedTuple, TypeVar

from tierctl.author import user_name

T = TypeVar("T")
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

    def number(path: str) -> int | None:
        match = pattern.match(path)
        return None if match is None else int(match[1])

    found, not_inspected = _look(number)
    return Uses({number: f"process {pid}" for number, pid in found.items()}, not_inspected)


def users(trees: Collection[str]) -> dict[str, str]:
    """Return who uses trees: by path one process and its user, if the caller can see any."""
    resolved = {paths.realpath(tree): tree for tree in trees}

    def tree(path: str) -> str | None:
        return next((t for r, t in resolved.items() if path == r or path.startswith(f"{r}/")), None)

    found, _ = _look(tree) if trees else ({}, 0)
    return {tree: f"process {pid} of {_user(pid)}" for tree, pid in found.items()}


def _look(what: Callable[[str], T | None]) -> tuple[dict[T, int], int]:
    """Return what processes use, each with the first of them, and how many cannot be inspected.

    ``what`` says what it is that a path belongs to.
    """
    found: dict[T, int] = {}
    not_inspected = 0
    for pid in _processes():
        try:
            used = {each for path in _paths(pid) if (each := what(path)) is not None}
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
        except PermissionError:
            not_inspected += 1
            continue
        for each in used:
            found.setdefault(each, pid)
    return found, not_inspected


def _user(pid: int) -> str:
    try:
        return user_name(os.stat(f"/proc/{pid}").st_uid)
    except FileNotFoundError:
        return "somebody"


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
