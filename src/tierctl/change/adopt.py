"""What was a color's plain directory, completed as a deployment.

The directory itself is moved by the change (``rotation.Adopt``). Its profiles
say where they lie, so those that tierctl wrote are written anew; a record makes
it a finished deployment, last. What somebody else put there stays as it is.
"""

from __future__ import annotations

import errno
import json

from tierctl.errors import InvalidLink, NotWritable
from tierctl.fs.protocol import FileSystem, Kind, exists, read
from tierctl.journal import store
from tierctl.journal.events import Event
from tierctl.rotation.names import DEPLOYMENTS
from tierctl.rotation.state import Color
from tierctl.target import record
from tierctl.target.paths import temporary
from tierctl.target.target import Target
from tierctl.text import shown, typed


def require_possible(target: Target, color: Color) -> None:
    """Raise ``NotWritable`` unless the caller may move a color's directory and write in it.

    And ``InvalidLink`` if nobody can: from one mount to another, or out of a lower layer.
    """
    top = target.within(color.value)
    for path in (top, f"{top}/etc", f"{top}/meta"):
        if exists(target.fs, path) and not target.fs.is_writable(path):
            raise NotWritable(path, store.why_not_writable(target.fs, path))
    meta = f"{top}/meta"
    if exists(target.fs, meta) and target.fs.entry(meta).kind is not Kind.DIRECTORY:
        raise InvalidLink(
            meta, f"is a {target.fs.entry(meta).kind.value}; a deployment's record is in it"
        )

    _require_movable(target, color)


def _require_movable(target: Target, color: Color) -> None:
    from tierctl.fs import mounts  # which nothing but a deploy needs

    top, there = target.within(color.value), target.deployments
    copied = f"cp -a {typed(top)} {typed(there)}/NUMBER"
    linked = f"ln -s {DEPLOYMENTS}/NUMBER {typed(top)}"
    removed = f"rm -r {typed(top)}"
    if not mounts.is_same(top, target.infrastructure):
        reason, removed = "is a mount point", f"umount {typed(top)} && rmdir {typed(top)}"
    elif not mounts.is_same(top, there):
        reason = f"is on another mount than {shown(there)}"
    elif _is_of_a_lower_layer(target, color):
        reason = "is in a lower layer of an overlay filesystem"
        copied, linked = f"cp -a {typed(top)} {typed(top)}.new", f"mv {typed(top)}.new {typed(top)}"
    else:
        return
    raise InvalidLink(
        top,
        f"{reason}, so it cannot be moved into {DEPLOYMENTS}, where a deploy keeps what {color} "
        "shows now",
        f"Do it by hand (NUMBER is one that no deployment has):\n{copied} && {removed} && {linked}",
    )


def _is_of_a_lower_layer(target: Target, color: Color) -> bool:
    """Say whether an overlay filesystem would refuse to move a color's directory.

    That can only be told by trying.
    """
    from tierctl.fs import mounts, syscalls  # as above

    mount = mounts.find(target.infrastructure)
    if mount is None or mount.type != "overlay":
        return False
    places = (target.control, target.deployments, target.within(color.opposite.value))
    occupied = [path for path in places if _holds_something(target.fs, path)]
    number = syscalls.why_not_moved(target.within(color.value), occupied[0]) if occupied else 0
    return number == errno.EXDEV


def _holds_something(fs: FileSystem, path: str) -> bool:
    is_directory = exists(fs, path) and fs.entry(path).kind is Kind.DIRECTORY
    return is_directory and bool(fs.names(path))


def complete(target: Target, event: Event) -> None:
    """Make a deployment of the directory that a change has adopted, if it has; can be repeated."""
    if event.after.adopted is None or event.before is None:
        return
    directory = f"{DEPLOYMENTS}/{event.after.adopted}"
    (color,) = (c for c in Color if event.before.content(c) != event.after.content(c))
    meta = f"{target.within(directory)}/meta"
    if not exists(target.fs, target.deployment_record(directory)):
        _rewrite_profiles(target, color, directory)
        if not exists(target.fs, meta):
            store.make_own_directory(target, meta)
        text = json.dumps(_record(event, color), indent=1).encode() + b"\n"
        _replace(target.fs, target.deployment_record(directory), text)
    # Whoever did that may have been stopped before it was flushed.
    for path in (target.deployments, target.within(directory), meta):
        target.fs.sync(path)


def _rewrite_profiles(target: Target, color: Color, directory: str) -> None:
    from tierctl import profiles

    etc = f"{target.within(directory)}/etc"
    wanted = profiles.files(target, directory)
    for name, text in profiles.files(target, color.value).items():
        path = f"{etc}/{name}"
        is_file = exists(target.fs, path) and target.fs.entry(path).kind is Kind.FILE
        if is_file and read(target.fs, path) == _encoded(text):
            _replace(target.fs, path, _encoded(wanted[name]))
    if exists(target.fs, etc):
        target.fs.sync(etc)


def _replace(fs: FileSystem, path: str, data: bytes) -> None:
    """Write a file anew, so that readers find the old or the new one."""
    fs.write(temporary(path), data)
    fs.rename(temporary(path), path)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _record(event: Event, color: Color) -> dict[str, object]:
    return {
        "schema": record.SCHEMA,
        "number": event.after.adopted,
        "time": event.time,
        "user": event.author.user,
        "host": event.author.host,
        "reason": "",
        "adopted": color.value,
    }
