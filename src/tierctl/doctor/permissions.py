"""Who may change the target, whether others could, and whether the records can be trusted."""

from __future__ import annotations

import grp
from collections.abc import Iterator

from tierctl import config, trust
from tierctl.author import user_name
from tierctl.doctor.finding import Finding, Remedy, fine, note, problem
from tierctl.errors import Untrusted
from tierctl.filesystem import Entry, FileSystem, Kind, exists
from tierctl.layout import Layout
from tierctl.text import shown

SUBJECT = "permissions"
_OTHERS = 0o007
_OTHERS_WRITE = 0o002
_SHARED_DIRECTORY = 0o2070


def examine(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    """Yield what there is to say of owners, modes and trust."""
    yield _who_may_change(fs, layout)
    yield from _open_to_everybody(fs, layout)
    yield from _untrusted(fs, layout)
    yield from _lock(fs, layout)
    yield from _group(fs, layout)


def _who_may_change(fs: FileSystem, layout: Layout) -> Finding:
    top = fs.entry(layout.infrastructure, follow=True)
    owner = user_name(top.uid)
    group = f" and the group {_group_name(top.gid)}" if top.mode & 0o020 else ""
    who = f"{owner}{group} may change this target"
    if fs.is_writable(layout.infrastructure):
        return fine(SUBJECT, f"{who}; you may")
    return note(SUBJECT, f"{who}; you may not", "You can look, and load tiers.")


def _directories(fs: FileSystem, layout: Layout) -> Iterator[tuple[str, Entry]]:
    paths = (layout.target, layout.infrastructure, layout.control, layout.deployments, layout.cache)
    for path in paths:
        if exists(fs, path):
            entry = fs.entry(path, follow=True)
            if entry.kind is Kind.DIRECTORY:
                yield path, entry


def _open_to_everybody(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    for path, entry in _directories(fs, layout):
        if entry.mode & _OTHERS_WRITE:
            yield problem(
                SUBJECT,
                f"everybody may write to {shown(path)}",
                "Anybody on this system can replace what everybody loads.",
                f"chmod o-w {shown(path)}",
            )


def _untrusted(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    for path in (layout.config, layout.intent, layout.history):
        try:
            trust.require(fs, layout, path)
        except FileNotFoundError:
            continue
        except Untrusted as error:
            yield problem(SUBJECT, error.message, "Changes are refused because of it.", error.hint)


def _lock(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    if not exists(fs, layout.lock):
        return
    entry = fs.entry(layout.lock)
    if entry.kind is Kind.FILE and entry.mode & _OTHERS:
        yield problem(
            SUBJECT,
            f"others may open {shown(layout.lock)}",
            "Whoever may open it can hold it, and so stop all changes.",
            remedy=Remedy.CLOSE_LOCK,
            path=layout.lock,
        )


def _group(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    name = config.load(fs, layout, trust.trusted_owners(fs, layout)).group
    if name is None:
        return
    try:
        gid = grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        yield problem(
            SUBJECT,
            f"the group {shown(name)} of {shown(layout.config)} is unknown on this host",
            "Its members cannot promote from here.",
        )
        return
    for path, entry in _directories(fs, layout):
        if path == layout.target:
            continue
        shared = entry.mode & _SHARED_DIRECTORY == _SHARED_DIRECTORY
        if entry.gid != gid or not shared:
            yield problem(
                SUBJECT,
                f"{shown(path)} is not shared with the group {shown(name)}",
                "What one member makes there others cannot change.",
                remedy=Remedy.SHARE,
                path=path,
            )
    yield from _group_files(fs, layout, gid, name)


def _group_files(fs: FileSystem, layout: Layout, gid: int, name: str) -> Iterator[Finding]:
    for path in (layout.config, layout.history, layout.intent, layout.lock, layout.holder):
        if not exists(fs, path):
            continue
        entry = fs.entry(path)
        if entry.kind is Kind.FILE and (entry.gid != gid or not entry.mode & 0o020):
            yield problem(
                SUBJECT,
                f"{shown(path)} is not shared with the group {shown(name)}",
                "Its members cannot promote.",
                remedy=Remedy.SHARE,
                path=path,
            )


def _group_name(gid: int) -> str:
    try:
        return shown(grp.getgrgid(gid).gr_name)
    except KeyError:
        return str(gid)
