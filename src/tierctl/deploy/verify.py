"""Whether an environment holds what its packages say, every file of it."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from os import path as paths
from typing import Any

from tierctl.deploy.tree import Sizes
from tierctl.errors import TierctlError
from tierctl.packages import Package
from tierctl.text import shown

_MOST_NAMED = 10
_MISSING = -1


class Incomplete(TierctlError):
    """What was built is not what was to be built."""

    code = "incomplete"

    def __init__(self, prefix: str, problems: list[str]) -> None:
        more = len(problems) - _MOST_NAMED
        lines = problems[:_MOST_NAMED] + ([f"and {more} more"] if more > 0 else [])
        super().__init__(
            "\n  ".join((f"{shown(prefix)} is not what its packages say:", *lines)),
            "No tier was changed. Is the disk full, or the package cache damaged?",
        )
        self.problems = problems


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


def profiles_load(top: str) -> None:
    """Raise ``Incomplete`` unless each shell that is installed can load the tier at ``top``."""
    with ThreadPoolExecutor() as at_once:
        problems = list(filter(None, at_once.map(_why_not_in, _SHELLS, repeat(top))))
    if problems:
        raise Incomplete(top, problems)


def _why_not_in(shell: str, top: str) -> str:
    profile, options, script = _SHELLS[shell]
    wrong = _why_not([shell, *options, script, f"{top}/etc/{profile}", top])
    return f"{shell} cannot load etc/{profile}: {wrong}" if wrong else ""


def _why_not(command: list[str]) -> str:
    # Nothing of the caller's is to make the difference, and nothing of it is read.
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "TERM": "dumb",
    }
    try:
        done = subprocess.run(  # noqa: S603 (a shell of this host, and paths as parameters)
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=_LONGEST_LOAD_S,
            check=False,
        )
    except FileNotFoundError:  # this shell is not installed
        return ""
    except subprocess.TimeoutExpired:
        return f"it did not end within {_LONGEST_LOAD_S} s"
    last = shown(done.stderr.strip().rpartition("\n")[2])
    return "" if done.returncode == 0 else f"exit code {done.returncode}, {last or 'no message'}"


def environment(prefix: str, packages: Sequence[Package], sizes: Sizes) -> None:
    """Raise ``Incomplete`` unless each file of the packages is there with the right size.

    ``sizes`` is what was found there.
    """
    meta = paths.join(prefix, "conda-meta")
    records = [name for name in os.listdir(meta) if name.endswith(".json")]
    problems = [
        problem for name in records for problem in _wrong(prefix, paths.join(meta, name), sizes)
    ]
    of_pip = [package for package in packages if not package.channel]
    if of_pip:
        installed = list(_installed_by_uv(prefix, sizes))
        problems += [problem for path in installed for problem in _wrong_wheel(path, sizes)]
        records += installed
    if len(records) != len(packages):
        problems.insert(0, f"{len(records)} packages are there, {len(packages)} were to be")
    if problems:
        raise Incomplete(prefix, problems)


def _installed_by_uv(prefix: str, sizes: Sizes) -> Iterator[str]:
    """Yield the directory of what each wheel says of itself."""
    for path in sizes:
        directory, name = paths.split(path)
        if name == "INSTALLER" and path.startswith(f"{prefix}/"):
            with open(path, encoding="utf-8") as file:
                if file.read().strip() == "uv":
                    yield directory


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
        if wrong := _wrong_file(prefix, file, sizes):
            yield f"{shown(file['_path'])} {wrong}"


def _wrong_file(prefix: str, file: dict[str, Any], sizes: Sizes) -> str:
    path = f"{prefix}/{file['_path']}"
    if path not in sizes:
        return "is missing"
    found, size = sizes[path], file.get("size_in_bytes")
    # The prefix is written into such a file: its size is another one.
    if None in (found, size) or file.get("file_mode") == "text":
        return ""
    return "" if found == size else f"has {found} bytes instead of {size}"
