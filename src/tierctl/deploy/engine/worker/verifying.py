"""Sealing environments, and seeing whether each holds every file that its packages say."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import suppress
from mmap import PROT_READ, mmap
from os import path as paths
from typing import TYPE_CHECKING, Any, NamedTuple

from tierctl.deploy.engine.worker.members import Contents
from tierctl.deploy.engine.worker.wheels import listed
from tierctl.fs import listing, sealing, tree
from tierctl.fs.listing import Entry, Tree
from tierctl.rotation.names import PACKAGE_RECORDS
from tierctl.target.packages import normal_name
from tierctl.text import shown

if TYPE_CHECKING:
    from tierctl.deploy.engine.worker.clashes import Owners
    from tierctl.deploy.engine.worker.installing import Linked

_DIST_INFO = re.compile(r"lib/python[^/]*/site-packages/([^/]+)\.dist-info")
# What conda would run in an environment when it links a package.
_LINK_SCRIPT = re.compile(r"\..+-(?:pre|post)-link\.sh")


# By path below the prefix: the size in bytes, None where any will do.
Files = dict[str, int | None]


class Verified(NamedTuple):
    """What was found: answers for whoever asked, and the sha256 of files that packages tell.

    ``wrong`` is by environment; ``damaged`` are packages as the cache calls them. The
    ``sha256s`` are of the files that one package alone has brought, by path below the
    environments.
    """

    wrong: dict[str, list[str]]
    damaged: list[str]
    scripts: dict[str, list[str]]
    sha256s: dict[str, str]


class _Environment(NamedTuple):
    """Where an environment is, and what it consists of: by directory, and by path."""

    prefix: str
    tree: Tree
    flat: dict[str, Entry]


def seal(asked: dict[str, Any]) -> Tree:
    """Seal the environments of a deployment, and return what they consist of.

    The tree is known by more than its path: a member of the group can have put
    another there. Raises ``OSError``.
    """
    with tree.held(asked["top"], tuple(asked["identity"])) as held:
        return sealing.seal(held, asked["environments"])


def verify(asked: dict[str, Any], linked: Mapping[str, Linked], environments: Tree) -> Verified:
    """Find out what is wrong with each environment and which scripts were not run.

    ``environments`` is what ``seal`` has found: what has a path only through a symlink to a
    directory is not in it.
    """
    verified = Verified({}, [], {}, {})
    for name, prefix in asked["prefixes"].items():
        tree = _below(environments, name)
        environment = _Environment(prefix, tree, listing.flat(tree))
        wheels = sorted(_dist_infos(tree, asked["wheels"][name]))
        of_wheels, wrong = _files_of_wheels(prefix, wheels)
        wrong += _wrong_files(environment, of_wheels)
        owners = linked[name].owners
        sha256s: dict[str, str] = {}
        for contents in linked[name].contents:
            problems = list(_wrong_package(environment, contents, of_wheels, owners, sha256s))
            wrong += problems
            verified.damaged.extend([paths.basename(contents.place)] if problems else [])
        there, wanted = _count_records(tree) + len(wheels), asked["counts"][name]
        if there != wanted:
            wrong.insert(0, f"{there} packages are there, {wanted} were to be")
        commands = tree["bin"].names if "bin" in tree else ()
        verified.wrong[name] = wrong
        verified.scripts[name] = sorted(filter(_LINK_SCRIPT.fullmatch, commands))
        verified.sha256s.update({f"{name}/{path}": each for path, each in sha256s.items()})
    return verified


def _count_records(environment: Tree) -> int:
    names = environment[PACKAGE_RECORDS].names if PACKAGE_RECORDS in environment else ()
    return sum(name.endswith(".json") for name in names)


def _below(environments: Tree, name: str) -> Tree:
    """Return what one environment consists of."""
    return {
        path.removeprefix(name).removeprefix("/"): directory
        for path, directory in environments.items()
        if path == name or path.startswith(f"{name}/")
    }


def _wrong_package(
    environment: _Environment,
    contents: Contents,
    of_wheels: Container[str],
    owners: Owners,
    sha256s: dict[str, str],
) -> Iterator[str]:
    """Say what is wrong with the files of a package, but for those that others have replaced.

    What it tells of those that it alone brings is added to ``sha256s``.
    """
    noted = _sizes_noted(environment, contents)
    for path, entry in zip(contents.targets, contents.listed, strict=True):
        if path in of_wheels or (path in owners and owners[path][-1] != contents.package):
            continue
        placeholder = entry.get("prefix_placeholder")
        wanted = entry.get("size_in_bytes", noted.get(path))
        if placeholder and entry.get("file_mode") == "text":  # what stands for the prefix is longer
            wanted = None
        found = environment.flat.get(path)
        if found is None or (wanted is not None and found.size != wanted):
            yield from _wrong_files(environment, {path: wanted})
        if placeholder:
            if _holds(f"{environment.prefix}/{path}", str(placeholder).encode()):
                yield f"{shown(path)} was not told where it is"
        elif found is not None and found.is_file and path not in owners and entry.get("sha256"):
            sha256s[path] = entry["sha256"]
    made = {path: noted.get(path) for path in contents.commands if path not in of_wheels}
    yield from _wrong_files(environment, made)


def _sizes_noted(environment: _Environment, contents: Contents) -> dict[str, int]:
    """Return the sizes that the engine has noted, of a package that does not tell all of them.

    It tells none of the commands that the engine makes, and older ones none of any file.
    """
    if not contents.commands and all("size_in_bytes" in entry for entry in contents.listed):
        return {}
    record = f"{environment.prefix}/{PACKAGE_RECORDS}/{paths.basename(contents.place)}.json"
    with suppress(OSError, ValueError, LookupError, TypeError):  # told by whoever reads all
        with open(record, "rb") as file:
            noted = json.load(file)["paths_data"]["paths"]
        return {each["_path"]: each["size_in_bytes"] for each in noted if "size_in_bytes" in each}
    return {}


def _holds(path: str, text: bytes) -> bool:
    """Say whether a text is anywhere in a file."""
    try:
        with open(path, "rb") as file, mmap(file.fileno(), 0, prot=PROT_READ) as content:
            return content.find(text) >= 0
    except (OSError, ValueError):  # it is missing, which is told already, or empty
        return False


def _dist_infos(environment: Tree, wheels: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield the directory of what each wheel says of itself, as a path below the prefix."""
    wanted = {(normal_name(name), _normal_version(version)) for name, version in wheels}
    for path, directory in environment.items():
        found = _DIST_INFO.fullmatch(path)
        if found is not None and "RECORD" in directory.names:
            name, _, version = found[1].partition("-")
            if (normal_name(name), _normal_version(version)) in wanted:
                yield path


