"""What a tree consists of as it is on disk: names, kinds, modes, sizes, and contents."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from tierctl.fs.opened import TO_HOLD, Naming

_TO_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# Reading waits for the filesystem more than for a processor.
_READERS = 8


class Entry(NamedTuple):
    """A name in a tree that is no directory.

    ``mode`` is as ``st_mode`` has it, with the kind; ``size`` is in bytes; ``link`` is
    what a symlink says.
    """

    mode: int
    size: int = 0
    link: str = ""

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)


class Directory(NamedTuple):
    """A directory in a tree: its ``st_mode``, and the names in it that are no directories."""

    mode: int
    names: dict[str, Entry]


# The directories by their path below the top, which is "" itself.
Tree = dict[str, Directory]


class Whole(NamedTuple):
    """A tree, and by path the sha256 of each of its files that is told."""

    tree: Tree
    sha256s: Mapping[str, str]


class Listing(NamedTuple):
    """A tree, and what could not be looked at, by path below the top."""

    tree: Tree
    errors: dict[str, OSError]


def read(top: str) -> Listing:
    """List a tree, links with what they say, without the contents of files.

    Raises ``OSError`` where the top itself cannot be opened. No link is followed.
    """
    found = Listing({}, {})
    held = os.open(top, TO_HOLD)
    try:
        left = [""]
        while left:
            path = left.pop()
            try:
                left += _read_directory(held, path, found)
            except OSError as error:
                found.errors[path] = error
    finally:
        os.close(held)
    return found


def _read_directory(top: int, path: str, found: Listing) -> list[str]:
    """List a directory, and return the paths of those in it."""
    below = []
    directory = os.open(path or ".", TO_HOLD, dir_fd=top)
    try:
        names: dict[str, Entry] = {}
        with os.scandir(directory) as entries:
            for entry in entries:
                name = entry.name
                if entry.is_dir(follow_symlinks=False):
                    below.append(f"{path}/{name}" if path else name)
                    continue
                told = entry.stat(follow_symlinks=False)
                if stat.S_ISLNK(told.st_mode):
                    link = os.readlink(name, dir_fd=directory)
                    names[name] = Entry(told.st_mode, link=link)
                else:
                    names[name] = Entry(told.st_mode, told.st_size)
        found.tree[path] = Directory(os.fstat(directory).st_mode, names)
    finally:
        os.close(directory)
    return below


def sha256s(top: str, names: Iterable[str]) -> Iterator[tuple[str, str | OSError]]:
    """Yield the sha256 of files, given by path below the top, or why one cannot be read."""
    from concurrent.futures import ThreadPoolExecutor

    held = os.open(top, TO_HOLD)

    def of_file(name: str) -> tuple[str, str | OSError]:
        try:
            return name, _sha256(held, name)
        except OSError as error:
            return name, error

    try:
        with ThreadPoolExecutor(_READERS) as readers:
            yield from readers.map(of_file, names)
    finally:
        os.close(held)


def _sha256(top: int, name: str) -> str:
    file = os.open(name, _TO_READ, dir_fd=top)
    with Naming(name), open(file, "rb") as opened:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return ""
        return hashlib.file_digest(opened, "sha256").hexdigest()


def with_sha256s(top: str, tree: Tree, known: Mapping[str, str]) -> Whole:
    """Return a tree with the sha256 of each file: a known one, or that of what is read.

    ``known`` has them by path below the top. Raises ``OSError`` where a file cannot be read.
    """
    found = dict(known)
    unknown = [path for path, entry in flat(tree).items() if entry.is_file and path not in known]
    for path, sha256 in sha256s(top, unknown):
        if isinstance(sha256, OSError):
            raise sha256
        found[path] = sha256
    return Whole(tree, found)


def flat(tree: Tree) -> dict[str, Entry]:
    """Return all in a tree but its directories, by path below the top."""
    found: dict[str, Entry] = {}
    for path, directory in tree.items():
        above = f"{path}/" if path else ""
        found |= {above + name: entry for name, entry in directory.names.items()}
    return found
