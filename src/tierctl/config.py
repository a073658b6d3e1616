"""The target's policy: ``.tierctl/config.toml``."""

from __future__ import annotations

from typing import NamedTuple

from tierctl import trust
from tierctl.errors import BadFile
from tierctl.filesystem import FileSystem
from tierctl.layout import Layout
from tierctl.text import shown


class Config(NamedTuple):
    """What holds for everybody who works on a target."""

    group: str | None = None


def load(fs: FileSystem, layout: Layout) -> Config:
    """Return the policy; the defaults where there is none.

    It is the owner's to set: it says which group is trusted. Raises
    ``Untrusted`` or ``BadFile``.
    """
    import tomllib

    try:
        trust.require_owner(fs, layout, layout.config)
    except FileNotFoundError:
        return Config()
    try:
        values = tomllib.loads(fs.read(layout.config).decode())
    except (ValueError, RecursionError) as error:
        raise BadFile(layout.config, f"no valid TOML: {error}") from error
    unknown = sorted(values.keys() - {"group"})
    if unknown:
        raise BadFile(layout.config, f"unknown setting: {', '.join(map(shown, unknown))}")
    group = values.get("group")
    if group is not None and not isinstance(group, str):
        raise BadFile(layout.config, "group has to be a name in quotes")
    return Config(group)


def render(config: Config) -> str:
    """Return the text of a config file."""
    head = "# The policy of this target, for everybody who works on it.\n"
    if config.group is None:
        return head
    import json

    # What JSON escapes in a string TOML escapes alike, and DEL besides.
    name = json.dumps(config.group, ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"{head}group = {name}\n"
