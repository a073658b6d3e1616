"""What the engine has noted of each package that it has linked, and whether that can be read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping

from tierctl.deploy.engine.failures import Incomplete
from tierctl.fs.tree import Held
from tierctl.rotation.names import PACKAGE_RECORDS
from tierctl.text import shown

_TO_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def sha256s(held: Held, prefixes: Mapping[str, str]) -> dict[str, str]:
    """Return the sha256 of each record in environments, by path below the deployment that is held.

    ``prefixes`` are paths below it, by environment. Raises ``Incomplete`` where a record cannot
    be read (a full disk leaves some that are cut, and nobody says so), or ``OSError``.
    """
    found: dict[str, str] = {}
    for environment, prefix in prefixes.items():
        problems: dict[str, str] = {}
        for name in _names(f"{held.place}/{prefix}/{PACKAGE_RECORDS}"):
            path = f"{prefix}/{PACKAGE_RECORDS}/{name}"
            with open(os.open(f"{held.place}/{path}", _TO_READ), "rb") as file:
                text = file.read()
            found[path] = hashlib.sha256(text).hexdigest()
            if why := _wrong_with(text):
                problems[name.removesuffix(".json")] = f"{shown(name)} cannot be read: {why}"
        if problems:
            raise Incomplete(environment, list(problems.values()), problems)
    return found


def _names(directory: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(directory) if name.endswith(".json"))
    except FileNotFoundError:  # an environment without packages; else some are missed by number
        return []


def _wrong_with(text: bytes) -> str:
    try:
        is_one = isinstance(json.loads(text)["paths_data"]["paths"], list)
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        return f"no record of a package: {error}"
    return "" if is_one else "no record of a package: it lists no paths"
