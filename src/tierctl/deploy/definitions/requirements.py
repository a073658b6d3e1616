"""The lines of a pip section: requirements, and where wheels for them are looked for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from tierctl.deploy.definitions import personal, secrets
from tierctl.text import is_utf8, shown

# Which options have a place behind them, by how they may be spelled.
_PLACES = {
    "-i": "--index-url",
    "--index-url": "--index-url",
    "--extra-index-url": "--extra-index-url",
    "-f": "--find-links",
    "--find-links": "--find-links",
}
_NO_INDEX = "--no-index"


def read(line: str, directory: str) -> str:
    """Return a line as it stands in a requirements file.

    A path in it is relative to ``directory``. Raises ``ValueError``, which says
    what is wrong.
    """
    if not line.isprintable():
        raise ValueError("is no requirement")
    personal.require_none(line)
    secrets.require_none(line)
    return _option(line, directory) if line.startswith("-") else _requirement(line)


def has_requirement(lines: Iterable[str]) -> bool:
    """Say whether there is anything to install."""
    return any(not line.startswith("-") for line in lines)


def _option(line: str, directory: str) -> str:
    words = (line.replace("=", " ", 1) if line.startswith("--") else line).split(None, 1)
    if words == [_NO_INDEX]:
        return line
    if len(words) != 2 or words[0] not in _PLACES:
        known = ", ".join((*(name for name in _PLACES if name.startswith("--")), _NO_INDEX))
        raise ValueError(f"is none of the options that a pip section can have: {known}")
    option, place = _PLACES[words[0]], words[1]
    if not urlsplit(place).scheme:
        if option != "--find-links":
            raise ValueError("is no index: an index has a URL")
        path = Path(os.path.normpath(Path(directory, place)))
        if not is_utf8(str(path)):
            raise ValueError(f"is at a path that is not UTF-8, which uv needs: {shown(str(path))}")
        if not path.exists():
            raise ValueError(f"is not there: {shown(str(path))}")
        place = path.as_uri()
    return f"{option} {place}"


def _requirement(line: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        url = Requirement(line).url
    except InvalidRequirement as error:
        raise ValueError(f"is no requirement: {str(error).partition(chr(10))[0]}") from error
    if url is not None:
        _check_wheel(url)
    return line


def _check_wheel(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("file", "http", "https"):
        raise ValueError("is at no URL that can be fetched: file, http or https")
    if not parts.path.endswith(".whl"):
        raise ValueError("would have to be built, and only wheels are installed")