def _normal_version(version: str) -> str:
    """Return a version as uv tells it, of a wheel that spells it otherwise: 2024.01 is 2024.1."""
    from packaging.version import InvalidVersion, Version  # which most environments do not need

    try:
        return str(Version(version))
    except InvalidVersion:
        return version


def _files_of_wheels(prefix: str, dist_infos: Iterable[str]) -> tuple[Files, list[str]]:
    """Return the files that wheels have brought, and what is wrong with their lists of them."""
    files, wrong = Files(), list[str]()
    for dist_info in dist_infos:
        try:
            files |= {file.path: file.size for file in listed(prefix, dist_info)}
        except (OSError, ValueError) as error:
            wrong.append(f"{shown(paths.basename(dist_info))}/RECORD cannot be read: {error}")
    return files, wrong


def _wrong_files(environment: _Environment, files: Files) -> Iterator[str]:
    """Say which files of an environment are missing or of a wrong size."""
    for path, wanted in files.items():
        try:
            entry = environment.flat.get(path) or _looked_at(f"{environment.prefix}/{path}")
        except (FileNotFoundError, NotADirectoryError):
            yield f"{shown(path)} is missing"
        except OSError as error:
            yield f"{shown(path)} cannot be looked at: {error.strerror}"
        else:
            if wanted is not None and entry.is_file and wanted != entry.size:
                yield f"{shown(path)} has {entry.size} bytes instead of {wanted}"


def _looked_at(path: str) -> Entry:
    found = os.lstat(path)
    return Entry(found.st_mode, found.st_size)
