"""Wheels: unpacked beside their environment, checked there, and moved into it.

uv checks the archive of a wheel when it fetches it, but never what it keeps of it. And it writes
wherever the paths of a wheel lead, side by side: of two wheels' files either can be there in the
end. So it unpacks into a directory where nothing is yet, and wheels that have a path in common
each into one of their own; these are moved in order.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import path as paths
from typing import Any, NamedTuple

from tierctl.deploy.engine.worker import clashes, members, outside, uv
from tierctl.deploy.engine.worker.clashes import Owners
from tierctl.deploy.engine.worker.failures import Failed
from tierctl.deploy.engine.worker.members import Contents, Kind, Kinds
from tierctl.deploy.engine.worker.wheels import Listed, Wheel, WheelsFailed, hexadecimal, listed
from tierctl.fs import tree
from tierctl.target.packages import normal_name
from tierctl.text import shown

_LOCK = ".lock"  # of uv, in each directory that it installs to
_STAGE = outside.STAGE
_DIST_INFO = re.compile(r"(lib/python[^/]*/site-packages/([^/]+)-[^/-]+\.dist-info)/RECORD")

# By wheel what it lists, by path below the prefix.
_Lists = dict[str, dict[str, Listed]]


class _Damaged(WheelsFailed):
    """What uv had of these wheels is not what they list."""

    def __init__(self, names: Iterable[str], why: str) -> None:
        super().__init__(why)
        self.names = frozenset(names)


def install(
    wheels: Sequence[Wheel],
    environment: Sequence[Contents],
    prefix: str,
    cache: str,
    *,
    offline: bool,
) -> Owners:
    """Install wheels into an environment of conda packages, which has a Python.

    What the cache has damaged is fetched anew. A wheel's file takes the place of a
    package's, and that of the wheel whose name comes last the place of another
    one's; returns whose do. Raises ``Failed`` or ``WheelsFailed``.
    """
    staged = _Stage(prefix, cache, offline).unpack_all(sorted(wheels, key=str))
    unpacked = (each for place, lists in staged.items() for each in _contents(place, lists))
    brought = sorted(unpacked, key=lambda contents: contents.package)
    wrong = {each.package: str(each) for each in outside.of_all([*environment, *brought], prefix)}
    if wrong:
        raise Failed(wrong)
    owners = clashes.require_told_of_wheels(environment, brought)
    for place in staged:
        tree.move_into(place, prefix)
    tree.remove(paths.join(prefix, _STAGE))
    return owners


class _Stage(NamedTuple):
    """Where wheels are unpacked for an environment, and from what."""

    prefix: str
    cache: str
    offline: bool

    def unpack_all(self, wheels: Sequence[Wheel]) -> dict[str, _Lists]:
        """Unpack wheels into one directory or into several; return their lists by that, in order.

        Raises ``WheelsFailed``.
        """
        try:
            place, lists = self._unpack_whole(wheels)
            common = _common_paths(lists)
            alone = [each for each in wheels if not common.isdisjoint(lists.get(str(each), ()))]
        except WheelsFailed:
            if len(wheels) == 1:
                raise
            alone = list(wheels)  # a file of one and a directory of another one, or it fails again
        if not alone:
            return {place: lists}
        tree.remove(paths.join(self.prefix, _STAGE))
        others = [wheel for wheel in wheels if wheel not in alone]
        groups = filter(None, (others, *([wheel] for wheel in alone)))
        return dict(map(self._unpack_whole, groups))

    def _unpack_whole(self, wheels: Sequence[Wheel]) -> tuple[str, _Lists]:
        """Unpack wheels, a second time where what the cache has of them is damaged."""
        place = paths.join(self.prefix, _STAGE, wheels[0].name)
        try:
            return place, self._unpack(wheels, place)
        except _Damaged as error:
            tree.remove(place)
            uv.forget(error.names, self.cache)
        try:
            return place, self._unpack(wheels, place)
        except _Damaged as again:
            raise WheelsFailed(f"{again}, even after it was fetched anew") from again

    def _unpack(self, wheels: Sequence[Wheel], place: str) -> _Lists:
        """Have uv unpack wheels into an empty directory, and see that they are what they list."""
        names = {wheel.name for wheel in wheels}
        try:
            self._ask_uv(wheels, place, self.cache)
        except WheelsFailed as error:
            if self.offline or not self._can_do_without(wheels):
                raise
            raise _Damaged(names, str(error)) from error
        tree.take_apart(paths.join(place, _LOCK))
        there = members.kinds_in(place)
        try:
            by_name = {normal_name(wheel.name): wheel for wheel in wheels}
            lists = _read_lists(place, there[Kind.FILE], by_name)
        except (OSError, ValueError, csv.Error) as error:
            raise _Damaged(names, f"the list of a wheel's files cannot be read: {error}") from error
        _require_whole(place, there, lists, wheels)
        return lists

    def _ask_uv(self, wheels: Sequence[Wheel], place: str, cache: str) -> None:
        uv.unpack(wheels, f"{self.prefix}/bin/python", place, cache, offline=self.offline)

    def _can_do_without(self, wheels: Sequence[Wheel]) -> bool:
        """Say whether wheels that cannot be unpacked from the cache can be without it."""
        place, own = (paths.join(self.prefix, _STAGE, name) for name in (".try", ".cache"))
        try:
            self._ask_uv(wheels, place, own)
        except WheelsFailed:
            return False
        return True


def _read_lists(place: str, there: Iterable[str], wheels: Mapping[str, Wheel]) -> _Lists:
    lists = _Lists()
    for path in there:
        found = _DIST_INFO.fullmatch(path)
        if found is not None:
            name = str(wheels.get(normal_name(found[2]), found[2]))
            lists[name] = {file.path: file for file in listed(place, found[1])}
    return lists


def _require_whole(place: str, there: Kinds, lists: _Lists, wheels: Sequence[Wheel]) -> None:
    """Raise ``_Damaged`` where wheels are not what they list, but for what several list."""
    names = {wheel.name for wheel in wheels}
    common = _common_paths(lists)
    for name, files in lists.items():
        for path, file in files.items():
            why = "" if path in common else _wrong_with(paths.join(place, path), file)
            if why:
                own = {wheel.name for wheel in wheels if str(wheel) == name}
                raise _Damaged(own or names, f"{shown(name)}: '{shown(path)}' {why}")
    known = {path for files in lists.values() for path in files}
    for path in sorted((there[Kind.FILE] | there[Kind.LINK]) - known):
        raise _Damaged(names, f"no wheel lists '{shown(path)}', which is there")


def _common_paths(lists: _Lists) -> set[str]:
    """Return the paths that several wheels list, and not all as the same."""
    digests = dict[str, list[str]]()
    for files in lists.values():
        for path, file in files.items():
            digests.setdefault(path, []).append(file.digest)
    return {
        path
        for path, each in digests.items()
        if len(each) > 1 and ("" in each or len(set(each)) > 1)
    }


def _contents(place: str, lists: _Lists) -> Iterator[Contents]:
    """Yield what each wheel brings, in the words of conda's packages."""
    for name, files in lists.items():
        entries: list[dict[str, Any]] = [
            {"path_type": Kind.FILE.value, "sha256": _sha256(place, file)}
            for file in files.values()
        ]
        yield Contents(name, place, list(files), list(files), entries, {}, {}, [])


def _sha256(place: str, file: Listed) -> str:
    noted = hexadecimal(file.digest)
    if noted or file.path.startswith(("..", "/")):  # which is refused
        return noted
    with open(paths.join(place, file.path), "rb", opener=_without_links) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _wrong_with(path: str, file: Listed) -> str:
    """Say what is wrong with a file that a wheel lists, or nothing."""
    try:
        with open(path, "rb", opener=_without_links) as opened:
            size = os.fstat(opened.fileno()).st_size
            if file.size not in (None, size):
                return f"has {size} bytes instead of {file.size}"
            kind, _, wanted = file.digest.partition("=")
            if wanted:
                digest = urlsafe_b64encode(hashlib.file_digest(opened, kind).digest())
                if digest.rstrip(b"=").decode() != wanted.rstrip("="):
                    return f"has another {kind} than it lists"
    except FileNotFoundError:
        return "is missing"
    except (OSError, ValueError) as error:
        return f"cannot be checked: {error}"
    return ""


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
