"""The target's policy: ``.tierctl/config.toml``."""

from __future__ import annotations

from typing import Any, NamedTuple

from tierctl.errors import BadFile
from tierctl.fs.protocol import read
from tierctl.target import owners
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.text import shown


class Config(NamedTuple):
    """What holds for everybody who works on a target.

    A prune keeps the newest ``keep`` deployments, and what is younger than
    ``days``.
    """

    group: str | None = None
    keep: int = 5
    days: int = 30


def load(target: Target) -> Config:
    """Return the policy; the defaults where there is none.

    It is the owner's to set: it says which group is trusted. Raises
    ``Untrusted`` or ``BadFile``.
    """
    import tomllib

    try:
        owners.require_owner(target, target.config)
    except FileNotFoundError:
        return Config()
    try:
        values = tomllib.loads(read(target.fs, target.config).decode())
    except (ValueError, RecursionError) as error:
        raise BadFile(target.config, f"no valid TOML: {error}") from error
    unknown = sorted(values.keys() - {"group", "keep", "days"})
    if unknown:
        raise BadFile(
            target.config,
            f"unknown setting: {', '.join(map(shown, unknown))}",
            "If a newer tierctl is used here, update this one; else remove that line.",
        )
    group = values.get("group")
    if group is not None and not isinstance(group, str):
        raise BadFile(target.config, "group has to be a name in quotes")
    keep, days = (_count(target, values, name, default) for name, default in _COUNTS.items())
    return Config(group, keep, days)


_HIGHEST_COUNT = 99_999
_COUNTS = {"keep": Config().keep, "days": Config().days}


def _count(layout: Layout, values: dict[str, Any], name: str, default: int) -> int:
    count = values.get(name, default)
    if type(count) is not int or not 0 <= count <= _HIGHEST_COUNT:
        raise BadFile(layout.config, f"{name} has to be a whole number up to {_HIGHEST_COUNT}")
    return count


def render(config: Config) -> str:
    """Return the text of a config file."""
    head = "# The policy of this target, for everybody who works on it.\n"
    if config.group is None:
        return head
    import json

    # What JSON escapes in a string TOML escapes alike, and DEL besides.
    name = json.dumps(config.group, ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"{head}group = {name}\n"
