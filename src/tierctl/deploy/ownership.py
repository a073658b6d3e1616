"""Whose definitions are built, and in whose target."""

from __future__ import annotations

import os

from tierctl.deploy.definitions import Definitions
from tierctl.errors import Refused, Untrusted
from tierctl.fs.protocol import Entry, entry_of
from tierctl.target import trust
from tierctl.target.groups import group_name
from tierctl.target.target import Target
from tierctl.target.users import user_name
from tierctl.text import shown

_HOW_TO_TRUST = (
    "Definitions have to belong to root, to you, to the owner of the infrastructure or to somebody "
    "in its group, and not be writable by anybody else. Fix that, or deploy a clone of your own."
)


def require_own_target(target: Target) -> None:
    """Raise ``Refused`` if root would build in a target that somebody else changes too.

    They could neither add to what root builds there nor remove it; but they could
    have it written elsewhere, with a link in the place of a directory.
    """
    top = target.fs.entry(target.infrastructure, follow=True)
    whose = ""
    if top.uid != 0:
        whose = f"belongs to {user_name(top.uid)}"
    elif top.group_writes and top.gid != 0:
        whose = f"belongs to the group {shown(group_name(top.gid))} too"
    if os.geteuid() == 0 and whose:
        raise Refused(
            f"root does not deploy into {shown(target.infrastructure)}: it {whose}, and what root "
            "builds there they could neither add to nor remove",
            "Deploy as a member of that group."
            if top.uid == 0
            else f"Deploy as {user_name(top.uid)}.",
        )


def require_trusted(target: Target, found: Definitions) -> None:
    """Raise ``Untrusted`` for a file that others could have written.

    The scripts among them run when the build is tried out: as root only what
    root alone can have written.
    """
    sources = found.sources | {item.source: item.status for item in found.overlay if item.is_file}
    # One of each kind tells of all: who is in a group can take long to ask.
    kinds = {(found.st_uid, found.st_gid, found.st_mode): path for path, found in sources.items()}
    for path in kinds.values():
        try:
            require_trusted_entry(target, path, entry_of(sources[path]))
        except Untrusted as error:
            if error.command:  # doctor does not look at definitions
                error.hint, error.command = _HOW_TO_TRUST, ""
            raise


def require_trusted_file(target: Target, path: str) -> None:
    """Raise ``Untrusted`` as for a file of definitions; ``OSError`` where there is none."""
    require_trusted_entry(target, path, trust.require(target, path))


def require_trusted_entry(target: Target, path: str, entry: Entry) -> None:
    """Raise ``Untrusted`` as for a file of definitions, by what ``entry`` says of it."""
    trust.require_trusted(target, path, entry)
    hint = "Deploy as somebody else; or give root a clone of its own."
    trust.require_roots(path, entry, "root builds only what root wrote", hint)
