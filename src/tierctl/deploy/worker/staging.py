"""Wheels: unpacked beside their environment, checked there, and moved into it.

uv checks the archive of a wheel when it fetches it, but never what it keeps of it. And it writes
wherever the paths of a wheel lead. So it unpacks into a directory where nothing is yet.
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

from tierctl.deploy import tree
from tierctl.deploy.worker import members, outside, uv
from tierctl.deploy.worker.failures import Failed
from tierctl.deploy.worker.members import Contents, Kind
from tierctl.deploy.worker.wheels import Wheel, WheelsFailed
from tierctl.text import shown

_LOCK = ".lock"  # of uv, in each directory that it installs to
_STAGE = outside.STAGE
_RECORD = re.compile(r"lib/python[^/]*/site-packages/([^/]+)-[^/-]+\.dist-info/RECORD")


class _Row(NamedTuple):
    """A file, as a wheel lists it: the digest is like ``sha256=``, and then base64."""

    digest: str
    size: str


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
) -> None:
    """Install wheels into an environment of conda packages, which has a Python.

    What the cache has damaged is fetched anew. Raises ``Failed`` or ``WheelsFailed``.
    """
    stage = paths.join(prefix, _STAGE)
    try:
        _unpack(wheels, environment, prefix, cache, offline=offline)
    except _Damaged as error:
        tree.remove(stage)
        uv.forget(error.names, cache)
        try:
            _unpack(wheels, environment, prefix, cache, offline=offline)
        except _Damaged as again:
            raise WheelsFailed(f"{again}, even after it was fetched anew") from again
    tree.move_into(stage, prefix)


def _unpack(
    wheels: Sequence[Wheel],
    environment: Sequence[Contents],
    prefix: str,
    cache: str,
    *,
    offline: bool,
) -> None:
    """Have uv unpack wheels into an empty directory, and see that they are what they list."""
    stage = paths.join(prefix, _STAGE)
    names = {wheel.name for wheel in wheels}
    try:
        uv.unpack(wheels, f"{prefix}/bin/python", stage, cache, offline=offline)
    except WheelsFailed as error:
        if offline or not _can_do_without(wheels, prefix, cache):
            raise
        raise _Damaged(names, str(error)) from error
    tree.take_apart(paths.join(stage, _LOCK))
    there = members.kinds_in(stage)
    try:
        listed = dict(_lists(stage, there))
    except (OSError, ValueError, csv.Error) as error:
        raise _Damaged(names, f"the list of a wheel's files cannot be read: {error}") from error
    unpacked = [_contents(name, rows) for name, rows in listed.items()]
    wrong = {each.package: str(each) for each in outside.of_all([*environment, *unpacked], prefix)}
    if wrong:
        raise Failed(wrong)
    for name, rows in listed.items():
        for path, row in rows.items():
            if why := _wrong_with(paths.join(stage, path), row):
                own = {each for each in names if each == _normal(name)}
                raise _Damaged(own or names, f"{shown(name)}: '{shown(path)}' {why}")
    known = {path for rows in listed.values() for path in rows}
    for path, kind in there.items():
        if kind is not Kind.DIRECTORY and path not in known:
            raise _Damaged(names, f"no wheel lists '{shown(path)}', which is there")


def _can_do_without(wheels: Sequence[Wheel], prefix: str, cache: str) -> bool:
    """Say whether wheels that cannot be unpacked from the cache can be without it."""
    place, own = (paths.join(prefix, _STAGE, name) for name in ("try", "cache"))
    try:
        uv.unpack(wheels, f"{prefix}/bin/python", place, own, offline=False)
    except WheelsFailed:
        return False
    return True


def _lists(stage: str, there: Mapping[str, Kind]) -> Iterator[tuple[str, dict[str, _Row]]]:
    """Yield each wheel's name, and what it lists: by path below the prefix."""
    for path in there:
        found = _RECORD.fullmatch(path)
        if found is not None:
            modules = paths.dirname(paths.dirname(path))
            with open(paths.join(stage, path), encoding="utf-8", newline="") as file:
                # A script's name leads out of the directory of modules: ../../../bin/name.
                yield (
                    found[1],
                    {
                        paths.normpath(paths.join(modules, name)): _Row(digest, size)
                        for name, digest, size in csv.reader(file)
                    },
                )


def _normal(name: str) -> str:
    """Return a name as PEP 503 compares it, and uv writes it."""
    return re.sub("[-_.]+", "-", name).lower()


def _contents(name: str, rows: Iterable[str]) -> Contents:
    """Return what a wheel brings, in the words of conda's packages."""
    listed: list[dict[str, Any]] = [{"_path": path, "path_type": Kind.FILE.value} for path in rows]
    targets = list(rows)
    return Contents(name, "", targets, targets, listed, {}, [], [])


def _wrong_with(path: str, row: _Row) -> str:
    """Say what is wrong with a file that a wheel lists, or nothing."""
    try:
        with open(path, "rb", opener=_without_links) as file:
            if row.size and os.fstat(file.fileno()).st_size != int(row.size):
                return f"has {os.fstat(file.fileno()).st_size} bytes instead of {row.size}"
            kind, _, wanted = row.digest.partition("=")
            if wanted:
                digest = urlsafe_b64encode(hashlib.file_digest(file, kind).digest())
                if digest.rstrip(b"=").decode() != wanted.rstrip("="):
                    return f"has another {kind} than it lists"
    except FileNotFoundError:
        return "is missing"
    except (OSError, ValueError) as error:
        return f"cannot be checked: {error}"
    return ""


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
