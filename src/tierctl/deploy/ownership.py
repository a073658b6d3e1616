"""Whose definitions are built, and in whose target."""

from __future__ import annotations

import os
from os import path as paths

from tierctl import trust
from tierctl.author import user_name
from tierctl.deploy.definitions import Definitions
from tierctl.errors import Refused, Untrusted
from tierctl.filesystem import FileSystem, entry_of
from tierctl.layout import Layout
from tierctl.text import shown


def require_own_target(fs: FileSystem, layout: Layout) -> None:
    """Raise ``Refused`` if root would build in somebody else's target."""
    owner = fs.entry(layout.infrastructure, follow=True).uid
    if os.geteuid() == 0 and owner != 0:
        raise Refused(
            f"{shown(layout.infrastructure)} belongs to {user_name(owner)}, and what root builds "
            "there nobody else could add to or remove",
            f"Deploy as {user_name(owner)}.",
        )


def require_trusted(fs: FileSystem, layout: Layout, found: Definitions) -> None:
    """Raise ``Untrusted`` for a file that others could have written.

    The scripts among them run when the build is tried out: as root only what
    root alone can have written.
    """
    read = [paths.realpath(environment.place.file) for environment in found.environments]
    entries = {path: fs.entry(path) for path in read}
    entries |= {item.source: entry_of(item.status) for item in found.overlay if item.is_file}
    for path, entry in entries.items():
        trust.require_trusted(fs, layout, path, entry)
        if os.geteuid() == 0 and (entry.uid != 0 or (entry.group_writes and entry.gid != 0)):
            whose = f"belongs to user {entry.uid}"
            if entry.uid == 0:
                whose = f"can be written by group {entry.gid}"
            raise Untrusted(
                path,
                f"{whose}, and root builds only what root wrote",
                "Deploy as somebody else; or give root a clone of its own.",
            )
