"""Building a deployment: in its final place, whole, closed to changes, and then finished."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from os import path as paths
from typing import Any

from tierctl import __version__, packages, profiles
from tierctl.deploy import git, loading, tree
from tierctl.deploy.engine import Engine
from tierctl.deploy.progress import Step
from tierctl.deploy.wanted import Build, digest, files_digest
from tierctl.filesystem import FileSystem
from tierctl.layout import DEPLOYMENTS, TIER_DIRECTORIES, Layout, temporary
from tierctl.packages import Package
from tierctl.text import shown

SCHEMA = 1

_ENVIRONMENTS = "conda/envs"


def build(
    fs: FileSystem,
    layout: Layout,
    number: int,
    wanted: Build,
    engine: Engine,
    begun: Callable[[Step, str], None],
) -> None:
    """Build a deployment in the empty directory of its number; ``begun`` hears of each step.

    It is finished when the record is there, which is written last. Raises
    ``EngineFailed``, ``Incomplete`` or ``OSError``: then it is good for nothing.
    Built with it, the engine has ended.
    """
    with tree.held(layout.within(f"{DEPLOYMENTS}/{number}")) as place:
        _build(fs, layout, number, place, wanted, engine, begun)


def _build(
    fs: FileSystem,
    layout: Layout,
    number: int,
    place: str,
    wanted: Build,
    engine: Engine,
    begun: Callable[[Step, str], None],
) -> None:
    """Build it; ``place`` leads there even if somebody puts something else in its place.

    The engine needs the path that the deployment will have, and is kept to the
    target by the kernel. Shells need it too, and run what they find there: that it
    is still the deployment is looked at right before (SECURITY.md).
    """
    directory = f"{DEPLOYMENTS}/{number}"
    top = layout.within(directory)
    begun(Step.BUILD, f"deployment {number}")
    tree.make_directories(place, (*TIER_DIRECTORIES, "meta/locks"))
    prefixes = {name: f"{top}/{_ENVIRONMENTS}/{name}" for name in wanted.packages}
    locks = {name: layout.lock_record(directory, name) for name in wanted.packages}
    known: dict[str, Any] = {}

    def meanwhile() -> None:
        known["git"] = git.state(wanted.definitions.directory)
        _write_the_rest(layout, directory, place, wanted)

    known["engine"] = engine.install(prefixes, locks, meanwhile)
    begun(Step.CHECK, f"deployment {number}")
    engine.seal(prefixes, partial(_seal_the_rest, top, prefixes))
    tree.require_in_place(top, place)
    engine.verify(prefixes, wanted.packages, partial(_try_out, top, place))
    engine.dismiss()
    tree.flush(place)
    _finish(fs, top, place, _record(number, wanted, **known))


def _seal_the_rest(top: str, environments: Iterable[str]) -> None:
    """Close a tree to changes, but for its environments: the engine closes those meanwhile."""
    left_out = {f"{_ENVIRONMENTS}/{name}" for name in environments}
    tree.seal(top, open_below="meta", left_out=left_out)


def _try_out(top: str, place: str) -> None:
    """Have shells load a tree that is closed, while its environments are verified."""
    loading.profiles_load(top)
    tree.flush(place)  # so that there is little left to flush at the end


def _write_the_rest(layout: Layout, directory: str, place: str, wanted: Build) -> None:
    """Write what is not the engine's: the overlay, what shells read, logs, the packages."""
    tree.copy(wanted.definitions.overlay, place)
    _write_logs(place, wanted)
    listed = packages.to_document(wanted.packages)
    tree.write_new(f"{place}/meta/packages.json", _encoded(listed))
    names = [environment.name for environment in wanted.definitions.environments]
    for name, text in profiles.files(layout, directory, names).items():
        tree.write_new(f"{place}/etc/{name}", text.encode("utf-8", "surrogateescape"))


def _write_logs(place: str, wanted: Build) -> None:
    """Say for each environment what was asked for, and what is installed."""
    for environment in wanted.definitions.environments:
        lines = [
            f"environment {environment.name}, from {environment.place}",
            *(f"channel {channel}" for channel in environment.channels),
            *(f"wanted {spec}" for spec in environment.specs),
            *(f"wanted of pip {line}" for line in environment.pip),
            *(f"install {_described(each)}" for each in sorted(wanted.packages[environment.name])),
        ]
        text = "".join(f"{shown(line)}\n" for line in lines)
        tree.write_new(f"{place}/logs/{environment.name}.log", text.encode())


def _described(package: Package) -> str:
    source = f"{package.channel}/{package.subdir}" if package.channel else "the index"
    words = filter(None, (package.name, package.version, package.build))
    return f"{' '.join(words)} from {source}, sha256 {package.sha256}"


def _finish(fs: FileSystem, top: str, place: str, record: Mapping[str, Any]) -> None:
    """Write the record whole: where it is, a deployment is finished."""
    path = f"{place}/meta/deployment.json"
    fs.write(temporary(path), _encoded(record), mode=0o644)
    fs.rename(temporary(path), path)
    fs.sync(paths.dirname(path))
    tree.seal(f"{top}/meta")


def _record(number: int, wanted: Build, git: dict[str, Any] | None, engine: str) -> dict[str, Any]:
    author = wanted.author
    return {
        "schema": SCHEMA,
        "number": number,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "user": author.user,
        "host": author.host,
        "reason": author.reason,
        "definitions": {
            "path": wanted.definitions.directory,
            "git": git,
        },
        "digest": digest(wanted),
        "files": files_digest(wanted),
        "environments": {name: len(found) for name, found in wanted.packages.items()},
        "tierctl": __version__,
        "engine": engine,
    }


def _encoded(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1).encode() + b"\n"
