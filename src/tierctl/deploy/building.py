"""Building a deployment: in its final place, whole, closed to changes, and then finished."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from os import path as paths
from typing import Any, NamedTuple

from tierctl import __version__, packages, profiles
from tierctl.deploy import tree, verify
from tierctl.deploy.definitions import Definitions
from tierctl.deploy.engine import Engine
from tierctl.events import Author
from tierctl.filesystem import FileSystem
from tierctl.layout import DEPLOYMENTS, TIER_DIRECTORIES, Layout
from tierctl.packages import Packages

SCHEMA = 1


class Build(NamedTuple):
    """What is to be built: definitions, and the packages that the engine has found for them."""

    definitions: Definitions
    packages: Packages
    author: Author


def build(fs: FileSystem, layout: Layout, number: int, wanted: Build, engine: Engine) -> None:
    """Build a deployment in the empty directory of its number.

    It is finished when the record is there, which is written last. Raises
    ``EngineFailed``, ``Incomplete`` or ``OSError``: then it is good for nothing.
    """
    directory = f"{DEPLOYMENTS}/{number}"
    top = layout.within(directory)
    _lay_out(layout, directory, wanted.definitions)
    prefixes = {name: f"{top}/conda/envs/{name}" for name in wanted.packages}
    engine.install(prefixes)
    for name, prefix in prefixes.items():
        verify.environment(prefix, len(wanted.packages[name]))
    listed = packages.to_document(wanted.packages)
    tree.write_new(layout.packages_record(directory), _encoded(listed))
    tree.seal(top, open_below="meta")
    tree.flush(top)
    _finish(fs, layout, directory, _record(number, wanted))


def _lay_out(layout: Layout, directory: str, definitions: Definitions) -> None:
    """Make what is not the engine's: the overlay, and the files that a shell reads."""
    top = layout.within(directory)
    tree.make_directories(top, TIER_DIRECTORIES)
    tree.copy(definitions.overlay, top)
    for name, text in profiles.files(layout, directory).items():
        tree.write_new(paths.join(top, "etc", name), text.encode("utf-8", "surrogateescape"))


def _finish(fs: FileSystem, layout: Layout, directory: str, record: Mapping[str, Any]) -> None:
    path = layout.deployment_record(directory)
    fs.write(path, _encoded(record), mode=0o644)
    fs.sync(paths.dirname(path))
    tree.seal(paths.dirname(path))


def _record(number: int, wanted: Build) -> dict[str, Any]:
    author = wanted.author
    return {
        "schema": SCHEMA,
        "number": number,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "user": author.user,
        "host": author.host,
        "reason": author.reason,
        "definitions": wanted.definitions.directory,
        "environments": {name: len(found) for name, found in wanted.packages.items()},
        "tierctl": __version__,
    }


def _encoded(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1).encode() + b"\n"
