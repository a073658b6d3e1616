"""Whether an environment holds what its packages say, every file of it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from glob import escape, iglob
from mmap import PROT_READ, mmap
from os import path as paths
from typing import Any

from tierctl.deploy import rights
from tierctl.deploy.worker.records import Files, Records, list_records
from tierctl.text import shown


def verify(asked: dict[str, Any], records: Records) -> dict[str, Any]:
    """Say for each environment what is wrong with it, and which packages are not whole.

    Those as the cache calls them. Of the files that are right everyone may
    afterwards do what their owner may, but for writing.
    """
    wrong, damaged = {}, []
    for name, prefix in asked["prefixes"].items():
        found = {path: list(_wrong_package(prefix, path, records)) for path in list_records(prefix)}
        wheels = list(_described(prefix, asked["wheels"][name]))
        wrong[name] = [problem for problems in found.values() for problem in problems]
        wrong[name] += [problem for directory in wheels for problem in _wrong_wheel(directory)]
        there, wanted = len(found) + len(wheels), asked["counts"][name]
        if there != wanted:
            wrong[name].insert(0, f"{there} packages are there, {wanted} were to be")
        not_whole = (paths.basename(path) for path, problems in found.items() if problems)
        damaged += [record.removesuffix(".json") for record in not_whole]
    return {"wrong": wrong, "damaged": damaged}


def _wrong_package(prefix: str, record: str, records: Records) -> Iterator[str]:
    try:
        files, placeholders = records.get(record)
    except (OSError, ValueError) as error:
        yield f"{shown(paths.basename(record))} cannot be read: {error}"
        return
    rights.open_to_readers(record, os.lstat(record))
    yield from _wrong_files(prefix, files)
    for name, placeholder in placeholders.items():
        if _holds(f"{prefix}/{name}", placeholder.encode()):
            yield f"{shown(name)} was not told where it is"


def _holds(path: str, text: bytes) -> bool:
    """Say whether a text is anywhere in a file."""
    try:
        with open(path, "rb") as file, mmap(file.fileno(), 0, prot=PROT_READ) as content:
            return content.find(text) >= 0
    except (OSError, ValueError):  # it is missing, which is told already, or empty
        return False


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
    import csv  # which most environments do not need

    try:
        with open(f"{directory}/RECORD", encoding="utf-8", newline="") as file:
            files = {name: int(size) if size else None for name, _, size in csv.reader(file)}
    except (OSError, ValueError) as error:
        yield f"{shown(paths.basename(directory))}/RECORD cannot be read: {error}"
    else:
        yield from _wrong_files(paths.dirname(directory), files)


def _wrong_files(top: str, files: Files) -> Iterator[str]:
    """Say which files below a directory are missing or of a wrong size; open the others."""
    directory = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name, wanted in files.items():
            try:
                found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                yield f"{shown(name)} is missing"
                continue
            except OSError as error:
                yield f"{shown(name)} cannot be looked at: {error.strerror}"
                continue
            if wanted not in (None, found.st_size) and stat.S_ISREG(found.st_mode):
                yield f"{shown(name)} has {found.st_size} bytes instead of {wanted}"
            rights.open_to_readers(name, found, directory)
    finally:
        os.close(directory)
