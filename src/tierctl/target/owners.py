"""Whose a file is: the owners whose files are believed whatever their group."""

from __future__ import annotations

import os

from tierctl.errors import Untrusted
from tierctl.fs.protocol import Entry, FileSystem, Kind
from tierctl.target.target import Target
from tierctl.text import shown


def require_owner(target: Target, path: str) -> None:
    """Raise ``Untrusted`` unless ``path`` is a file of a trusted owner: a group does not do."""
    entry = require_file(target.fs, path)
    if entry.others_write:
        raise Untrusted(path, "can be written by everybody")
    if entry.uid not in trusted_owners(target):
        raise Untrusted(path, f"belongs to {user(entry.uid)}")


def trusted_owners(target: Target) -> frozenset[int]:
    """Return the user ids whose files are trusted."""
    return frozenset({0, os.geteuid(), target.fs.entry(target.infrastructure, follow=True).uid})


def user(uid: int) -> str:
    """Return words for a user, by name where this host knows one."""
    from tierctl.target.users import user_name

    return f"user {shown(user_name(uid))}"


def require_file(fs: FileSystem, path: str) -> Entry:
    """Return what ``path`` is; raise ``Untrusted`` unless it is a file."""
    entry = fs.entry(path)
    require_is_file(path, entry)
    return entry


def require_is_file(path: str, entry: Entry) -> None:
    """Raise ``Untrusted`` unless what ``entry`` says of ``path`` makes it a file."""
    if entry.kind is not Kind.FILE:
        raise Untrusted(path, f"is a {entry.kind.value}, not a file")
