"""Whether an environment holds what its packages say, every file of it."""

from __future__ import annotations

import csv
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from glob import escape, iglob
from os import path as paths
from typing import Any

from tierctl.text import shown

_MISSING = -1


def verify(asked: dict[str, Any]) -> dict[str, Any]:
    """Say for each environment what is wrong with it, and which packages are not whole.

    Those as the cache calls them.
    """
    wrong, damaged = {}, []
    for name, prefix in asked["prefixes"].items():
        wrong[name], of_packages = _verify_one(prefix, asked["wheels"][name], asked["counts"][name])
        damaged += of_packages
    return {"wrong": wrong, "damaged": damaged}


def _verify_one(
    prefix: str, wheels: Iterable[tuple[str, str]], count: int
) -> tuple[list[str], list[str]]:
    meta = f"{prefix}/conda-meta"
    records = [name for name in os.listdir(meta) if name.endswith(".json")]
    found = {name: list(_wrong_package(prefix, f"{meta}/{name}")) for name in records}
    installed = list(_described(prefix, wheels))
    problems = [problem for each in found.values() for problem in each]
    problems += [problem for directory in installed for problem in _wrong_wheel(directory)]
    there = len(records) + len(installed)
    if there != count:
        problems.insert(0, f"{there} packages are there, {count} were to be")
    return problems, [name.removesuffix(".json") for name, wrong in found.items() if wrong]


def _wrong_package(prefix: str, record: str) -> Iterator[str]:
    try:
        with open(record, "rb") as file:
            files = json.load(file)["paths_data"]["paths"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        yield f"{shown(paths.basename(record))} cannot be read: {error}"
        return
    for file in files:
        name = file["_path"]
        # One into which the prefix is written has another size than in its archive.
        wanted = None if file.get("file_mode") == "text" else file.get("size_in_bytes")
        yield from _wrong_file(name, f"{prefix}/{name}", wanted)


def _described(prefix: str, wheels: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield the directory of what each wheel says of itself."""
    wanted = {(_normal(name), version) for name, version in wheels}
    for path in iglob(f"{escape(prefix)}/lib/python*/site-packages/*.dist-info/RECORD"):
        directory = paths.dirname(path)
        name, _, version = paths.basename(directory).removesuffix(".dist-info").partition("-")
        if (_normal(name), version) in wanted:
            yield directory


def _normal(name: str) -> str:
    """Return a name as PEP 503 compares it."""
    return re.sub("[-_.]+", "-", name).lower()


def _wrong_wheel(directory: str) -> Iterator[str]:
    """Say what is wrong with the files of a wheel, by its list of them: path, digest, size."""
    try:
        with open(f"{directory}/RECORD", encoding="utf-8", newline="") as file:
            for name, _, size in csv.reader(file):
                path = paths.normpath(f"{directory}/../{name}")
                yield from _wrong_file(name, path, int(size) if size else None)
    except (OSError, ValueError) as error:
        yield f"{shown(paths.basename(directory))}/RECORD cannot be read: {error}"


def _wrong_file(name: str, path: str, wanted: int | None) -> Iterator[str]:
    found = _size(path)
    if found == _MISSING:
        yield f"{shown(name)} is missing"
    elif None not in (found, wanted) and found != wanted:
        yield f"{shown(name)} has {found} bytes instead of {wanted}"


def _size(path: str) -> int | None:
    """Return a file's size in bytes, None for all that is no file."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return _MISSING
    return found.st_size if stat.S_ISREG(found.st_mode) else None
