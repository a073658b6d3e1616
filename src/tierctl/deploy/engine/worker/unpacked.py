"""What wheels bring, read before they are installed: from a file, or from uv's cache."""

from __future__ import annotations

import csv
import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import PathDistribution
from os import path as paths
from pathlib import Path

from tierctl.deploy import uvcache
from tierctl.deploy.engine.worker.archives import local_path
from tierctl.deploy.engine.worker.members import COMMANDS, Contents, Kind
from tierctl.deploy.engine.worker.wheels import Wheel, hexadecimal
from tierctl.target.packages import normal_name

_DIST_INFO = ".dist-info"

_Place = Path | zipfile.Path


def read(wheel: Wheel, cache: str, modules: str) -> Contents | None:
    """Return what a wheel brings, by its own list; None where it is not at hand.

    ``modules`` is where the environment's Python has its modules. Raises ``OSError``, or
    ``ValueError`` where it is no wheel.
    """
    try:
        place = _place(wheel, cache)
        if place is None:
            return None
        dist_info = next(each for each in place.iterdir() if each.name.endswith(_DIST_INFO))
        rows = list(csv.reader((dist_info / "RECORD").read_text("utf-8").splitlines()))
        schemes = _schemes(dist_info.name.removesuffix(_DIST_INFO), wheel, modules)
        brought = {
            _target(name, schemes, modules): _digest(digest, place / name)
            for name, digest, *_ in rows
            if _is_inside(name) and not name.startswith(f"{dist_info.name}/RECORD")
        }
    except (StopIteration, KeyError, ValueError, zipfile.BadZipFile, csv.Error) as error:
        raise ValueError(f"{wheel} is no wheel: {error}") from error
    listed = [{"path_type": Kind.FILE.value, "sha256": digest} for digest in brought.values()]
    targets = list(brought)
    commands = dict(_commands(dist_info))
    return Contents(str(wheel), "", targets, targets, listed, {}, commands, [])


def _place(wheel: Wheel, cache: str) -> _Place | None:
    file = local_path(wheel.url)
    if file:
        return zipfile.Path(file)
    wanted = normal_name(wheel.name), wheel.version
    return next((Path(at) for each, at in uvcache.unpacked(cache) if each == wanted), None)


def _schemes(stem: str, wheel: Wheel, modules: str) -> Mapping[str, str]:
    """Return where the directories of a wheel's data go, in which it has what is no module."""
    python = paths.basename(paths.dirname(modules))
    return {
        f"{stem}.data/{scheme}/": directory
        for scheme, directory in {
            "purelib": f"{modules}/",
            "platlib": f"{modules}/",
            "scripts": f"{COMMANDS}/",
            "headers": f"include/site/{python}/{wheel.name}/",
            "data": "",
        }.items()
    }


def _target(name: str, schemes: Mapping[str, str], modules: str) -> str:
    for scheme, directory in schemes.items():
        if name.startswith(scheme):
            return f"{directory}{name.removeprefix(scheme)}"
    return f"{modules}/{name}"


def _is_inside(name: str) -> bool:
    """Say whether a name is that of a file of the wheel: uv leaves out what is not."""
    return not (paths.isabs(name) or ".." in name.split("/"))


def _digest(noted: str, file: _Place) -> str:
    return hexadecimal(noted) or hashlib.sha256(file.read_bytes()).hexdigest()


def _commands(dist_info: _Place) -> Iterator[tuple[str, str]]:
    """Yield the commands that uv makes, and what each calls."""
    for point in PathDistribution(dist_info).entry_points:
        if point.group in ("console_scripts", "gui_scripts"):
            yield f"{COMMANDS}/{point.name}", point.value
