"""What tierctl believes: files that only the right people can have written.

Trusted is what belongs to root, to the caller, to the infrastructure's owner, to
its group or to a member of that, and that nobody else may write to. Its group is
the one that the target's policy records, or that may write to the infrastructure.
"""

from __future__ import annotations

import os

from tierctl.errors import Untrusted
from tierctl.fs.protocol import Entry
from tierctl.target import policy
from tierctl.target.owners import require_file, require_is_file, trusted_owners, user
from tierctl.target.target import Target
from tierctl.text import shown


def read(target: Target, path: str) -> bytes:
    """Return the content of a trusted file; raises as ``load`` does."""
    return load(target, path)[1]


def load(target: Target, path: str, start: int = 0) -> tuple[Entry, bytes]:
    """Return what a trusted file is, and its bytes from ``start``; see ``FileSystem.load``.

    Raises ``Untrusted``, or ``OSError`` where it cannot be read.
    """
    try:
        entry, data = target.fs.load(path, start)
    except FileNotFoundError:
        raise
    except OSError:
        require(target, path)  # what it is may be why
        raise
    require_is_file(path, entry)
    require_trusted(target, path, entry)
    return entry, data


def require(target: Target, path: str) -> Entry:
    """Return what ``path`` is; raise ``Untrusted`` unless it is a file that is trusted."""
    entry = require_file(target.fs, path)
    require_trusted(target, path, entry)
    return entry


def require_trusted(target: Target, path: str, entry: Entry) -> None:
    """Raise ``Untrusted`` unless what ``entry`` says of a file makes it one that is trusted."""
    if entry.others_write:
        raise Untrusted(path, "can be written by everybody")
    if entry.uid in (0, os.geteuid()):
        return
    if entry.uid in trusted_owners(target):
        return
    whose = _of_no_member(entry, _trusted_groups(target))
    if whose:
        raise Untrusted(path, whose)


def require_roots(path: str, entry: Entry, what_root_does: str, hint: str) -> None:
    """Raise ``Untrusted`` if the caller is root, and root alone cannot have made what it is."""
    if os.geteuid() != 0:
        return
    if entry.uid != 0:
        whose = f"belongs to {user(entry.uid)}"
    elif entry.others_write:
        whose = "can be written by everybody"
    elif entry.group_writes and entry.gid != 0:
        whose = _written_by_group(entry.gid)
    else:
        return
    raise Untrusted(path, f"{whose}, and {what_root_does}", hint)


def _written_by_group(gid: int) -> str:
    from tierctl.target.groups import group_name

    return f"can be written by group {shown(group_name(gid))}"


def _of_no_member(entry: Entry, trusted: list[int]) -> str:
    """Say what keeps a file from being the work of trusted groups alone; empty if nothing does.

    A file of a member can have the member's own group, as in a clone made elsewhere.
    """
    from tierctl.target import groups

    if entry.gid in trusted:
        return ""
    if not any(groups.is_member(entry.uid, gid) for gid in trusted):
        return f"belongs to {user(entry.uid)}"
    if entry.group_writes and not groups.is_private(entry.gid, entry.uid):
        return _written_by_group(entry.gid)
    return ""


def _trusted_groups(target: Target) -> list[int]:
    """Return the group ids whose files are trusted: whoever is in them may change the links."""
    name = policy.load(target).group
    if name is None:
        top = target.fs.entry(target.infrastructure, follow=True)
        return [top.gid] if top.group_writes else []
    import grp

    try:
        return [grp.getgrnam(name).gr_gid]
    except (KeyError, ValueError):
        return []
