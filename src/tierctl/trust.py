"""What tierctl believes: files that only the right people can have written.

Trusted is what belongs to root, to the caller, to the infrastructure's owner,
or to its group if the target's policy records one, and that not everybody may
write to.
"""

from __future__ import annotations

import os

from tierctl import config
from tierctl.errors import Untrusted
from tierctl.filesystem import Entry, FileSystem, Kind
from tierctl.layout import Layout


def read(fs: FileSystem, layout: Layout, path: str) -> bytes:
    """Return the content of a trusted file.

    Raises ``Untrusted``, or ``OSError`` where it cannot be read.
    """
    require(fs, layout, path)
    return fs.read(path)


def require(fs: FileSystem, layout: Layout, path: str) -> Entry:
    """Return what ``path`` is; raise ``Untrusted`` unless it is a file that is trusted."""
    entry = fs.entry(path)
    if entry.kind is not Kind.FILE:
        raise Untrusted(path, f"is a {entry.kind.value}, not a file")
    if entry.mode & 0o002:
        raise Untrusted(path, "can be written by everybody")
    if entry.uid in (0, os.geteuid()):
        return entry
    owners = trusted_owners(fs, layout)
    if entry.uid in owners or _belongs_to_group(fs, layout, entry.gid, owners):
        return entry
    raise Untrusted(path, f"belongs to user {entry.uid}")


def trusted_owners(fs: FileSystem, layout: Layout) -> frozenset[int]:
    """Return the user ids whose files are trusted."""
    return frozenset({0, os.geteuid(), fs.entry(layout.infrastructure, follow=True).uid})


def _belongs_to_group(fs: FileSystem, layout: Layout, gid: int, owners: frozenset[int]) -> bool:
    group = config.load(fs, layout, owners).group
    if group is None:
        return False
    import grp

    try:
        return grp.getgrnam(group).gr_gid == gid
    except (KeyError, ValueError):
        return False
