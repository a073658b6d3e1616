"""The files that a shell or conda reads from a tier's ``etc/``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from os import path as paths
from typing import NamedTuple

from tierctl.rotation.names import DEPLOYMENTS
from tierctl.target.paths import Layout


def files(
    layout: Layout,
    directory: str,
    environments: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the text of each file of a tier's ``etc/``, by name.

    ``directory`` is the tier's own, relative to the infrastructure:
    ``deployments/41``, or ``blue`` for a color that is a plain directory.
    ``environments`` are plain names, as they come on PATH; by default those
    that are there when the tier is loaded, by name. ``variables`` are set where
    the tier is loaded; their names are ones that a shell can have.
    """
    holder, name = paths.split(directory)
    values = {
        "IAC_TIER_DIR": layout.within(directory),
        "IAC_DIR": layout.infrastructure,
        "IAC_PARENT": layout.top,
        "IAC_DEPLOYMENT": name if holder == DEPLOYMENTS else "",
    }
    profiles = {
        name: _filled(
            _template(name),
            {variable: shell.quoted(value) for variable, value in values.items()}
            | {"IAC_ENVIRONMENTS": " ".join(environments)}
            | shell.lines(variables or {}),
        )
        for name, shell in _SHELLS.items()
    }
    return profiles | {"condarc": _condarc(layout, directory)}


def _template(name: str) -> str:
    # importlib.resources takes a tenth of the time in which a deploy finds nothing to do.
    with open(paths.join(paths.dirname(__file__), name), encoding="utf-8") as file:
        return file.read()


def _filled(template: str, texts: Mapping[str, str]) -> str:
    # In one pass: a path may itself contain what looks like a placeholder.
    return re.sub(r"@(IAC_[A-Z_]+)@", lambda match: texts[match[1]], template)


def _quoted_posix(value: str) -> str:
    return "'" + value.replace("'", r"'\''") + "'"


def _quoted_fish(value: str) -> str:
    return "'" + value.replace("\\", r"\\").replace("'", r"\'") + "'"


def _quoted_csh(value: str) -> str:
    # With backslashes: they stop history, which quotes do not, and tcsh does
    # not find a path where a letter beyond ASCII is quoted beside a wildcard.
    # On one line: what csh passes over, it passes over line by line.
    quoted = re.sub(r"([^\w/.\u0080-\U0010ffff-])", r"\\\1", value)
    return quoted.replace("\\\n", "${_iac_newline:q}")


class _Shell(NamedTuple):
    """How a shell's profile is written: a text as one of its words, and what it does of a variable.

    ``set`` sets one and notes what it was; ``restore`` takes that back, in a shell that can do so
    only where the name stands in the file.
    """

    quoted: Callable[[str], str]
    set: str
    restore: str = ""

    def lines(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return what stands in the profile for variables, by placeholder."""
        words = {name: self.quoted(value) for name, value in variables.items()}
        return {
            placeholder: "".join(
                template.format(name=name, value=word) for name, word in words.items()
            )
            for placeholder, template in (
                ("IAC_VARIABLES", self.set),
                ("IAC_VARIABLES_BEFORE", self.restore),
            )
        }


_SET_IN_CSH = """\
    unsetenv _iac_before_{name}
    if ( $?{name} ) then
        setenv _iac_before_{name} "${name}:q"
    endif
    setenv {name} {value}
    setenv _iac_variables "${{_iac_variables}}{name} "
"""
_RESTORE_IN_CSH = """\
    unsetenv {name}
    if ( $?_iac_before_{name} ) then
        setenv {name} "$_iac_before_{name}:q"
    endif
    unsetenv _iac_before_{name}
"""

_SHELLS = {
    "profile.sh": _Shell(_quoted_posix, "_iac_set {name} {value}\n"),
    "profile.fish": _Shell(_quoted_fish, "_iac_set {name} {value}\n"),
    "profile.csh": _Shell(_quoted_csh, _SET_IN_CSH, _RESTORE_IN_CSH),
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
