"""Whether an environment holds what its packages say, every file of it."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain, repeat
from os import path as paths
from typing import Any

from tierctl.deploy import tree
from tierctl.deploy.tree import Sizes
from tierctl.errors import TierctlError
from tierctl.packages import Package
from tierctl.text import shown

_MOST_NAMED = 10
_MISSING = -1
_DIST_INFO = ".dist-info"


class Incomplete(TierctlError):
    """What was built is not what was to be built.

    ``damaged`` are the packages that are not whole, as the cache calls them.
    """

    code = "incomplete"

    def __init__(self, prefix: str, problems: list[str], damaged: Iterable[str] = ()) -> None:
        more = len(problems) - _MOST_NAMED
        lines = problems[:_MOST_NAMED] + ([f"and {more} more"] if more > 0 else [])
        super().__init__(
            "\n  ".join((f"{shown(prefix)} is not what its packages say:", *lines)),
            "No tier was changed. What the package cache had of them was removed: deploy again.",
        )
        self.problems = problems
        self.damaged = frozenset(damaged)


# How each shell sources $0 and then compares what that set: without its user's own settings.
_SHELLS = {
    "bash": ("profile.sh", ["--noprofile", "--norc", "-c"], '. "$0"; [ "$IAC_TIER_DIR" = "$1" ]'),
    "zsh": ("profile.sh", ["-f", "-c"], '. "$0"; [ "$IAC_TIER_DIR" = "$1" ]'),
    "fish": (
        "profile.fish",
        ["--no-config", "-c"],
        'source $argv[1]; test "$IAC_TIER_DIR" = $argv[2]',
    ),
    "tcsh": (
        "profile.csh",
        ["-f", "-c"],
        'source $argv[1]:q; if ( "$IAC_TIER_DIR:q" != "$argv[2]:q" ) exit 1',
    ),
}
_LONGEST_LOAD_S = 60


class NotLoadable(TierctlError):
    """What was built is whole, but a shell cannot load it."""

    code = "not-loadable"

    def __init__(self, problems: list[str]) -> None:
        super().__init__(
            "\n  ".join(("the tier cannot be loaded:", *problems)),
            "Mend tier/etc/profile.d, or what a package has in etc/conda/activate.d. "
            "No tier was changed.",
        )


def profiles_load(top: str) -> None:
    """Raise ``NotLoadable`` unless each shell that is installed can load the tier at ``top``."""
    with tree.scratch() as home, ThreadPoolExecutor() as at_once:
        problems = list(filter(None, at_once.map(_why_not_in, _SHELLS, repeat(top), repeat(home))))
    if problems:
        raise NotLoadable(problems)


def _why_not_in(shell: str, top: str, home: str) -> str:
    profile, options, script = _SHELLS[shell]
    wrong = _why_not([shell, *options, script, f"{top}/etc/{profile}", top], home)
    return f"{shell} cannot load etc/{profile}: {wrong}" if wrong else ""


def _why_not(command: list[str], home: str) -> str:
    # Nothing of the caller's is to make the difference, and nothing of it is read.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": home, "TERM": "dumb"}
    # A file and no pipe: what a script leaves running would keep that open.
    with tree.unnamed_file() as said:
        try:
            shell = subprocess.Popen(  # noqa: S603 (a shell of this host, and paths as parameters)
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=environment,
                process_group=0,
            )
        except FileNotFoundError:  # this shell is not installed
            return ""
        try:
            code = shell.wait(_LONGEST_LOAD_S)
        except subprocess.TimeoutExpired:
            return f"it did not end within {_LONGEST_LOAD_S} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)  # with whatever it left running
            shell.wait()
        said.seek(0)
        last = shown(said.read().decode(errors="replace").strip().rpartition("\n")[2])
    return "" if code == 0 else f"exit code {code}, {last or 'no message'}"


def environment(prefix: str, packages: Sequence[Package], sizes: Sizes) -> None:
    """Raise ``Incomplete`` unless each file of the packages is there with the right size.

    ``sizes`` is what was found there.
    """
    meta = paths.join(prefix, "conda-meta")
    records = [name for name in os.listdir(meta) if name.endswith(".json")]
    found = {name: list(_wrong(prefix, paths.join(meta, name), sizes)) for name in records}
    problems = list(chain.from_iterable(found.values()))
    of_pip = [package for package in packages if not package.channel]
    if of_pip:
        installed = list(_described(prefix, of_pip, sizes))
        problems += [problem for path in installed for problem in _wrong_wheel(path, sizes)]
        records += installed
    if len(records) != len(packages):
        problems.insert(0, f"{len(records)} packages are there, {len(packages)} were to be")
    if problems:
        damaged = (name.removesuffix(".json") for name, wrong in found.items() if wrong)
        raise Incomplete(prefix, problems, damaged)


def _described(prefix: str, wheels: Iterable[Package], sizes: Sizes) -> Iterator[str]:
    """Yield the directory of what each wheel says of itself."""
    wanted = {(_normal(wheel.name), wheel.version) for wheel in wheels}
    for path in sizes:
        directory, name = paths.split(path)
        if name == "RECORD" and path.startswith(f"{prefix}/") and directory.endswith(_DIST_INFO):
            described, _, version = paths.basename(directory)[: -len(_DIST_INFO)].partition("-")
            if (_normal(described), version) in wanted:
                yield directory


def _normal(name: str) -> str:
    """Return a name as PEP 503 compares it."""
    return re.sub("[-_.]+", "-", name).lower()


def _wrong_wheel(directory: str, sizes: Sizes) -> Iterator[str]:
    """Say what is wrong with the files of a wheel, by its list of them: path, digest, size."""
    try:
        with open(f"{directory}/RECORD", encoding="utf-8", newline="") as file:
            for name, _, size in csv.reader(file):
                found = sizes.get(paths.normpath(f"{directory}/../{name}"), _MISSING)
                if found == _MISSING:
                    yield f"{shown(name)} is missing"
                elif size and found != int(size):
                    yield f"{shown(name)} has {found} bytes instead of {size}"
    except (OSError, ValueError) as error:
        yield f"{shown(paths.basename(directory))}/RECORD cannot be read: {error}"


def _wrong(prefix: str, record: str, sizes: Sizes) -> Iterator[str]:
    try:
        with open(record, "rb") as file:
            files = json.load(file)["paths_data"]["paths"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        yield f"{shown(paths.basename(record))} cannot be read: {error}"
        return
    for file in files:
        size, found = _size(file), sizes.get(f"{prefix}/{file['_path']}", _MISSING)
        if found == size:
            continue
        if found == _MISSING:
            yield f"{shown(file['_path'])} is missing"
        elif None not in (found, size):
            yield f"{shown(file['_path'])} has {found} bytes instead of {size}"


def _size(file: dict[str, Any]) -> int | None:
    """Return what a file's size has to be; one into which the prefix is written has another."""
    return None if file.get("file_mode") == "text" else file.get("size_in_bytes")
