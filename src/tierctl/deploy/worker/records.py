"""The records of linked packages: which files each has brought, of what size."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Any, NamedTuple

# Between looks at what has been linked: each costs calls to a server where the environment is on
# NFS, and there an install may take minutes.
_FIRST_PAUSE_S = 0.02
_LONGER_EACH_TIME = 1.5

# By path below the prefix: the size in bytes, None where any will do.
Files = dict[str, int | None]


class Record(NamedTuple):
    """Which files a package has brought, and what those said in which the prefix is written.

    ``sha256s`` are those of its files as they are in the prefix, where it tells them;
    ``sha256`` is the record's own.
    """

    files: Files
    placeholders: dict[str, str]
    sha256s: dict[str, str]
    sha256: str


class _Read(NamedTuple):
    """What was read, and which state of the record's file that was."""

    record: Record
    state: tuple[int, int, int]


class Records:
    """Reads records, each state of one once."""

    def __init__(self) -> None:
        self._read: dict[str, _Read] = {}

    def get(self, path: str) -> Record:
        """Return what a record says; raises ``OSError``, or ``ValueError`` where it is none."""
        known = self._read.get(path)
        if known is None or known.state != _state(os.stat(path)):
            known = self._read[path] = _read(path)
        return known.record

    @contextmanager
    def read_ahead(self, prefixes: Collection[str]) -> Iterator[None]:
        """Read what appears in environments that are being linked: a processor has time then."""
        over = Event()

        def reading() -> None:
            pause_s = _FIRST_PAUSE_S
            while not over.wait(pause_s):
                pause_s *= _LONGER_EACH_TIME
                for path in (path for prefix in prefixes for path in list_records(prefix)):
                    if path not in self._read:
                        with suppress(OSError, ValueError):  # not all of it is there yet
                            self.get(path)

        thread = Thread(target=reading)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def list_records(prefix: str) -> list[str]:
    """Return the paths of the records in an environment."""
    try:
        with os.scandir(f"{prefix}/conda-meta") as entries:
            return [entry.path for entry in entries if entry.name.endswith(".json")]
    except FileNotFoundError:
        return []


def _read(path: str) -> _Read:
    with open(path, "rb") as file:
        state = _state(os.fstat(file.fileno()))
        data = file.read()
    try:
        listed = json.loads(data)["paths_data"]["paths"]
        record = Record(
            {f"{file['_path']}": _size(file) for file in listed},
            {
                file["_path"]: str(file["prefix_placeholder"])
                for file in listed
                if file.get("prefix_placeholder")
            },
            {file["_path"]: sha256 for file in listed if (sha256 := _sha256(file))},
            hashlib.sha256(data).hexdigest(),
        )
        return _Read(record, state)
    except (LookupError, TypeError) as error:
        raise ValueError(f"no record of a package: {error}") from error


def _state(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns


def _sha256(file: dict[str, Any]) -> str:
    """Return a file's sha256 in the prefix, nothing where the record does not tell it."""
    if file.get("path_type") != "hardlink":
        return ""
    if file.get("prefix_placeholder"):  # what is written into it is its own
        return file.get("sha256_in_prefix") or ""
    return file.get("sha256_in_prefix") or file.get("sha256") or ""


def _size(file: dict[str, Any]) -> int | None:
    """Return what a file's size has to be; one into which the prefix is written has another."""
    return None if file.get("file_mode") == "text" else file.get("size_in_bytes")
