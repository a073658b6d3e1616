"""Which package brought a file of an environment, by what packages and wheels list."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from glob import escape, iglob
from os import path as paths

from tierctl.rotation.names import ENVIRONMENTS

_ENVIRONMENT = re.compile(rf"{ENVIRONMENTS}/[^/]+(?=/)")
_RECORD = re.compile(r"conda-meta/(.+)\.json")
_COMPILED = re.compile(r"(^|.*/)__pycache__/([^/.]+)\.[^/]+\.pyc")
# What a damaged record can raise.
_DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError, csv.Error, RecursionError)


class Origins:
    """Knows the packages of a deployment, by those of its records that can be read."""

    def __init__(self, top: str) -> None:
        self._top = top
        self._by_environment: dict[str, dict[str, str]] = {}

    def of(self, path: str) -> str:
        """Return the package that brought what has a path in the deployment, or nothing."""
        found = _ENVIRONMENT.match(path)
        if found is None:
            return ""
        prefix, name = found[0], path[found.end() + 1 :]
        if record := _RECORD.fullmatch(name):
            return record[1]
        if prefix not in self._by_environment:
            self._by_environment[prefix] = dict(_listed(paths.join(self._top, prefix)))
        known = self._by_environment[prefix]
        source = _COMPILED.sub(r"\1\2.py", name)
        return known.get(name) or known.get(source, "")


def _listed(prefix: str) -> Iterator[tuple[str, str]]:
    """Yield the files of an environment with their packages; who comes later has overwritten it."""
    readers = {
        "conda-meta/*.json": _of_package,
        "lib/python*/site-packages/*.dist-info/RECORD": _of_wheel,
    }
    for pattern, reader in readers.items():
        for record in iglob(f"{escape(prefix)}/{pattern}"):
            try:
                yield from reader(prefix, record)
            except _DAMAGED:
                continue


def _of_package(prefix: str, record: str) -> list[tuple[str, str]]:
    with open(record, "rb") as file:
        listed = json.load(file)["paths_data"]["paths"]
    package = paths.basename(record).removesuffix(".json")
    return [(str(each["_path"]), package) for each in listed]


def _of_wheel(prefix: str, record: str) -> list[tuple[str, str]]:
    described = paths.dirname(record)
    package = " ".join(paths.basename(described).removesuffix(".dist-info").split("-", 1))
    top = paths.relpath(paths.dirname(described), prefix)
    with open(record, encoding="utf-8", newline="") as file:
        return [(paths.normpath(paths.join(top, row[0])), package) for row in csv.reader(file)]
