"""Whether an environment holds what its packages say, every file of it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from os import path as paths
from typing import Any

from tierctl.errors import TierctlError
from tierctl.text import shown

_MOST_NAMED = 10


class Incomplete(TierctlError):
    """What was built is not what was to be built."""

    code = "incomplete"

    def __init__(self, prefix: str, problems: list[str]) -> None:
        more = len(problems) - _MOST_NAMED
        lines = problems[:_MOST_NAMED] + ([f"and {more} more"] if more > 0 else [])
        super().__init__(
            "\n  ".join((f"{shown(prefix)} is not what its packages say:", *lines)),
            "No tier was changed. Is the disk full, or the package cache damaged?",
        )
        self.problems = problems


def environment(prefix: str, packages: int) -> None:
    """Raise ``Incomplete`` unless each file of so many packages is there with the right size."""
    meta = paths.join(prefix, "conda-meta")
    records = [name for name in os.listdir(meta) if name.endswith(".json")]
    problems = [problem for name in records for problem in _wrong(prefix, paths.join(meta, name))]
    if len(records) != packages:
        problems.insert(0, f"{len(records)} packages are there, {packages} were to be")
    if problems:
        raise Incomplete(prefix, problems)


def _wrong(prefix: str, record: str) -> Iterator[str]:
    try:
        with open(record, "rb") as file:
            files = json.load(file)["paths_data"]["paths"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        yield f"{shown(paths.basename(record))} cannot be read: {error}"
        return
    for file in files:
        if wrong := _wrong_file(prefix, file):
            yield f"{shown(file['_path'])} {wrong}"


def _wrong_file(prefix: str, file: dict[str, Any]) -> str:
    try:
        found = os.lstat(paths.join(prefix, file["_path"]))
    except OSError as error:
        return f"is missing: {error.strerror}"
    size = file.get("size_in_bytes")
    # The prefix is written into such a file: its size is another one.
    if size is None or file.get("file_mode") == "text" or not stat.S_ISREG(found.st_mode):
        return ""
    return "" if found.st_size == size else f"has {found.st_size} bytes instead of {size}"
