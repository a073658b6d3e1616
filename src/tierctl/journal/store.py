"""``.tierctl``: making it when it is first needed, and the modes of what is in it."""

from __future__ import annotations

import os
import stat

from tierctl.errors import InvalidLink, NotWritable, Untrusted
from tierctl.fs.protocol import FileSystem, Kind, exists
from tierctl.rotation.names import STAGING
from tierctl.target.target import Target
from tierctl.text import typed


def require_writable(target: Target) -> bool:
    """Say whether there is a ``.tierctl``, and that the caller may write to it and to the links.

    Raises ``NotWritable``, and ``Untrusted`` where the records are kept in
    something that is not for them.
    """
    is_there = require_directory(target.fs, target.control)
    for path in (target.infrastructure, target.control, target.lock, target.history):
        if not target.fs.is_writable(path) and exists(target.fs, path):
            if target.fs.is_writable(path):  # somebody else has just made it
                continue
            raise NotWritable(path, why_not_writable(target.fs, path))
    return is_there


def require_directory(fs: FileSystem, path: str) -> bool:
    """Say whether there is a directory.

    Raises ``Untrusted`` if it is something else, or if everybody may write to it.
    """
    try:
        entry = fs.entry(path)
    except FileNotFoundError:
        return False
    if entry.kind is not Kind.DIRECTORY:
        raise Untrusted(path, f"is a {entry.kind.value}, not a directory")
    if entry.others_write:
        raise Untrusted(path, "can be written by everybody")
    return True


def ensure(target: Target) -> None:
    """Make ``.tierctl`` where an infrastructure made by hand has none.

    Raises ``Untrusted`` if what is there is not for records, and ``InvalidLink`` if staging
    is no link: SMB shows links as directories, and nothing can be changed there.
    """
    if require_directory(target.fs, target.control):
        return
    staging = target.within(STAGING)
    if exists(target.fs, staging) and (kind := target.fs.entry(staging).kind) is not Kind.LINK:
        raise InvalidLink(staging, f"is a {kind.value}, not a symlink")
    if make_like(target.fs, target.infrastructure, target.control):
        target.fs.sync(target.infrastructure)


def make_shared_directory(target: Target, path: str) -> None:
    """Make a directory that is shared as ``.tierctl`` is; one that is there stays as it is."""
    make_like(target.fs, target.control, path)


def make_own_directory(target: Target, path: str) -> None:
    """Make a directory that hands on the group of ``.tierctl``, but that its owner alone writes."""
    make_like(target.fs, target.control, path, is_own=True)


def make_like(fs: FileSystem, model: str, path: str, *, is_own: bool = False) -> bool:
    """Make a directory that is shared as another one is; False if it is there already.

    One that ``is_own`` only its owner writes.
    """
    other = fs.entry(model, follow=True)
    shared = other.group_writes
    try:
        fs.make_directory(
            path,
            own_directory_mode(shared=shared) if is_own else directory_mode(shared=shared),
            # The group that may write to the other need not be the caller's first one;
            # and what root makes for somebody else is theirs to go on with.
            group=other.gid if shared else None,
            owner=other.uid if os.geteuid() == 0 else None,
        )
    except FileExistsError:
        return False
    return True


def directory_mode(*, shared: bool) -> int:
    """Return the mode of a directory; a shared one hands its group on."""
    return 0o2775 if shared else 0o755


def own_directory_mode(*, shared: bool) -> int:
    """Return the mode of a directory that its owner alone writes; a shared one as above."""
    return directory_mode(shared=shared) & ~stat.S_IWGRP


def lock_mode(target: Target) -> int:
    """Return the mode of the lock file: who may open it can hold it for ever."""
    return 0o660 if target.fs.entry(target.control).group_writes else 0o600


def why_not_writable(fs: FileSystem, path: str) -> str:
    """Say why a path cannot be written to: a read-only filesystem, or somebody else's."""
    from tierctl.fs import mounts, syscalls
    from tierctl.target.groups import group_name
    from tierctl.target.users import user_name

    mount = mounts.find(path)
    if mount is not None and mount.is_read_only:
        return f"the filesystem on {mount.point} is mounted read-only"
    if syscalls.is_immutable(path):
        return f"nobody can, it is immutable (chattr -i {typed(path)} lets it be written again)"
    entry = fs.entry(path, follow=True)
    if os.geteuid() == 0 and mount is not None and mount.is_nfs:
        return "the NFS server gives root no rights of its own there (root_squash)"
    if os.geteuid() == 0 or (os.geteuid() == entry.uid and entry.mode & 0o200):
        return "the filesystem refuses it"
    if os.geteuid() == entry.uid:
        return "it is yours, but closed even to you (chmod u+w opens it)"
    group = f" and the group {group_name(entry.gid)}" if entry.group_writes else ""
    return f"only {user_name(entry.uid)}{group} can"
