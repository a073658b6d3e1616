"""Whether those who may change the target can write its records too."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tierctl.doctor import exposure
from tierctl.doctor.finding import Finding, problem
from tierctl.errors import Untrusted
from tierctl.fs.protocol import Entry, Kind
from tierctl.target import trust
from tierctl.target.groups import group_name
from tierctl.target.target import Target
from tierctl.target.users import user_name
from tierctl.text import shown, typed

SUBJECT = exposure.SUBJECT
_REFUSED = "Changes are refused because of it."
_OWNER_WRITES = 0o200


def unwritable(target: Target) -> Iterator[Finding]:
    """Yield each record that its owner, the target's, or the caller cannot write."""
    top = target.fs.entry(target.infrastructure, follow=True)
    for path, entry in _records(target):
        if entry.uid != 0 and not entry.mode & _OWNER_WRITES:
            yield _closed(path, entry)
        elif _is_roots_alone(target, entry, top):
            yield _give(path, entry, user_name(top.uid), top)
        elif target.fs.is_writable(target.infrastructure) and not target.fs.is_writable(path):
            yield _give(path, entry, "you", top)


def _records(target: Target) -> Iterator[tuple[str, Entry]]:
    """Yield what a change writes; what is not trusted, or no file, has another finding."""
    for path in (target.lock, target.history, target.intent):
        try:
            entry = target.fs.entry(path)
            if entry.kind is not Kind.FILE:
                continue
            if path != target.lock:
                trust.require(target, path)
        except (FileNotFoundError, Untrusted):
            continue
        yield path, entry


def _is_roots_alone(target: Target, entry: Entry, top: Entry) -> bool:
    if entry.uid != 0 or top.uid == 0 or target.fs.entry(target.control).uid != top.uid:
        return False
    return not (entry.group_writes and entry.gid == top.gid)


def _closed(path: str, entry: Entry) -> Finding:
    owner = user_name(entry.uid)
    text = f"{shown(path)} cannot be written by {owner}, whose it is"
    ask = "Type" if os.geteuid() in (0, entry.uid) else f"Ask {owner} to type"
    return problem(SUBJECT, text, _REFUSED, f"{ask}: chmod u+rw {typed(path)}", path=path)


def _give(path: str, entry: Entry, who: str, top: Entry) -> Finding:
    """Return the finding that somebody cannot write what is another's."""
    owner = user_name(entry.uid)
    if top.group_writes and entry.uid != 0:
        command = f"chgrp {shown(group_name(top.gid))} {typed(path)} && chmod g+rw {typed(path)}"
        asked = owner
    else:
        command, asked = f"chown {user_name(top.uid)} {typed(path)}", "root"
    ask = "Type" if os.geteuid() == 0 else f"Ask {asked} to type"
    text = f"{shown(path)} belongs to {owner}: {who} cannot write it"
    return problem(SUBJECT, text, _REFUSED, f"{ask}: {command}", path=path)
