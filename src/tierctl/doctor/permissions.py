"""Who may change the target, whether others could, and whether the records can be trusted."""

from __future__ import annotations

import grp
import os
from collections.abc import Iterator
from contextlib import suppress

from tierctl.deploy import numbering
from tierctl.doctor import aside, exposure, writing
from tierctl.doctor.finding import Finding, Remedy, fine, note, problem
from tierctl.errors import Untrusted
from tierctl.fs import syscalls
from tierctl.fs.protocol import Entry, Kind, exists
from tierctl.journal import store
from tierctl.rotation.names import DEPLOYMENTS
from tierctl.target import policy, tiers, trust
from tierctl.target.groups import group_name, is_member
from tierctl.target.owners import trusted_owners
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import user_name
from tierctl.text import shown, typed

SUBJECT = exposure.SUBJECT
_NOT_THE_OWNER = 0o077
_SHARED_DIRECTORY = 0o2070


def examine(target: Target) -> Iterator[Finding]:
    """Yield what there is to say of owners, modes and trust."""
    yield _who_may_change(target)
    yield from _immutable(target)
    yield from exposure.examine(target)
    yield from _untrusted(target)
    yield from _unbelieved(target)
    yield from open_lock(target)
    told_of = set()
    for finding in unshared(target):
        told_of.add(finding.path)
        yield finding
    for finding in writing.unwritable(target):
        if finding.path not in told_of:
            yield finding


def untrusted(target: Target, error: Untrusted) -> Finding:
    """Return the finding of something that is not trusted."""
    advice = "Look at its owner and mode."
    with suppress(OSError):  # it is gone, or closed, meanwhile
        advice = _how_to_trust(target, error.path)
    return problem(SUBJECT, error.message, "Changes are refused because of it.", advice)


def _how_to_trust(target: Target, path: str) -> str:
    entry = target.fs.entry(path)
    is_directory = path in (target.control, *numbering.directories(target))
    if entry.kind is not (Kind.DIRECTORY if is_directory else Kind.FILE):
        return f"Look at it; then move it away: {aside.move(target.fs, path)}"
    owner = user_name(target.fs.entry(target.infrastructure, follow=True).uid)
    of_a_stranger = entry.uid not in trusted_owners(target)
    commands = [f"chown {owner} {typed(path)}"] if of_a_stranger else []
    if entry.others_write:
        commands.append(f"chmod o-w {typed(path)}")
    return f"Look at it, others may have written it; then: {' && '.join(commands)}"


def _who_may_change(target: Target) -> Finding:
    top = target.fs.entry(target.infrastructure, follow=True)
    owner = user_name(top.uid)
    group = f" and the group {shown(group_name(top.gid))}" if top.group_writes else ""
    who = f"{owner}{group} may change this target"
    if target.fs.is_writable(target.infrastructure):
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


def _untrusted(target: Target) -> Iterator[Finding]:
    for path in (target.config, target.intent, target.history):
        try:
            trust.require(target, path)
        except FileNotFoundError:
            continue
        except Untrusted as error:
            yield untrusted(target, error)
    for path in numbering.directories(target):
        if exists(target.fs, path) and (kind := target.fs.entry(path).kind) is not Kind.DIRECTORY:
            yield untrusted(target, Untrusted(path, f"is a {kind.value}, not a directory"))


def _unbelieved(target: Target) -> Iterator[Finding]:
    """Yield the finding that what deployments say of themselves is not believed."""
    errors = {}
    for number in tiers.deployments(target, finished=True):
        try:
            trust.require(target, target.deployment_record(f"{DEPLOYMENTS}/{number}"))
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
            _how_to_trust(target, first.path),
        )


def open_lock(target: Target) -> Iterator[Finding]:
    """Yield the finding that others can stop all changes."""
    if not exists(target.fs, target.lock):
        return
    entry = target.fs.entry(target.lock)
    if entry.kind is not Kind.FILE:
        error = Untrusted(target.lock, f"is a {entry.kind.value}, not a file")
        yield untrusted(target, error)
    elif entry.mode & _NOT_THE_OWNER & ~store.lock_mode(target):
        yield _for_its_owner(
            entry,
            f"others may open {shown(target.lock)}",
            "Whoever may open it can hold it, and so stop all changes.",
            Remedy.CLOSE_LOCK,
            target.lock,
        )


def unshared(target: Target) -> Iterator[Finding]:
    """Yield what the target's group cannot change."""
    name = policy.load(target).group
    if name is None:
        return
    try:
        gid = grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        yield problem(
            SUBJECT,
            f"the group {shown(name)} of {shown(target.config)} is unknown on this host",
            "Its members cannot promote from here.",
            "Make the group known to this host, or name another one in that file.",
        )
        return
    yield from _group_directories(target, gid, name)
    yield from _group_files(target, gid, name)


def _group_directories(target: Target, gid: int, name: str) -> Iterator[Finding]:
    for path, entry in exposure.directories(target.fs, *exposure.shared_paths(target)):
        shared = entry.mode & _SHARED_DIRECTORY == _SHARED_DIRECTORY
        if entry.gid != gid or not shared:
            yield _for_its_owner(
                entry,
                f"{shown(path)} is not shared with the group {shown(name)}",
                "What one member makes there others cannot change.",
                Remedy.SHARE,
                path,
            )


def _group_files(target: Target, gid: int, name: str) -> Iterator[Finding]:
    for path in (target.config, target.history, target.intent, target.lock, target.holder):
        if not exists(target.fs, path):
            continue
        entry = target.fs.entry(path)
        if entry.kind is not Kind.FILE or (entry.gid == gid and entry.group_writes):
            continue
        if path in (target.lock, target.holder) or _may_be_shared(target, entry, gid):
            yield _for_its_owner(
                entry,
                f"{shown(path)} is not shared with the group {shown(name)}",
                "Its members cannot promote.",
                Remedy.SHARE,
                path,
            )


def _may_be_shared(target: Target, entry: Entry, gid: int) -> bool:
    """Say whether giving a record to the group makes nothing trusted that is not.

    What belongs to the group is trusted. So a stranger's file has to be looked
    at first; that it is not trusted is a finding already.
    """
    if entry.others_write:
        return False
    owners = trusted_owners(target)
    return entry.gid == gid or entry.uid in owners or is_member(entry.uid, gid)


def _for_its_owner(entry: Entry, text: str, meaning: str, remedy: Remedy, path: str) -> Finding:
    """Return a problem that its owner, or root, can repair."""
    if os.geteuid() in (0, entry.uid):
        return problem(SUBJECT, text, meaning, remedy=remedy, path=path)
    advice = f"Ask {user_name(entry.uid)} to {remedy.value}:"
    return problem(SUBJECT, text, meaning, advice, "doctor --fix", path=path)
