"""What is to be built, and what it is known by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from tierctl import profiles
from tierctl.deploy.definitions import Definitions
from tierctl.target.packages import Packages
from tierctl.target.paths import Layout
from tierctl.target.users import Author


class Build(NamedTuple):
    """What is to be built: definitions, and the packages that the engine has found for them."""

    definitions: Definitions
    packages: Packages
    author: Author


def digest(found: Definitions) -> str:
    """Return what is different as soon as anything but a package is."""
    environments = [[each.name, each.channels, each.specs, each.pip] for each in found.environments]
    # What a tierctl of another version would write is another deployment.
    written = profiles.files(Layout("/infrastructure"), "deployments/0")
    return _digest([environments, files_digest(found), written])


def files_digest(found: Definitions) -> str:
    """Return what is different as soon as a file of the overlay is."""
    return _digest(
        [[item.path, item.link, bool(item.mode & 0o100), item.sha256] for item in found.overlay]
    )


def _digest(values: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
