"""The files that a shell or conda reads from a tier's ``etc/``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from importlib import resources
from os import path as paths

from tierctl.layout import DEPLOYMENTS, Layout


def files(layout: Layout, directory: str, environments: Sequence[str] = ()) -> dict[str, str]:
    """Return the text of each file of a tier's ``etc/``, by name.

    ``directory`` is the tier's own, relative to the infrastructure:
    ``deployments/41``, or ``blue`` for a color that is a plain directory.
    ``environments`` are plain names, as they come on PATH; by default those
    that are there when the tier is loaded, by name.
    """
    holder, name = paths.split(directory)
    values = {
        "IAC_TIER_DIR": layout.within(directory),
        "IAC_DIR": layout.infrastructure,
        "IAC_PARENT": layout.target,
        "IAC_DEPLOYMENT": name if holder == DEPLOYMENTS else "",
    }
    names = " ".join(environments)
    profiles = {
        name: _filled(
            resources.files(__name__).joinpath(name).read_text("utf-8"), values, quoted, names
        )
        for name, quoted in _QUOTED.items()
    }
    return profiles | {"condarc": _condarc(layout, directory)}


def _filled(
    template: str, values: dict[str, str], quoted: Callable[[str], str], environments: str
) -> str:
    # In one pass: a path may itself contain what looks like a placeholder.
    texts = {name: quoted(value) for name, value in values.items()}
    texts["IAC_ENVIRONMENTS"] = environments
    return re.sub(r"@(IAC_[A-Z_]+)@", lambda match: texts[match[1]], template)


def _quoted_posix(value: str) -> str:
    return "'" + value.replace("'", r"'\''") + "'"


def _quoted_fish(value: str) -> str:
    return "'" + value.replace("\\", r"\\").replace("'", r"\'") + "'"


def _quoted_csh(value: str) -> str:
    # With backslashes: they stop history, which quotes do not, and tcsh does
    # not find a path where a letter beyond ASCII is quoted beside a wildcard.
    return re.sub(r"([^\w/.\u0080-\U0010ffff-])", r"\\\1", value)


_QUOTED = {
    "profile.sh": _quoted_posix,
    "profile.fish": _quoted_fish,
    "profile.csh": _quoted_csh,
}


def _condarc(layout: Layout, directory: str) -> str:
    settings = {
        "pkgs_dirs": layout.cache,
        "envs_dirs": paths.join(layout.within(directory), "conda", "envs"),
    }
    # A JSON string is a double-quoted YAML string.
    return "".join(
        f"{name}:\n  - {json.dumps(path, ensure_ascii=False)}\n" for name, path in settings.items()
    )
