"""Closing a deployment: everybody can read what is in it and nobody can change it.

Part of the seam to the system. Nothing here follows a symlink that it finds in a tree.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from os import path as paths
from typing import NamedTuple

from tierctl.fs import tree
from tierctl.fs.listing import Directory, Entry, Tree
from tierctl.fs.opened import TO_HOLD, Naming
from tierctl.fs.tree import DEEPEST, DESCRIPTORS, Held

_READ = 0o444
_READ_AND_RUN = 0o555
_OWNER_WRITES = 0o755
_OTHERS = 0o077
_SHARED_WRITES = stat.S_IWGRP | stat.S_IWOTH
# A file that nobody may read can be opened so, where the system has that.
_BY_PATH: int | None = getattr(os, "O_PATH", None)
_TO_NAME = os.O_NOFOLLOW | os.O_CLOEXEC | (_BY_PATH or os.O_RDONLY | os.O_NONBLOCK)


@cache
def sealed(mode: int) -> int:
    """Return the rights to a finished deployment's file that came with a mode.

    Nobody can write it, whatever its package, the umask or an ACL said: of an
    ACL the rights of the group are the most that it can give to anybody.
    """
    return _READ_AND_RUN if mode & stat.S_IXUSR else _READ


@cache
def _sealed_file(mode: int) -> int | None:
    """Return the ``st_mode`` that a file gets which has this one, None for what is no file."""
    return stat.S_IFREG | sealed(mode) if stat.S_ISREG(mode) else None


def keep_to_owner(held: Held, path: str) -> None:
    """Let nobody but its owner reach what is below a directory of a tree that is held."""
    with below(held, path) as (name, parent):
        directory = os.open(name, TO_HOLD, dir_fd=parent)
        try:
            os.fchmod(directory, stat.S_IMODE(os.fstat(directory).st_mode) & ~_OTHERS)
        finally:
            os.close(directory)


def seal(
    held: Held, path: str = "", *, left_open: str | None = None, left_out: str | None = None
) -> Tree:
    """Let everyone read a tree and nobody change anything in it; return what it consists of.

    Files come without their sha256. The tree is what has ``path`` in the one that
    is held, or that itself; all of it gets the group of the one that is held. Its
    directory ``left_open`` stays open to its owner, and is returned as if it did not;
    ``left_out`` stays as it is, with all below. Raises ``OSError``.
    """
    group = os.fstat(held.descriptor).st_gid
    sealing = _Sealing(paths.join(held.top, path), {}, group, left_open, left_out)
    with below(held, path) as (name, parent):
        sealing.seal(name, "", parent)
    return sealing.tree


def close(top: str) -> None:
    """Let nobody write in an extracted package who cannot write in its directory itself.

    Archives say of files and directories whatever they like, also that all can write them.
    Another user's package stays as it is. Raises ``OSError``, also for what somebody else
    has put there.
    """
    with tree.held(top) as held:
        found = os.fstat(held.descriptor)
        if found.st_uid == os.geteuid():
            _close(held.descriptor, top, _SHARED_WRITES & ~found.st_mode)


def _close(directory: int, path: str, excess: int, depth: int = 0) -> None:
    """Take the rights ``excess`` from a directory that is open, and from all below."""
    if depth > DEEPEST:
        raise OSError(errno.ENAMETOOLONG, f"More than {DEEPEST} directories deep", path)
    found = os.fstat(directory)
    if found.st_mode & excess:  # first: from then on nobody else can put anything there
        os.fchmod(directory, stat.S_IMODE(found.st_mode) & ~excess)
    with os.scandir(directory) as entries:
        there = list(entries)  # files are replaced below
    for entry in there:
        own_path = paths.join(path, entry.name)
        entry_found = entry.stat(follow_symlinks=False)
        if entry_found.st_uid != found.st_uid:
            raise OSError(errno.EPERM, "Somebody else has put it there", own_path)
        if entry.is_dir(follow_symlinks=False):
            with Naming(own_path):
                below = os.open(entry.name, TO_HOLD, dir_fd=directory)
            try:
                _close(below, own_path, excess, depth + 1)
            finally:
                os.close(below)
        elif stat.S_ISREG(entry_found.st_mode) and entry_found.st_mode & excess:
            # Whoever has opened it can write it for ever, whatever its mode becomes.
            is_open = entry_found.st_mode & stat.S_IWOTH
            with Naming(own_path, always=True):
                (_replace_by_own if is_open else _seal_file)(entry.name, directory, found.st_gid)


@contextmanager
def below(held: Held, path: str) -> Iterator[tuple[str, int]]:
    """Yield the name of a path in a tree, and the directory that it is in; no link leads there.

    A path that ends with ``/.`` is that of a directory itself.
    """
    *names, name = (path or ".").split("/")
    with Naming(paths.join(held.top, path)), ExitStack() as above:
        directory = held.descriptor
        for each in names:
            directory = os.open(each, TO_HOLD, dir_fd=directory)
            above.callback(os.close, directory)
        yield name, directory


class _Sealing(NamedTuple):
    """Seals a tree, see ``seal``: in one walk, which looks at each file once."""

    top: str
    tree: Tree
    group: int
    left_open: str | None
    left_out: str | None

    def seal(self, name: str, path: str, parent: int, depth: int = 0) -> None:
        """Seal the directory ``name`` of ``parent``; ``path`` is its path in the tree."""
        if path == self.left_out:
            return
        own_path = paths.join(self.top, path).rstrip("/")
        if depth > DEEPEST:
            raise OSError(errno.ENAMETOOLONG, f"More than {DEEPEST} directories deep", own_path)
        with Naming(own_path):
            directory = os.open(name, TO_HOLD, dir_fd=parent)
            try:
                _give(directory, os.fstat(directory), self.group)
                names, below = _seal_files(own_path, directory, self.group)
                self.tree[path] = Directory(stat.S_IFDIR | _READ_AND_RUN, names)
                for each in below:
                    self.seal(each, paths.join(path, each), directory, depth + 1)
                # Last: after a change of a directory an NFS client asks anew for each name in it.
                os.fchmod(directory, _OWNER_WRITES if path == self.left_open else _READ_AND_RUN)
            finally:
                os.close(directory)


def _give(entry: int | str, found: os.stat_result, group: int) -> None:
    """Give a file or directory to a group, whatever the directory that it was made in hands on.

    Its members believe what is theirs. In a target that nobody shares it may be impossible,
    and does not matter.
    """
    if found.st_gid != group:
        with suppress(OSError):
            os.chown(entry, -1, group)


def _seal_files(path: str, directory: int, group: int) -> tuple[dict[str, Entry], list[str]]:
    """Let nobody write the files in a directory; return what is in it, and the directories.

    Each file is looked at while the names are listed: an NFS client takes that as
    a hint to ask for names and sizes together, many with one call to the server.
    """
    names: dict[str, Entry] = {}
    directories, unsealed = [], []
    owner = os.geteuid()
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                directories.append(entry.name)
                continue
            name, found = entry.name, entry.stat(follow_symlinks=False)
            mode = found.st_mode
            wanted = _sealed_file(mode)
            if wanted is not None:
                names[name] = Entry(wanted, found.st_size)
                if mode != wanted or found.st_uid != owner or found.st_gid != group:
                    unsealed.append(name)
            elif stat.S_ISLNK(mode):
                names[name] = Entry(mode, link=os.readlink(name, dir_fd=directory))
            else:
                raise OSError(errno.EINVAL, "Neither a file nor a link", f"{path}/{name}")
    for name in unsealed:
        with Naming(paths.join(path, name), always=True):
            _seal_file(name, directory, group)
    return names, directories


def _seal_file(name: str, directory: int, group: int) -> None:
    """Let everyone read a file and nobody write it; a link in its place is not followed."""
    file = os.open(name, _TO_NAME, dir_fd=directory)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            return
        if found.st_uid != os.geteuid():
            _replace_by_own(name, directory, group)
            return
        # What is opened by its path alone cannot be changed by its descriptor.
        opened = f"{DESCRIPTORS}/{file}" if _BY_PATH else file
        _give(opened, found, group)
        os.chmod(opened, sealed(found.st_mode))
    finally:
        os.close(file)


def _replace_by_own(name: str, directory: int, group: int) -> None:
    """Replace a file that was another user's, or open to all, by a copy.

    Others could write the file itself at any time.
    """
    copy = f".{os.getpid()}.copy"
    flags = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(name, os.O_RDONLY | flags, dir_fd=directory), "rb") as read:
        new = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | flags, 0o600, dir_fd=directory)
        with open(new, "wb") as written:
            shutil.copyfileobj(read, written)
            found = os.fstat(read.fileno())
            written.flush()
            _give(new, os.fstat(new), group)
            os.fchmod(new, sealed(found.st_mode))
            os.utime(new, ns=(found.st_atime_ns, found.st_mtime_ns))  # compiled modules tell it
    os.rename(copy, name, src_dir_fd=directory, dst_dir_fd=directory)
