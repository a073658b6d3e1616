"""Building a deployment: in its final place, whole, closed to changes, and then finished."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
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
    directory = f"{DEPLOYMENTS}/{number}"
    top = layout.within(directory)
    begun(Step.BUILD, f"deployment {number}")
    tree.make_directories(top, (*TIER_DIRECTORIES, "meta/locks"))
    prefixes = {name: f"{top}/conda/envs/{name}" for name in wanted.packages}
    locks = {name: layout.lock_record(directory, name) for name in wanted.packages}
    known: dict[str, Any] = {}

    def meanwhile() -> None:
        known["git"] = git.state(wanted.definitions.directory)
        _write_the_rest(layout, directory, wanted)

    known["engine"] = engine.install(prefixes, locks, meanwhile)
    begun(Step.CHECK, f"deployment {number}")
    engine.verify(prefixes, wanted.packages, partial(_close, top, prefixes.values()))
    engine.dismiss()
    tree.flush(top)
    _finish(fs, layout, directory, _record(number, wanted, **known))


def _close(top: str, prefixes: Collection[str]) -> None:
    """Close a tree to changes and have shells load it, while its environments are verified."""
    tree.seal(top, open_below="meta", opened=prefixes)
    loading.profiles_load(top)
    tree.flush(top)  # so that there is little left to flush at the end


def _write_the_rest(layout: Layout, directory: str, wanted: Build) -> None:
    """Write what is not the engine's: the overlay, what shells read, logs, the packages."""
    top = layout.within(directory)
    tree.copy(wanted.definitions.overlay, top)
    _write_logs(top, wanted)
    listed = packages.to_document(wanted.packages)
    tree.write_new(layout.packages_record(directory), _encoded(listed))
    names = [environment.name for environment in wanted.definitions.environments]
    for name, text in profiles.files(layout, directory, names).items():
        tree.write_new(paths.join(top, "etc", name), text.encode("utf-8", "surrogateescape"))


def _write_logs(top: str, wanted: Build) -> None:
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
        tree.write_new(f"{top}/logs/{environment.name}.log", text.encode())


def _described(package: Package) -> str:
    source = f"{package.channel}/{package.subdir}" if package.channel else "the index"
    words = filter(None, (package.name, package.version, package.build))
    return f"{' '.join(words)} from {source}, sha256 {package.sha256}"


def _finish(fs: FileSystem, layout: Layout, directory: str, record: Mapping[str, Any]) -> None:
    """Write the record whole: where it is, a deployment is finished."""
    path = layout.deployment_record(directory)
    fs.write(temporary(path), _encoded(record), mode=0o644)
    fs.rename(temporary(path), path)
    fs.sync(paths.dirname(path))
    tree.seal(paths.dirname(path))


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
