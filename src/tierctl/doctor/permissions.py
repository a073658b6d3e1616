"""Who may change the target, whether others could, and whether the records can be trusted."""

from __future__ import annotations

import grp
import os
from collections.abc import Iterator
from contextlib import suppress

from tierctl import config, control, syscalls, tiers, trust
from tierctl.author import user_name
from tierctl.deploy import numbering
from tierctl.doctor import aside, exposure, writing
from tierctl.doctor.finding import Finding, Remedy, fine, note, problem
from tierctl.errors import Untrusted
from tierctl.filesystem import Entry, FileSystem, Kind, exists
from tierctl.groups import group_name, is_member
from tierctl.layout import DEPLOYMENTS, Layout
from tierctl.text import shown, typed

SUBJECT = exposure.SUBJECT
_NOT_THE_OWNER = 0o077
_SHARED_DIRECTORY = 0o2070


def examine(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    """Yield what there is to say of owners, modes and trust."""
    yield _who_may_change(fs, layout)
    yield from _immutable(layout)
    yield from exposure.examine(fs, layout)
    yield from _untrusted(fs, layout)
    yield from _unbelieved(fs, layout)
    yield from open_lock(fs, layout)
    told_of = set()
    for finding in unshared(fs, layout):
        told_of.add(finding.path)
        yield finding
    for finding in writing.unwritable(fs, layout):
        if finding.path not in told_of:
            yield finding


def untrusted(fs: FileSystem, layout: Layout, error: Untrusted) -> Finding:
    """Return the finding of something that is not trusted."""
    advice = "Look at its owner and mode."
    with suppress(OSError):  # it is gone, or closed, meanwhile
        advice = _how_to_trust(fs, layout, error.path)
    return problem(SUBJECT, error.message, "Changes are refused because of it.", advice)


def _how_to_trust(fs: FileSystem, layout: Layout, path: str) -> str:
    entry = fs.entry(path)
    is_directory = path in (layout.control, *numbering.directories(layout))
    if entry.kind is not (Kind.DIRECTORY if is_directory else Kind.FILE):
        return f"Look at it; then move it away: {aside.move(fs, path)}"
    owner = user_name(fs.entry(layout.infrastructure, follow=True).uid)
    of_a_stranger = entry.uid not in trust.trusted_owners(fs, layout)
    commands = [f"chown {owner} {typed(path)}"] if of_a_stranger else []
    if entry.others_write:
        commands.append(f"chmod o-w {typed(path)}")
    return f"Look at it, others may have written it; then: {' && '.join(commands)}"


def _who_may_change(fs: FileSystem, layout: Layout) -> Finding:
    top = fs.entry(layout.infrastructure, follow=True)
    owner = user_name(top.uid)
    group = f" and the group {shown(group_name(top.gid))}" if top.group_writes else ""
    who = f"{owner}{group} may change this target"
    if fs.is_writable(layout.infrastructure):
        return fine(SUBJECT, f"{who}; you may")
    return note(SUBJECT, f"{who}; you may not", "You can look, and load tiers.")


def _immutable(layout: Layout) -> Iterator[Finding]:
    for path in (layout.infrastructure, layout.control, layout.lock, layout.history):
        if syscalls.is_immutable(path):
            yield problem(
                SUBJECT,
                f"{shown(path)} is immutable (chattr +i)",
                "No change is possible.",
                f"Let it be written again: chattr -i {typed(path)}",
            )


def _untrusted(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    for path in (layout.config, layout.intent, layout.history):
        try:
            trust.require(fs, layout, path)
        except FileNotFoundError:
            continue
        except Untrusted as error:
            yield untrusted(fs, layout, error)
    for path in numbering.directories(layout):
        if exists(fs, path) and (kind := fs.entry(path).kind) is not Kind.DIRECTORY:
            yield untrusted(fs, layout, Untrusted(path, f"is a {kind.value}, not a directory"))


def _unbelieved(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    """Yield the finding that what deployments say of themselves is not believed."""
    errors = {}
    for number in tiers.deployments(fs, layout, finished=True):
        try:
            trust.require(fs, layout, layout.deployment_record(f"{DEPLOYMENTS}/{number}"))
        except Untrusted as error:
            errors[number] = error
        except OSError:  # that it is closed is told elsewhere
            continue
    if errors:
        first = next(iter(errors.values()))
        yield note(
            SUBJECT,
            f"the record of deployment {', '.join(map(str, errors))} is {first.message}",
            "A deploy builds anew what it holds already, and diff does not tell of its files.",
            _how_to_trust(fs, layout, first.path),
        )


def open_lock(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    """Yield the finding that others can stop all changes."""
    if not exists(fs, layout.lock):
        return
    entry = fs.entry(layout.lock)
    if entry.kind is not Kind.FILE:
        error = Untrusted(layout.lock, f"is a {entry.kind.value}, not a file")
        yield untrusted(fs, layout, error)
    elif entry.mode & _NOT_THE_OWNER & ~control.lock_mode(fs, layout):
        yield _for_its_owner(
            entry,
            f"others may open {shown(layout.lock)}",
            "Whoever may open it can hold it, and so stop all changes.",
            Remedy.CLOSE_LOCK,
            layout.lock,
        )


def unshared(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    """Yield what the target's group cannot change."""
    name = config.load(fs, layout).group
    if name is None:
        return
    try:
        gid = grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        yield problem(
            SUBJECT,
            f"the group {shown(name)} of {shown(layout.config)} is unknown on this host",
            "Its members cannot promote from here.",
            "Make the group known to this host, or name another one in that file.",
        )
        return
    yield from _group_directories(fs, layout, gid, name)
    yield from _group_files(fs, layout, gid, name)


def _group_directories(fs: FileSystem, layout: Layout, gid: int, name: str) -> Iterator[Finding]:
    for path, entry in exposure.directories(fs, *exposure.shared_paths(layout)):
        shared = entry.mode & _SHARED_DIRECTORY == _SHARED_DIRECTORY
        if entry.gid != gid or not shared:
            yield _for_its_owner(
                entry,
                f"{shown(path)} is not shared with the group {shown(name)}",
                "What one member makes there others cannot change.",
                Remedy.SHARE,
                path,
            )


def _group_files(fs: FileSystem, layout: Layout, gid: int, name: str) -> Iterator[Finding]:
    for path in (layout.config, layout.history, layout.intent, layout.lock, layout.holder):
        if not exists(fs, path):
            continue
        entry = fs.entry(path)
        if entry.kind is not Kind.FILE or (entry.gid == gid and entry.group_writes):
            continue
        if path in (layout.lock, layout.holder) or _may_be_shared(fs, layout, entry, gid):
            yield _for_its_owner(
                entry,
                f"{shown(path)} is not shared with the group {shown(name)}",
                "Its members cannot promote.",
                Remedy.SHARE,
                path,
            )


def _may_be_shared(fs: FileSystem, layout: Layout, entry: Entry, gid: int) -> bool:
    """Say whether giving a record to the group makes nothing trusted that is not.

    What belongs to the group is trusted. So a stranger's file has to be looked
    at first; that it is not trusted is a finding already.
    """
    if entry.others_write:
        return False
    owners = trust.trusted_owners(fs, layout)
    return entry.gid == gid or entry.uid in owners or is_member(entry.uid, gid)


def _for_its_owner(entry: Entry, text: str, meaning: str, remedy: Remedy, path: str) -> Finding:
    """Return a problem that its owner, or root, can repair."""
    if os.geteuid() in (0, entry.uid):
        return problem(SUBJECT, text, meaning, remedy=remedy, path=path)
    advice = f"Ask {user_name(entry.uid)} to {remedy.value}:"
    return problem(SUBJECT, text, meaning, advice, "doctor --fix", path=path)
