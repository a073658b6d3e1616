"""Sealing environments, and seeing whether each holds every file that its packages say."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from mmap import PROT_READ, mmap
from os import path as paths
from typing import Any, NamedTuple

from tierctl.deploy import sealing, tree
from tierctl.deploy.worker.records import Files, Records, list_records
from tierctl.deploy.worker.wheels import listed
from tierctl.manifest import Entry, Tree
from tierctl.packages import normal_name
from tierctl.text import shown

_DIST_INFO = re.compile(r"lib/python[^/]*/site-packages/([^/]+)\.dist-info")
# What conda would run in an environment when it links a package.
_LINK_SCRIPT = re.compile(r"\..+-(?:pre|post)-link\.sh")


class _Environment(NamedTuple):
    """Where an environment is, and what it consists of."""

    prefix: str
    tree: Tree


def seal(asked: dict[str, Any]) -> Tree:
    """Seal the environments of a deployment, and return what they consist of.

    The tree is known by more than its path: a member of the group can have put
    another there. Raises ``OSError``.
    """
    with tree.held(asked["top"], tuple(asked["identity"])) as held:
        return sealing.seal(held, asked["environments"])


def verify(asked: dict[str, Any], records: Records, environments: Tree) -> dict[str, Any]:
    """Say of each environment what is wrong with it and which scripts were not run.

    And which packages, named as in the cache, are not whole. ``environments`` is what
    ``seal`` has found: what has a path only through a symlink to a directory is not in it.
    """
    wrong, damaged, scripts = {}, [], {}
    for name, prefix in asked["prefixes"].items():
        environment = _Environment(prefix, _below(environments, name))
        wheels = sorted(_dist_infos(environment.tree, asked["wheels"][name]))
        of_wheels, wrong[name] = _files_of_wheels(prefix, wheels)
        found = {
            path: list(_wrong_package(environment, path, records, of_wheels))
            for path in list_records(prefix)
        }
        wrong[name] += _wrong_files(environment, of_wheels)
        wrong[name] += [problem for problems in found.values() for problem in problems]
        there, wanted = len(found) + len(wheels), asked["counts"][name]
        if there != wanted:
            wrong[name].insert(0, f"{there} packages are there, {wanted} were to be")
        not_whole = (paths.basename(path) for path, problems in found.items() if problems)
        damaged += [record.removesuffix(".json") for record in not_whole]
        commands = environment.tree["bin"].names if "bin" in environment.tree else ()
        scripts[name] = sorted(filter(_LINK_SCRIPT.fullmatch, commands))
    return {"wrong": wrong, "damaged": damaged, "scripts": scripts}


def _below(environments: Tree, name: str) -> Tree:
    """Return what one environment consists of."""
    return {
        path.removeprefix(name).removeprefix("/"): directory
        for path, directory in environments.items()
        if path == name or path.startswith(f"{name}/")
    }


def _wrong_package(
    environment: _Environment, path: str, records: Records, replaced: Collection[str]
) -> Iterator[str]:
    """Say what is wrong with the files of a package, but for those that wheels have brought too."""
    try:
        record = records.get(path)
    except (OSError, ValueError) as error:
        yield f"{shown(paths.basename(path))} cannot be read: {error}"
        return
    files = {name: size for name, size in record.files.items() if name not in replaced}
    yield from _wrong_files(environment, files)
    for name, placeholder in record.placeholders.items():
        if name not in replaced and _holds(f"{environment.prefix}/{name}", placeholder.encode()):
            yield f"{shown(name)} was not told where it is"


def _holds(path: str, text: bytes) -> bool:
    """Say whether a text is anywhere in a file."""
    try:
        with open(path, "rb") as file, mmap(file.fileno(), 0, prot=PROT_READ) as content:
            return content.find(text) >= 0
    except (OSError, ValueError):  # it is missing, which is told already, or empty
        return False


def _dist_infos(environment: Tree, wheels: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield the directory of what each wheel says of itself, as a path below the prefix."""
    wanted = {(normal_name(name), version) for name, version in wheels}
    for path, directory in environment.items():
        found = _DIST_INFO.fullmatch(path)
        if found is not None and "RECORD" in directory.names:
            name, _, version = found[1].partition("-")
            if (normal_name(name), version) in wanted:
                yield path


def _files_of_wheels(prefix: str, dist_infos: Iterable[str]) -> tuple[Files, list[str]]:
    """Return the files that wheels have brought, and what is wrong with their lists of them."""
    files, wrong = Files(), list[str]()
    for dist_info in dist_infos:
        try:
            files |= {file.path: file.size for file in listed(prefix, dist_info)}
        except (OSError, ValueError) as error:
            wrong.append(f"{shown(paths.basename(dist_info))}/RECORD cannot be read: {error}")
    return files, wrong


def files_of_wheels(
    environment: str, environments: Tree, wheels: Iterable[tuple[str, str]]
) -> Iterator[str]:
    """Yield the files that the wheels of an environment, given by its prefix, have brought."""
    for dist_info in _dist_infos(_below(environments, paths.basename(environment)), wheels):
        yield from (file.path for file in listed(environment, dist_info))


def _wrong_files(environment: _Environment, files: Files) -> Iterator[str]:
    """Say which files of an environment are missing or of a wrong size."""
    for name, wanted in files.items():
        directory, _, base = name.rpartition("/")
        names = environment.tree[directory].names if directory in environment.tree else {}
        try:
            entry = names.get(base) or _looked_at(f"{environment.prefix}/{name}")
        except (FileNotFoundError, NotADirectoryError):
            yield f"{shown(name)} is missing"
        except OSError as error:
            yield f"{shown(name)} cannot be looked at: {error.strerror}"
        else:
            if wanted is not None and entry.is_file and wanted != entry.size:
                yield f"{shown(name)} has {entry.size} bytes instead of {wanted}"


def _looked_at(path: str) -> Entry:
    found = os.lstat(path)
    return Entry(found.st_mode, found.st_size)
