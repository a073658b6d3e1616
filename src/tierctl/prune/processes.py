"""What the processes of this host use, by what the kernel says of them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator
from os import path as paths
from typing import NamedTuple, TypeVar

from tierctl.fs import procfs
from tierctl.prune.views import View
from tierctl.rotation.names import is_deployment_number
from tierctl.target.users import user_name

T = TypeVar("T")
_LINKS = ("cwd", "root", "exe")
# The first process of all, and the namespace of processes that it is in (linux/proc_ns.h).
_FIRST = 1
_INITIAL = f"pid:[{0xEFFFFFFC}]"
# A flag of /proc/PID/stat, see proc(5): a thread of the kernel.
_OF_KERNEL = 0x00200000


class Uses(NamedTuple):
    """The deployments that are used, each with what uses it, and what was not seen.

    ``not_inspected`` counts processes (threads, where /proc does not list them).
    ``blind`` says why nothing can be seen at all, if that is so.
    """

    by_number: dict[int, str]
    not_inspected: int
    blind: str = ""


def uses(deployments: str) -> Uses:
    """Look through the processes of this host; ``deployments`` is the directory of the builds.

    Their working directory, root, program, environment at their start, open files, mapped
    libraries and mounts are looked at. Without ``/proc`` nothing is known.
    """

    def number(path: str) -> int | None:
        name = path.removeprefix(f"{deployments}/").partition("/")[0]
        return int(name) if is_deployment_number(name) else None

    found, not_inspected = _look([deployments], number)
    return Uses(found, not_inspected, _blindness())


def users(trees: Collection[str]) -> dict[str, str]:
    """Return who uses trees: by path one process and its user, if the caller can see any."""

    def tree(path: str) -> str | None:
        return next((t for t in trees if path == t or path.startswith(f"{t}/")), None)

    found, _ = _look({paths.dirname(tree) for tree in trees}, tree) if trees else ({}, 0)
    return {tree: f"{user}{_owner(user)}" for tree, user in found.items()}


def _look(
    directories: Collection[str], what: Callable[[str], T | None]
) -> tuple[dict[T, str], int]:
    """Return what is used in directories, each with a user, and how many cannot be inspected.

    ``what`` says what it is that a path belongs to.
    """
    found: dict[T, str] = {}
    here = View(directories)
    _note(found, what, here.mounted, "the mount")
    views = {_namespace("self"): here}
    not_inspected = 0
    pids = procfs.processes()
    for pid in pids:
        try:
            view = views.get(namespace := _namespace(str(pid)))
            if view is None:
                view = views[namespace] = View(directories, f"/proc/{pid}/mountinfo")
                _note(found, what, view.mounted, f"process {pid}, with the mount")
            used = {path for seen in _paths(pid) for path in (*here.own(seen), *view.own(seen))}
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
        except PermissionError:
            not_inspected += not _is_of_kernel(pid)
            continue
        _note(found, what, dict.fromkeys(used, ""), f"process {pid}")
    return found, not_inspected + _unlisted(pids)


def _note(
    found: dict[T, str], what: Callable[[str], T | None], used: dict[str, str], user: str
) -> None:
    """Note who uses what; ``used`` says by path where it is seen."""
    for path, seen in used.items():
        each = what(path)
        if each is not None:
            found.setdefault(each, f"{user} {seen}".rstrip())


def _blindness() -> str:
    """Say why the processes of this host cannot be seen, or nothing."""
    if not paths.exists("/proc/self/stat"):
        return "there is no /proc here"
    try:
        namespace = os.readlink(f"/proc/{_FIRST}/ns/pid")
    except OSError:  # another user's, or hidden
        namespace = _namespace("self", "pid")
    if namespace not in ("", _INITIAL):
        return "this is a container, which shows only its own processes"
    return ""


def _unlisted(pids: Collection[int]) -> int:
    """Return how many threads of this host are in no process that /proc lists (hidepid)."""
    if not pids or _FIRST in pids:
        return 0
    try:
        with open("/proc/loadavg", encoding="ascii") as file:
            there = int(file.read().split()[3].partition("/")[2])
        listed = sum(len(os.listdir(f"/proc/{pid}/task")) for pid in pids)
    except (OSError, ValueError, IndexError):
        return 1
    return max(1, there - listed)


def _namespace(pid: str, kind: str = "mnt") -> str:
    """Return the namespace of a process; with its own root, if it has one, for its mounts."""
    try:
        namespace = os.readlink(f"/proc/{pid}/ns/{kind}")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return f"{namespace}{os.readlink(f'/proc/{pid}/root')}" if kind == "mnt" else namespace


def _is_of_kernel(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return bool(int(file.read().rpartition(b") ")[2].split()[6]) & _OF_KERNEL)
    except (OSError, ValueError, IndexError):
        return False


def _owner(user: str) -> str:
    """Return whose process it is that uses something."""
    pid = re.match(r"process (\d+)", user)
    if pid is None:
        return ""
    try:
        return f" of {user_name(os.stat(f'/proc/{pid[1]}').st_uid)}"
    except FileNotFoundError:
        return " of somebody"


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
