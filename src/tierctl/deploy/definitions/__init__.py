"""Definitions: a directory that says what a tier contains, read and checked as a whole.

Everything that is wrong is found before anything is built, and told at once.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os import path as paths

from tierctl.deploy.definitions import files, overlay
from tierctl.deploy.definitions.environments import Environment, WrongSpec, read_environment
from tierctl.deploy.definitions.problems import BadDefinitions, Place, Problems
from tierctl.errors import NoDefinitions
from tierctl.rotation.names import is_plain_name
from tierctl.target.find import DEFINITIONS
from tierctl.target.validators import LONGEST_PREFIX
from tierctl.text import is_utf8, shown

ENVIRONMENTS = "environments"
OVERLAY = "tier"
_SETTINGS = {"target", "path"}
# A command whose interpreter has a blank in its path, or a long path, begins with a line of sh that
# has this path in double quotes: as conda's packages are written.
_READ_BY_SHELLS = set('"$`')
_LONGEST_WITHOUT_SHELL = 127 - len("#!/bin/python3.99")
# The first part of conda's subdirs.
_SYSTEMS = {"linux", "osx"}


@dataclass(frozen=True)
class Definitions:
    """What a tier is to contain on one platform.

    ``environments`` are in the order in which they come on PATH; ``sources`` are
    the files that say so.
    """

    directory: str
    environments: tuple[Environment, ...]
    overlay: tuple[overlay.Item, ...]
    sources: files.Sources


def read(directory: str, subdir: str, wrong_spec: WrongSpec, prefixes: str = "") -> Definitions:
    """Return the definitions in a directory for conda's ``subdir`` (``linux-64``).

    ``wrong_spec`` says what is wrong with a match spec, or nothing; ``prefixes``
    is the directory that the environments will be in. Raises ``BadDefinitions``
    with all that is wrong.
    """
    if not paths.isdir(directory):
        raise NoDefinitions(directory)
    problems = Problems(directory)
    sources: files.Sources = {}
    found = [
        read_environment(file, problems, wrong_spec, sources)
        for file in _files(directory, subdir, problems)
    ]
    environments = _unique(filter(None, found), problems)
    for environment in environments.values():
        _check_prefix(f"{prefixes}/{environment.name}", environment, problems)
    order = _read_order(directory, problems, sources)
    items = tuple(overlay.read(paths.join(directory, OVERLAY), problems))
    if not environments and not items and not problems:
        problems.add(Place(directory), f"holds neither {ENVIRONMENTS}/*.yaml nor {OVERLAY}/")
    ordered = _ordered(environments, order, problems)
    if problems:
        raise BadDefinitions(directory, tuple(problems))
    return Definitions(directory, ordered, items, sources)


def _files(directory: str, subdir: str, problems: Problems) -> Iterator[str]:
    """Yield the environment files that count on a platform, by name."""
    top = paths.join(directory, ENVIRONMENTS)
    if not paths.lexists(top):
        return
    if not paths.isdir(top):
        problems.add(Place(top), "has to be a directory")
        return
    system = subdir.partition("-")[0]
    wanted = {"", system, subdir}
    for where in sorted({"", *_directories(top)}):
        if where in wanted:
            yield from _yaml_files(paths.join(top, where), problems)
        elif where.partition("-")[0] not in _SYSTEMS:
            problems.add(
                Place(paths.join(top, where)),
                "is no platform: linux, osx, or a conda subdir such as linux-64",
            )


def _directories(top: str) -> list[str]:
    entries = os.scandir(top)
    return [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]


def _yaml_files(directory: str, problems: Problems) -> Iterator[str]:
    for name in sorted(os.listdir(directory)):
        path = paths.join(directory, name)
        if name.startswith(".") or paths.isdir(path):
            continue
        if name.endswith((".yaml", ".yml")):
            yield path
        else:
            problems.add(Place(path), "is no environment: its name does not end in .yaml")


def _unique(found: Iterable[Environment], problems: Problems) -> dict[str, Environment]:
    environments: dict[str, Environment] = {}
    for environment in found:
        other = environments.setdefault(environment.name, environment)
        if other is not environment:
            problems.add(
                environment.place,
                f"makes the environment {environment.name}, which {other.place} makes already",
            )
    return environments


def _check_prefix(prefix: str, environment: Environment, problems: Problems) -> None:
    """Note what keeps conda's packages from working at a path."""
    excess = len(os.fsencode(prefix)) - LONGEST_PREFIX
    wrong = []
    if excess > 0:
        wrong.append(f"would be {excess} bytes too long for conda packages")
    if not is_utf8(prefix):
        wrong.append("would not be UTF-8, which conda packages need")
    if "\\" in prefix:
        wrong.append("has a backslash, which conda takes for a slash in some commands")
    is_read = " " in prefix or len(os.fsencode(prefix)) > _LONGEST_WITHOUT_SHELL
    if is_read and _READ_BY_SHELLS & set(prefix):
        wrong.append(
            'has one of " $ `, and its commands would begin with a line where a shell reads that; '
            f"there is none only without blanks and with up to {_LONGEST_WITHOUT_SHELL} bytes"
        )
    for text in wrong:
        problems.add(environment.place, f"its path {text}: {shown(prefix)}")


def _read_order(directory: str, problems: Problems, sources: files.Sources) -> list[str]:
    """Return the names that ``path`` in ``tierctl.toml`` lists."""
    file = paths.join(directory, DEFINITIONS)
    place = Place(file)
    try:
        settings = tomllib.loads(files.read(file, sources).decode())
    except FileNotFoundError:
        return []
    except OSError as error:
        problems.add(place, f"cannot be read: {error.strerror}")
        return []
    except (ValueError, RecursionError) as error:
        problems.add(place, f"no valid TOML: {error}")
        return []
    for name in sorted(settings.keys() - _SETTINGS):
        problems.add(place, f"unknown setting {shown(name)}")
    order = settings.get("path", [])
    if not isinstance(order, list) or not all(map(is_plain_name, order)):
        problems.add(place, 'path has to be a list of environments: path = ["python", "unix"]')
        return []
    return order


def _ordered(
    environments: dict[str, Environment], order: list[str], problems: Problems
) -> tuple[Environment, ...]:
    """Return the environments as they come on PATH: those that are listed, then by name."""
    for name in order:
        if name not in environments:
            problems.add(
                Place(DEFINITIONS), f"path lists {shown(name)}, but no file makes that environment"
            )
    if len(set(order)) < len(order):
        problems.add(Place(DEFINITIONS), "path lists an environment twice")
    names = [name for name in order if name in environments]
    names += sorted(environments.keys() - set(order))
    return tuple(environments[name] for name in names)
