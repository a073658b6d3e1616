"""What was a color's plain directory, completed as a deployment.

The directory itself is moved by the change (``rotation.Adopt``). Its profiles
say where they lie, so those that tierctl wrote are written anew; a record makes
it a finished deployment, last. What somebody else put there stays as it is.
"""

from __future__ import annotations

import json

from tierctl import control
from tierctl.errors import InvalidLink, NotWritable
from tierctl.events import Event
from tierctl.filesystem import FileSystem, Kind, exists, read
from tierctl.layout import DEPLOYMENTS, Layout, temporary
from tierctl.rotation import Color

SCHEMA = 1


def require_possible(fs: FileSystem, layout: Layout, color: Color) -> None:
    """Raise ``NotWritable`` unless the caller may move a color's directory and write in it."""
    top = layout.within(color.value)
    for path in (top, f"{top}/etc", f"{top}/meta"):
        if exists(fs, path) and not fs.is_writable(path):
            raise NotWritable(path, control.why_not_writable(fs, path))
    meta = f"{top}/meta"
    if exists(fs, meta) and fs.entry(meta).kind is not Kind.DIRECTORY:
        raise InvalidLink(meta, f"is a {fs.entry(meta).kind.value}; a deployment's record is in it")


def complete(fs: FileSystem, layout: Layout, event: Event) -> None:
    """Make a deployment of the directory that a change has adopted, if it has; can be repeated."""
    if event.after.adopted is None or event.before is None:
        return
    directory = f"{DEPLOYMENTS}/{event.after.adopted}"
    (color,) = (c for c in Color if event.before.content(c) != event.after.content(c))
    meta = f"{layout.within(directory)}/meta"
    if not exists(fs, layout.deployment_record(directory)):
        _rewrite_profiles(fs, layout, color, directory)
        if not exists(fs, meta):
            control.make_own_directory(fs, layout, meta)
        record = json.dumps(_record(event, color), indent=1).encode() + b"\n"
        _replace(fs, layout.deployment_record(directory), record)
    # Whoever did that may have been stopped before it was flushed.
    for path in (layout.deployments, layout.within(directory), meta):
        fs.sync(path)


def _rewrite_profiles(fs: FileSystem, layout: Layout, color: Color, directory: str) -> None:
    from tierctl import profiles

    etc = f"{layout.within(directory)}/etc"
    wanted = profiles.files(layout, directory)
    for name, text in profiles.files(layout, color.value).items():
        path = f"{etc}/{name}"
        is_file = exists(fs, path) and fs.entry(path).kind is Kind.FILE
        if is_file and read(fs, path) == _encoded(text):
            _replace(fs, path, _encoded(wanted[name]))
    if exists(fs, etc):
        fs.sync(etc)


def _replace(fs: FileSystem, path: str, data: bytes) -> None:
    """Write a file anew, so that readers find the old or the new one."""
    fs.write(temporary(path), data)
    fs.rename(temporary(path), path)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _record(event: Event, color: Color) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "number": event.after.adopted,
        "time": event.time,
        "user": event.author.user,
        "host": event.author.host,
        "reason": "",
        "adopted": color.value,
    }
