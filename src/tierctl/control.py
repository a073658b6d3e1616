"""``.tierctl``: making it when it is first needed, and the modes of what is in it."""

from __future__ import annotations

from tierctl.errors import NotWritable, Untrusted
from tierctl.filesystem import Entry, FileSystem, Kind, exists
from tierctl.layout import Layout

_GROUP_WRITE = 0o020


def require_writable(fs: FileSystem, layout: Layout) -> None:
    """Raise ``NotWritable`` unless the caller may change the links and the records.

    Raises ``Untrusted`` where the records are kept behind a link.
    """
    if exists(fs, layout.control) and fs.entry(layout.control).kind is not Kind.DIRECTORY:
        raise Untrusted(layout.control, "is not a directory")
    for path in (layout.infrastructure, layout.control):
        if not fs.is_writable(path) and exists(fs, path):
            raise NotWritable(path)


def ensure(fs: FileSystem, layout: Layout) -> None:
    """Make ``.tierctl`` where an infrastructure made by hand has none."""
    try:
        if fs.entry(layout.control).kind is not Kind.DIRECTORY:
            raise Untrusted(layout.control, "is not a directory")
    except FileNotFoundError:
        parent = fs.entry(layout.infrastructure, follow=True)
        shared = _is_shared(parent)
        # The group that may write to the parent need not be the caller's first one.
        group = parent.gid if shared else None
        try:
            fs.make_directory(layout.control, directory_mode(shared=shared), group=group)
        except FileExistsError:  # somebody else was first
            return
        fs.sync(layout.infrastructure)


def directory_mode(*, shared: bool) -> int:
    """Return the mode of a directory; a shared one hands its group on."""
    return 0o2775 if shared else 0o755


def file_mode(fs: FileSystem, layout: Layout) -> int:
    """Return the mode of a record: everyone reads, whoever may promote writes."""
    return 0o664 if _is_shared(fs.entry(layout.control)) else 0o644


def lock_mode(fs: FileSystem, layout: Layout) -> int:
    """Return the mode of the lock file: who may open it can hold it for ever."""
    return 0o660 if _is_shared(fs.entry(layout.control)) else 0o600


def _is_shared(directory: Entry) -> bool:
    return bool(directory.mode & _GROUP_WRITE)
