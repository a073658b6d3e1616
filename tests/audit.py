"""Audit the dependencies by what the package index tells of them: ``python tests/audit.py``.

The index is the one that pip is configured with, and pip asks it: for the lowest and the newest
releases that are declared, with all that they need. Wrong is what was withdrawn (PEP 592), and what
has no wheel for one of our Pythons. Advisories are asked for where the index has them
(``/pypi/NAME/VERSION/json`` beside ``/simple``); where it has none, that is said.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
TIMEOUT_S = 30
Requirements = Sequence[str]


class Release(NamedTuple):
    """A release, as pip would install it."""

    name: str
    version: str
    is_withdrawn: bool

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class CannotResolve(Exception):
    """There is no index, or it does not have what is declared."""


def main() -> int:
    """Audit what ``pyproject.toml`` declares, and print what is wrong; return the exit code."""
    groups, pythons = declared(tomllib.loads(PYPROJECT.read_text()))
    try:
        found = resolved_each(groups, pythons)
    except CannotResolve as error:
        print(f"the dependencies cannot be audited: {error}", file=sys.stderr)
        return 1
    problems = [*withdrawn(found), *advisories(found, index())]
    print(*problems, f"{len(found)} releases audited, {len(problems)} problems", sep="\n")
    return 1 if problems else 0


def declared(project: dict[str, Any]) -> tuple[list[Requirements], list[str]]:
    """Return what is installed together, and for which Pythons."""
    of_users = project["project"]["dependencies"]
    deploy = project["project"]["optional-dependencies"]["deploy"]
    groups = project["dependency-groups"].values()
    of_developers = {wanted for group in groups for wanted in group if isinstance(wanted, str)}
    heads = (text.rpartition(" :: ")[2] for text in project["project"]["classifiers"])
    pythons = [head for head in heads if re.fullmatch(r"3\.\d+", head)]
    return [
        [*of_users, *deploy, *sorted(of_developers)],
        project["build-system"]["requires"],
    ], pythons


def resolved_each(groups: Iterable[Requirements], pythons: Sequence[str]) -> set[Release]:
    """Return the newest releases on each Python, and the lowest that are declared on the oldest.

    Raises ``CannotResolve``.
    """
    groups = list(groups)
    wanted = [(group, python) for group in groups for python in pythons]
    wanted += [([one.replace(">=", "==") for one in group], pythons[0]) for group in groups]
    with ThreadPoolExecutor(2) as threads:
        return set().union(*threads.map(lambda asked: resolved(*asked), wanted))


def resolved(requirements: Requirements, python: str) -> set[Release]:
    """Return what pip would install on a Python; raises ``CannotResolve``."""
    done = _pip(
        *("install", "--dry-run", "--ignore-installed", "--quiet", "--report=-"),
        *("--only-binary=:all:", f"--python-version={python}", "--target=/nonexistent"),
        *requirements,
    )
    if done.returncode:
        raise CannotResolve(f"on Python {python}: {done.stderr.strip()}")
    return set(map(_release, json.loads(done.stdout)["install"]))


def _release(installed: dict[str, Any]) -> Release:
    metadata = installed["metadata"]
    return Release(metadata["name"], metadata["version"], installed["is_yanked"])


def withdrawn(releases: Iterable[Release]) -> Iterator[str]:
    """Say which releases somebody took back."""
    return (f"{release} was withdrawn" for release in sorted(releases) if release.is_withdrawn)


def index() -> str:
    """Return the URL of the index that pip asks, as its help tells it."""
    said = " ".join(_pip("download", "--help").stdout.split())
    found = re.search(r"--index-url <url> .*?\(default (\S+?)\)", said)
    return found[1] if found else ""


def advisories(releases: Iterable[Release], index: str) -> Iterator[str]:
    """Yield the advisories on releases; print which the index did not tell."""
    place = index.rstrip("/").removesuffix("/simple")
    ordered, silent = sorted(releases), []
    with ThreadPoolExecutor(8) as threads:
        answers = threads.map(lambda release: _advisories(place, release), ordered)
        for release, found in zip(ordered, answers, strict=True):
            if found is None:
                silent.append(release)
            else:
                yield from (f"{release}: {advisory}" for advisory in found)
    if silent:
        print(f"no advisories are to be had from the index for {len(silent)} releases")


def _advisories(place: str, release: Release) -> list[str] | None:
    url = f"{place}/pypi/{release.name}/{release.version}/json"
    if not url.startswith(("https://", "http://")):
        return None
    try:
        with urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 (one of the two, as above)
            found = json.load(answer)["vulnerabilities"]
    except (URLError, HTTPException, OSError, ValueError, LookupError, TypeError):
        return None
    return [each["id"] for each in found if not each.get("withdrawn")]


def _pip(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pip", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "10000"},
    )


if __name__ == "__main__":
    sys.exit(main())
