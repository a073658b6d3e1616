"""Sealing environments, and seeing whether each holds every file that its packages say."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from mmap import PROT_READ, mmap
from os import path as paths
from typing import Any, NamedTuple

from tierctl.deploy import tree
from tierctl.deploy.tree import Sizes
from tierctl.deploy.worker.records import Files, Records, list_records
from tierctl.text import shown

_DIST_INFO = re.compile(r"lib/python[^/]*/site-packages/([^/]+)\.dist-info")
# What conda would run in an environment when it links a package.
_LINK_SCRIPT = re.compile(r"\..+-(?:pre|post)-link\.sh")


class _Environment(NamedTuple):
    """Where an environment is, and the sizes of its files."""

    prefix: str
    sizes: Sizes


def seal(asked: dict[str, Any]) -> Sizes:
    """Seal the environments of a tree, see ``tree.seal``; return the sizes of their files.

    The tree is known by more than its path: a member of the group can have put
    another there. Raises ``OSError``.
    """
    with tree.held(asked["top"], tuple(asked["identity"])) as held:
        return tree.seal(held, asked["environments"])


def verify(asked: dict[str, Any], records: Records, sizes: Sizes) -> dict[str, Any]:
    """Say of each environment what is wrong with it and which scripts were not run.

    And which packages, named as in the cache, are not whole. ``sizes`` is what
    ``seal`` has found, below the names of the environments: directories are not in
    it, nor is what has a path only through a symlink to a directory.
    """
    wrong, damaged, scripts = {}, [], {}
    for name, prefix in asked["prefixes"].items():
        environment = _Environment(prefix, _below(sizes, name))
        found = {
            path: list(_wrong_package(environment, path, records)) for path in list_records(prefix)
        }
        wheels = list(_dist_infos(environment.sizes, asked["wheels"][name]))
        wrong[name] = [problem for problems in found.values() for problem in problems]
        wrong[name] += [problem for wheel in wheels for problem in _wrong_wheel(environment, wheel)]
        there, wanted = len(found) + len(wheels), asked["counts"][name]
        if there != wanted:
            wrong[name].insert(0, f"{there} packages are there, {wanted} were to be")
        not_whole = (paths.basename(path) for path, problems in found.items() if problems)
        damaged += [record.removesuffix(".json") for record in not_whole]
        scripts[name] = sorted(filter(_LINK_SCRIPT.fullmatch, environment.sizes.get("bin", ())))
    return {"wrong": wrong, "damaged": damaged, "scripts": scripts}


def _below(sizes: Sizes, name: str) -> Sizes:
    """Return the sizes of one environment's files."""
    return {
        path.removeprefix(name).removeprefix("/"): names
        for path, names in sizes.items()
        if path == name or path.startswith(f"{name}/")
    }


def _wrong_package(environment: _Environment, record: str, records: Records) -> Iterator[str]:
    try:
        files, placeholders = records.get(record)
    except (OSError, ValueError) as error:
        yield f"{shown(paths.basename(record))} cannot be read: {error}"
        return
    yield from _wrong_files(environment, files)
    for name, placeholder in placeholders.items():
        if _holds(f"{environment.prefix}/{name}", placeholder.encode()):
            yield f"{shown(name)} was not told where it is"


def _holds(path: str, text: bytes) -> bool:
    """Say whether a text is anywhere in a file."""
    try:
        with open(path, "rb") as file, mmap(file.fileno(), 0, prot=PROT_READ) as content:
            return content.find(text) >= 0
    except (OSError, ValueError):  # it is missing, which is told already, or empty
        return False


def _dist_infos(sizes: Sizes, wheels: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield the directory of what each wheel says of itself, as a path below the prefix."""
    wanted = {(_normal(name), version) for name, version in wheels}
    for path, names in sizes.items():
        found = _DIST_INFO.fullmatch(path)
        if found is not None and "RECORD" in names:
            name, _, version = found[1].partition("-")
            if (_normal(name), version) in wanted:
                yield path


def _normal(name: str) -> str:
    """Return a name as PEP 503 compares it."""
    return re.sub("[-_.]+", "-", name).lower()


def _wrong_wheel(environment: _Environment, dist_info: str) -> Iterator[str]:
    """Say what is wrong with the files of a wheel, by its list of them: path, digest, size."""
    import csv  # which most environments do not need

    top = paths.dirname(dist_info)
    try:
        listed = f"{environment.prefix}/{dist_info}/RECORD"
        with open(listed, encoding="utf-8", newline="") as file:
            # A script's name leads out of the directory of modules: ../../../bin/name.
            files = {
                paths.normpath(paths.join(top, name)): int(size) if size else None
                for name, _, size in csv.reader(file)
            }
    except (OSError, ValueError) as error:
        yield f"{shown(paths.basename(dist_info))}/RECORD cannot be read: {error}"
    else:
        yield from _wrong_files(environment, files)


def _wrong_files(environment: _Environment, files: Files) -> Iterator[str]:
    """Say which files of an environment are missing or of a wrong size."""
    for name, wanted in files.items():
        directory, _, base = name.rpartition("/")
        known = environment.sizes.get(directory, {})
        try:
            size = known[base] if base in known else _size(paths.join(environment.prefix, name))
        except (FileNotFoundError, NotADirectoryError):
            yield f"{shown(name)} is missing"
        except OSError as error:
            yield f"{shown(name)} cannot be looked at: {error.strerror}"
        else:
            if None not in (wanted, size) and wanted != size:
                yield f"{shown(name)} has {size} bytes instead of {wanted}"


def _size(path: str) -> int | None:
    """Return the size of a file, None if it is no regular file; raises ``OSError``."""
    found = os.lstat(path)
    return found.st_size if stat.S_ISREG(found.st_mode) else None
