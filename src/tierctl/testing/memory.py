"""A filesystem in memory that forgets what was not flushed when its power is cut.

``MemoryFileSystem`` is a local one, or the server of a network filesystem.
``MemoryClient`` is one of several clients of that: it answers from a cache of
its own, as the kernel of an NFS client does.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

from tierctl.fs.protocol import Entry, ExchangeUnsupported, Kind, LockTimeout

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
    is_gone: bool = False


@dataclass(frozen=True)
class _Renaming:
    """One atomic step of the journal: names set, or removed where the node is None."""

    entries: tuple[tuple[_Node, str, _Node | None], ...]


class _Disk:
    """What the clients of a filesystem share: objects, what is flushed of them, and locks."""

    def __init__(self) -> None:
        self._inodes = 0
        self.root = self.node(Kind.DIRECTORY, 0o755)
        self.durable: dict[_Node, dict[str, _Node]] = {self.root: {}}
        self.journal: list[_Renaming] = []
        # By file, for each holder of its lock: whether they share it.
        self.locked: dict[_Node, list[bool]] = {}

    def node(self, kind: Kind, mode: int) -> _Node:
        """Return a new object that has no name yet."""
        self._inodes += 1
        return _Node(kind, mode, self._inodes)

    def commit(self, renaming: _Renaming) -> None:
        """Set names, and note it in the journal."""
        replaced = [directory.names.get(name) for directory, name, _ in renaming.entries]
        for directory, name, node in renaming.entries:
            _set(directory.names, name, node)
        named = [node for _, _, node in renaming.entries]
        for node in filter(None, replaced):
            node.is_gone = node not in named
        self.journal.append(renaming)

    def flush(self, directory: _Node) -> None:
        """Flush the names in a directory.

        And what a renaming between directories takes along: no name reaches the
        disk before an earlier change of it.
        """
        waiting: list[_Renaming] = []
        flushed: list[_Renaming] = []
        places: set[tuple[_Node, str]] = set()
        for renaming in reversed(self.journal):
            its_places = {(holder, name) for holder, name, _ in renaming.entries}
            if places & its_places or any(holder is directory for holder, _ in its_places):
                places |= its_places
                flushed.append(renaming)
            else:
                waiting.append(renaming)
        for renaming in reversed(flushed):
            self._apply_durably(renaming)
        self.journal = waiting[::-1]

    def cut_power(self, survivors: int) -> None:
        """See ``MemoryFileSystem.cut_power``."""
        for renaming in self.journal[:survivors]:
            self._apply_durably(renaming)
        self.journal.clear()
        self.locked.clear()
        for directory in self.durable:
            for node in directory.names.values():
                node.is_gone = True
        for directory, names in self.durable.items():
            directory.names = dict(names)
            for node in names.values():
                node.is_gone = False
                node.data = node.durable_data

    def _apply_durably(self, renaming: _Renaming) -> None:
        for directory, name, node in renaming.entries:
            _set(self.durable[directory], name, node)


class MemoryFileSystem:
    """A filesystem in memory. Names are absolute paths; ``exchanges`` says if names can be swapped.

    ``cut_power(survivors)`` loses what was not flushed: of the renamings since,
    in the order they were made, the first ``survivors`` reached the disk.
    """

    def __init__(self, *, exchanges: bool = True) -> None:
        self.exchanges = exchanges
        self._disk = _Disk()

    def client(self, *, exchanges: bool = False) -> MemoryClient:
        """Return a client that sees this filesystem over a network, with an empty cache."""
        return MemoryClient(self._disk, exchanges=exchanges)

    @property
    def unflushed(self) -> int:
        """How many renamings a power cut could lose."""
        return len(self._disk.journal)

    def cut_power(self, survivors: int = 0) -> None:
        """Lose what was not flushed, and every lock."""
        self._disk.cut_power(survivors)

    def release_locks(self) -> None:
        """Do what the kernel does when a process is killed."""
        self._disk.locked.clear()

    def entry(self, path: str, *, follow: bool = False) -> Entry:
        """See ``FileSystem.entry``."""
        return self._entry(self._find(path, follow=follow))

    def read_link(self, path: str) -> str:
        """See ``FileSystem.read_link``."""
        node = self._find(path)
        if node.kind is not Kind.LINK:
            raise _error(errno.EINVAL, path)
        return node.text

    def names(self, path: str) -> list[str]:
        """See ``FileSystem.names``."""
        return self._listing(self._directory(path))

    def load(self, path: str, start: int = 0, length: int = -1) -> tuple[Entry, bytes]:
        """See ``FileSystem.load``."""
        node = self._file(path)
        data = node.data[start:]
        return _entry_of(node), data if length < 0 else data[:length]

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
        node = self._disk.node(Kind.DIRECTORY, mode)
        self._add(path, node)
        self._disk.durable[node] = {}

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
        node = self._disk.node(Kind.LINK, 0o777)
        node.text = target
        self._add(path, node)

    def rename(self, path: str, new: str) -> None:
        """See ``FileSystem.rename``."""
        old_place, new_place = self._place(path), self._place(new)
        node = self._named(old_place, path)
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
        nodes = self._named(places[0], first), self._named(places[1], second)
        if not self.exchanges or _holds(nodes[0], places[1][0]) or _holds(nodes[1], places[0][0]):
            number = errno.EINVAL
            raise ExchangeUnsupported(number, os.strerror(number), first, None, second)
        self._commit((*places[0], nodes[1]), (*places[1], nodes[0]))

    def remove(self, path: str) -> None:
        """See ``FileSystem.remove``."""
        place = self._place(path)
        if self._named(place, path).names:
            raise _error(errno.ENOTEMPTY, path)
        self._commit((*place, None))

    def sync(self, path: str) -> None:
        """See ``FileSystem.sync``: no more is flushed than this directory."""
        self._disk.flush(self._directory(path))

    def refresh(self, path: str, *, write: bool = False, names: Sequence[str] = ()) -> None:
        """See ``FileSystem.refresh``: nothing is cached here."""
        self._directory(path)

    def lock(
        self, path: str, *, timeout: float, mode: int | None = None, shared: bool = False
    ) -> AbstractContextManager[object]:
        """See ``FileSystem.lock``: waiting would be for ever, so it does not."""
        node = self._file_or_new(path, mode, 0)
        locked = self._disk.locked
        holders = locked.get(node, [])
        if holders if not shared else not all(holders):
            raise LockTimeout(errno.EAGAIN, os.strerror(errno.EAGAIN), path)
        locked[node] = [*holders, shared]
        held = ExitStack()
        held.callback(self._unlock, node)
        return held

    def _unlock(self, node: _Node) -> None:
        locked = self._disk.locked
        left = locked.pop(node, [])[1:]
        if left:
            locked[node] = left

    def is_locked(self, path: str) -> bool:
        """See ``FileSystem.is_locked``."""
        return self._file(path) in self._disk.locked

    def is_writable(self, path: str) -> bool:
        """See ``FileSystem.is_writable``."""
        try:
            return bool(self._find(path, follow=True).mode & 0o200)
        except OSError:
            return False

    def can_exchange(self, path: str) -> bool:
        """See ``FileSystem.can_exchange``."""
        return self.exchanges

    def _file_or_new(self, path: str, mode: int | None, for_others: int) -> _Node:
        """Return a file; one that is made now, or may be half made, gets its mode."""
        try:
            node = self._file(path)
        except FileNotFoundError:
            node = self._disk.node(Kind.FILE, 0o600)
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
        place = directory, name = self._place(path)
        if self._look_up(directory, name) is not None:
            raise _error(errno.EEXIST, path)
        if name in directory.names:
            self._forget(place)
            raise _error(errno.EEXIST, path)
        self._commit((directory, name, node))

    def _named(self, place: tuple[_Node, str], path: str) -> _Node:
        directory, name = place
        if self._look_up(directory, name) is None:
            raise _error(errno.ENOENT, path)
        if name not in directory.names:
            self._forget(place)
            raise _error(errno.ENOENT, path)
        return directory.names[name]

    def _forget(self, place: tuple[_Node, str]) -> None:
        """Drop what a cache has of a name, as an operation of that name has failed."""

    def _commit(self, *entries: tuple[_Node, str, _Node | None]) -> None:
        self._disk.commit(_Renaming(entries))

    def _look_up(self, directory: _Node, name: str) -> _Node | None:
        return directory.names.get(name)

    def _listing(self, directory: _Node) -> list[str]:
        return sorted(directory.names)

    def _entry(self, node: _Node) -> Entry:
        return _entry_of(node)

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
        trail = [self._disk.root]
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
            node = self._look_up(trail[-1], part)
            if node is None:
                raise _error(errno.ENOENT, path)
            if node.kind is not Kind.LINK or not (parts or follow):
                trail.append(node)
                continue
            followed += 1
            if followed > _MOST_LINKS:
                raise _error(errno.ELOOP, path)
            if node.text.startswith("/"):
                trail = [self._disk.root]
            parts.extend(node.text.split("/")[::-1])
        return trail[-1]


class MemoryClient(MemoryFileSystem):
    """A client of a filesystem in memory, with a cache that no time makes new.

    Names, listings and what ``entry`` tells stay as they were first seen until
    the client changes them itself or looks anew; a file's content is asked for
    when the file is opened. The server knows an object that has lost its last
    name no more: whoever asks for it by its name then looks the name up again.
    """

    def __init__(self, disk: _Disk, *, exchanges: bool) -> None:
        self.exchanges = exchanges
        self._disk = disk
        self._known: dict[tuple[_Node, str], _Node | None] = {}
        self._listings: dict[_Node, list[str]] = {}
        self._entries: dict[_Node, Entry] = {}

    @property
    def cached(self) -> frozenset[tuple[str, str, str]]:
        """What the cache answers: a directory, a name in it, and what that leads to, as texts."""
        return frozenset(
            (
                f"{directory.inode}",
                name,
                "" if node is None else f"{node.inode} {node.text} {self._entries.get(node)}",
            )
            for (directory, name), node in self._known.items()
        )

    def refresh(self, path: str, *, write: bool = False, names: Sequence[str] = ()) -> None:
        """See ``FileSystem.refresh``.

        By reading alone no more is seen than what the server says of the objects
        that are known: a name that was added, or moved to another object, is not.
        A name that is neither listed nor one of ``names`` stays as it was.
        """
        directory = self._directory(path)
        if directory.is_gone:
            self._forget_all()
            directory = self._directory(path)
        seen = {*directory.names, *names} if write else ()
        for place, node in list(self._known.items()):
            is_asked = place[1] in seen or (node is not None and node.is_gone and not write)
            if place[0] is directory and is_asked:
                self._forget(place)
        if write:
            self._listings.pop(directory, None)

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
        super().write(path, data, mode=mode, at=at, durable=durable)
        self._entries.pop(self._file(path), None)

    def set_mode(self, path: str, mode: int, *, group: int | None = None) -> None:
        """See ``FileSystem.set_mode``."""
        super().set_mode(path, mode, group=group)
        self._entries.pop(self._find(path), None)

    def _look_up(self, directory: _Node, name: str) -> _Node | None:
        place = directory, name
        if place not in self._known:
            self._known[place] = directory.names.get(name)
        return self._known[place]

    def _listing(self, directory: _Node) -> list[str]:
        return list(self._listings.setdefault(directory, sorted(directory.names)))

    def _entry(self, node: _Node) -> Entry:
        return self._entries.setdefault(node, _entry_of(node))

    def _file(self, path: str) -> _Node:
        """Return a file as it is opened: the server is asked for it."""
        node = super()._file(path)
        if node.is_gone:
            self._forget_all()
            node = super()._file(path)
        return node

    def _file_or_new(self, path: str, mode: int | None, for_others: int) -> _Node:
        self._forget(self._place(path))  # the server makes a file where there is none
        return super()._file_or_new(path, mode, for_others)

    def _commit(self, *entries: tuple[_Node, str, _Node | None]) -> None:
        if any(directory.is_gone for directory, _, _ in entries):
            raise _error(errno.ESTALE, entries[0][1])
        super()._commit(*entries)
        for directory, name, node in entries:
            self._known[directory, name] = node
            self._listings.pop(directory, None)

    def _forget(self, place: tuple[_Node, str]) -> None:
        self._listings.pop(place[0], None)
        node = self._known.pop(place, None)
        if node is not None:
            self._entries.pop(node, None)

    def _forget_all(self) -> None:
        self._known.clear()
        self._listings.clear()
        self._entries.clear()


def _entry_of(node: _Node) -> Entry:
    size = len(os.fsencode(node.text) if node.kind is Kind.LINK else node.data)
    owner, group = os.geteuid(), os.getegid()
    return Entry(node.kind, node.mode, owner, group, size, 1, node.inode, 0.0)


def _set(names: dict[str, _Node], name: str, node: _Node | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def _holds(outer: _Node, inner: _Node) -> bool:
    """Say whether ``inner`` is ``outer`` or somewhere below it."""
    return inner is outer or any(_holds(node, inner) for node in outer.names.values())


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
