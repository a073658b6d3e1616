"""A filesystem in memory that forgets what was not flushed when its power is cut."""

from __future__ import annotations

import errno
import os
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

from tierctl.filesystem import Entry, ExchangeUnsupported, Kind, LockTimeout

_MOST_LINKS = 40


@dataclass(eq=False)
class _Node:
    """An object on disk; a directory's names and a file's bytes once more as they were flushed."""

    kind: Kind
    mode: int
    inode: int
    text: str = ""
    data: bytes = b""
    durable_data: bytes = b""
    names: dict[str, _Node] = field(default_factory=dict)


@dataclass(frozen=True)
class _Renaming:
    """One atomic step of the journal: names set, or removed where the node is None."""

    entries: tuple[tuple[_Node, str, _Node | None], ...]


class MemoryFileSystem:
    """A filesystem in memory. Names are absolute paths; ``exchanges`` says if names can be swapped.

    ``cut_power(survivors)`` loses what was not flushed: of the renamings since,
    in the order they were made, the first ``survivors`` reached the disk.
    """

    def __init__(self, *, exchanges: bool = True) -> None:
        self.exchanges = exchanges
        self._inodes = 0
        self._root = self._node(Kind.DIRECTORY, 0o755)
        self._durable: dict[_Node, dict[str, _Node]] = {self._root: {}}
        self._journal: list[_Renaming] = []
        self._locked: set[_Node] = set()

    @property
    def unflushed(self) -> int:
        """How many renamings a power cut could lose."""
        return len(self._journal)

    def cut_power(self, survivors: int = 0) -> None:
        """Lose what was not flushed, and every lock."""
        for renaming in self._journal[:survivors]:
            self._apply_durably(renaming)
        self._journal.clear()
        self._locked.clear()
        for directory, names in self._durable.items():
            directory.names = dict(names)
            for node in names.values():
                node.data = node.durable_data

    def release_locks(self) -> None:
        """Do what the kernel does when a process is killed."""
        self._locked.clear()

    def entry(self, path: str, *, follow: bool = False) -> Entry:
        """See ``FileSystem.entry``."""
        node = self._find(path, follow=follow)
        size = len(os.fsencode(node.text) if node.kind is Kind.LINK else node.data)
        owner, group = os.geteuid(), os.getegid()
        return Entry(node.kind, node.mode, owner, group, size, 1, node.inode, 0.0)

    def read_link(self, path: str) -> str:
        """See ``FileSystem.read_link``."""
        node = self._find(path)
        if node.kind is not Kind.LINK:
            raise _error(errno.EINVAL, path)
        return node.text

    def names(self, path: str) -> list[str]:
        """See ``FileSystem.names``."""
        return sorted(self._directory(path).names)

    def load(self, path: str, start: int = 0, length: int = -1) -> tuple[Entry, bytes]:
        """See ``FileSystem.load``."""
        data = self._file(path).data[start:]
        return self.entry(path), data if length < 0 else data[:length]

    def write(
        self,
        path: str,
        data: bytes,
        *,
        mode: int | None = None,
        at: int = 0,
        durable: bool = True,
    ) -> None:
        """See ``FileSystem.write``."""
        node = self._file_or_new(path, mode, 0o044)
        if data or at < len(node.data):
            node.data = node.data[:at].ljust(at, b"\0") + data
        if durable:
            node.durable_data = node.data

    def make_directory(
        self, path: str, mode: int, *, group: int | None = None, owner: int | None = None
    ) -> None:
        """See ``FileSystem.make_directory``: there is one group and one owner here."""
        node = self._node(Kind.DIRECTORY, mode)
        self._add(path, node)
        self._durable[node] = {}

    def set_mode(self, path: str, mode: int, *, group: int | None = None) -> None:
        """See ``FileSystem.set_mode``: there is one group here."""
        node = self._find(path)
        if node.kind is Kind.LINK:
            raise _error(errno.ELOOP, path)
        node.mode = mode

    def make_link(self, path: str, target: str) -> None:
        """See ``FileSystem.make_link``."""
        if not target:
            raise _error(errno.ENOENT, path)
        node = self._node(Kind.LINK, 0o777)
        node.text = target
        self._add(path, node)

    def rename(self, path: str, new: str) -> None:
        """See ``FileSystem.rename``."""
        old_place, new_place = self._place(path), self._place(new)
        node = _named(old_place, path)
        if _holds(node, new_place[0]):
            raise _error(errno.EINVAL, new)
        replaced = new_place[0].names.get(new_place[1])
        if replaced is not None and replaced is not node:
            if _holds(replaced, old_place[0]):
                raise _error(errno.ENOTEMPTY, new)
            if replaced.kind is Kind.DIRECTORY and node.kind is not Kind.DIRECTORY:
                raise _error(errno.EISDIR, new)
            if replaced.kind is not Kind.DIRECTORY and node.kind is Kind.DIRECTORY:
                raise _error(errno.ENOTDIR, new)
            if replaced.names:
                raise _error(errno.ENOTEMPTY, new)
        self._commit((*old_place, None), (*new_place, node))

    def exchange(self, first: str, second: str) -> None:
        """See ``FileSystem.exchange``."""
        places = self._place(first), self._place(second)
        nodes = _named(places[0], first), _named(places[1], second)
        if not self.exchanges or _holds(nodes[0], places[1][0]) or _holds(nodes[1], places[0][0]):
            number = errno.EINVAL
            raise ExchangeUnsupported(number, os.strerror(number), first, None, second)
        self._commit((*places[0], nodes[1]), (*places[1], nodes[0]))

    def remove(self, path: str) -> None:
        """See ``FileSystem.remove``."""
        place = self._place(path)
        if _named(place, path).names:
            raise _error(errno.ENOTEMPTY, path)
        self._commit((*place, None))

    def sync(self, path: str) -> None:
        """See ``FileSystem.sync``: no more is flushed than this directory.

        And what a renaming between directories takes along: no name reaches the
        disk before an earlier change of it.
        """
        directory = self._directory(path)
        waiting: list[_Renaming] = []
        flushed: list[_Renaming] = []
        places: set[tuple[_Node, str]] = set()
        for renaming in reversed(self._journal):
            its_places = {(holder, name) for holder, name, _ in renaming.entries}
            if places & its_places or any(holder is directory for holder, _ in its_places):
                places |= its_places
                flushed.append(renaming)
            else:
                waiting.append(renaming)
        for renaming in reversed(flushed):
            self._apply_durably(renaming)
        self._journal = waiting[::-1]

    def lock(
        self, path: str, *, timeout: float, mode: int | None = None
    ) -> AbstractContextManager[object]:
        """See ``FileSystem.lock``: waiting would be for ever, so it does not."""
        node = self._file_or_new(path, mode, 0)
        if node in self._locked:
            raise LockTimeout(errno.EAGAIN, os.strerror(errno.EAGAIN), path)
        self._locked.add(node)
        held = ExitStack()
        held.callback(self._locked.discard, node)
        return held

    def is_locked(self, path: str) -> bool:
        """See ``FileSystem.is_locked``."""
        return self._file(path) in self._locked

    def is_writable(self, path: str) -> bool:
        """See ``FileSystem.is_writable``."""
        try:
            return bool(self._find(path, follow=True).mode & 0o200)
        except OSError:
            return False

    def can_exchange(self, path: str) -> bool:
        """See ``FileSystem.can_exchange``."""
        return self.exchanges

    def _node(self, kind: Kind, mode: int) -> _Node:
        self._inodes += 1
        return _Node(kind, mode, self._inodes)

    def _file_or_new(self, path: str, mode: int | None, for_others: int) -> _Node:
        """Return a file; one that is made now, or may be half made, gets its mode."""
        try:
            node = self._file(path)
        except FileNotFoundError:
            node = self._node(Kind.FILE, 0o600)
            self._add(path, node)
        if not node.data and not node.mode & 0o077:
            node.mode = self._mode(path, mode, for_others)
        return node

    def _mode(self, path: str, mode: int | None, for_others: int) -> int:
        if mode is not None:
            return mode
        shared = self._place(path)[0].mode & 0o020
        return 0o600 | (0o060 if shared else 0) | for_others

    def _add(self, path: str, node: _Node) -> None:
        directory, name = self._place(path)
        if name in directory.names:
            raise _error(errno.EEXIST, path)
        self._commit((directory, name, node))

    def _commit(self, *entries: tuple[_Node, str, _Node | None]) -> None:
        renaming = _Renaming(entries)
        for directory, name, node in entries:
            _set(directory.names, name, node)
        self._journal.append(renaming)

    def _apply_durably(self, renaming: _Renaming) -> None:
        for directory, name, node in renaming.entries:
            _set(self._durable[directory], name, node)

    def _place(self, path: str) -> tuple[_Node, str]:
        head, name = os.path.split(path.rstrip("/"))
        return self._directory(head), name

    def _directory(self, path: str) -> _Node:
        node = self._find(path, follow=True)
        if node.kind is not Kind.DIRECTORY:
            raise _error(errno.ENOTDIR, path)
        return node

    def _file(self, path: str) -> _Node:
        node = self._find(path)
        if node.kind is Kind.LINK:
            raise _error(errno.ELOOP, path)
        if node.kind is not Kind.FILE:
            raise _error(errno.EISDIR, path)
        return node

    def _find(self, path: str, *, follow: bool = False) -> _Node:
        if not path:
            raise _error(errno.ENOENT, path)
        trail = [self._root]
        parts = path.split("/")[::-1]
        followed = 0
        while parts:
            part = parts.pop()
            if trail[-1].kind is not Kind.DIRECTORY:
                raise _error(errno.ENOTDIR, path)
            if part in ("", "."):
                continue
            if part == "..":
                trail = trail[:-1] or trail
                continue
            node = trail[-1].names.get(part)
            if node is None:
                raise _error(errno.ENOENT, path)
            if node.kind is not Kind.LINK or not (parts or follow):
                trail.append(node)
                continue
            followed += 1
            if followed > _MOST_LINKS:
                raise _error(errno.ELOOP, path)
            if node.text.startswith("/"):
                trail = [self._root]
            parts.extend(node.text.split("/")[::-1])
        return trail[-1]


def _set(names: dict[str, _Node], name: str, node: _Node | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def _named(place: tuple[_Node, str], path: str) -> _Node:
    directory, name = place
    if name not in directory.names:
        raise _error(errno.ENOENT, path)
    return directory.names[name]


def _holds(outer: _Node, inner: _Node) -> bool:
    """Say whether ``inner`` is ``outer`` or somewhere below it."""
    return inner is outer or any(_holds(node, inner) for node in outer.names.values())


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
