"""Making a target: both colors loadable at once, all or nothing.

The infrastructure is built under another name, closed to everybody else, and
gets its own when it is whole. Every step can be taken twice, so that a second
bootstrap finishes what a killed one left. Nothing that was there is deleted or
replaced.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from os import path as paths

from tierctl import config, control, history, profiles
from tierctl.config import Config
from tierctl.errors import (
    ChangeUnfinished,
    Exists,
    InvalidTargetPath,
    Locked,
    NotWritable,
    Untrusted,
    cause_of,
)
from tierctl.events import Author, Event, EventKind, new_event
from tierctl.filesystem import FileSystem, Kind, LockTimeout, exists
from tierctl.groups import Group
from tierctl.layout import PRODUCTION, STAGING, TIER_DIRECTORIES, Layout
from tierctl.past import Past
from tierctl.rotation import Color, Content, State
from tierctl.text import shown, typed
from tierctl.validators import validate_target_path

_OTHERS_WRITE = 0o002
INITIAL = State(
    production=Color.GREEN,
    staging=Color.BLUE,
    blue=Content(Color.BLUE.value),
    green=Content(Color.GREEN.value),
)


def check(fs: FileSystem, target: str) -> Layout:
    """Return the layout of a target that can be made at an absolute path.

    Raises ``InvalidTargetPath``, ``Exists``, ``NotWritable`` or ``Untrusted``.
    """
    validate_target_path(target)
    _require_outside(fs, target)
    layout = Layout.of_target(target)
    _require_absent(fs, layout)
    place = target if exists(fs, target) else paths.dirname(target)
    _require_directory(fs, place)
    if not fs.is_writable(place):
        raise NotWritable(place, control.why_not_writable(fs, place))
    _require_own(fs, layout.half_built)
    return layout


def create(
    fs: FileSystem, target: str, author: Author, group: Group | None, *, lock_timeout: float
) -> Event:
    """Make a target at an absolute path, owned by a group if one is given; return its first event.

    Raises what ``check`` raises, ``Locked`` while another bootstrap is at work,
    and ``ChangeUnfinished`` where one called again goes on.
    """
    layout = check(fs, target)
    try:
        return _create(fs, layout, author, _Maker(fs, group), lock_timeout)
    except LockTimeout as error:
        raise Locked("another bootstrap", lock_timeout) from error
    except OSError as error:
        _require_absent(fs, layout)  # another bootstrap was faster, and took the work along
        raise ChangeUnfinished("bootstrap", "stopped half way", cause_of(error)) from error


def _create(
    fs: FileSystem, layout: Layout, author: Author, maker: _Maker, lock_timeout: float
) -> Event:
    work = Layout(layout.half_built)
    maker.directories(layout.target)
    maker.private_directory(work.infrastructure)
    _require_own(fs, work.infrastructure)  # whatever was made there since the check
    maker.directories(work.control)
    with fs.lock(work.lock, timeout=lock_timeout):
        if exists(fs, layout.infrastructure):
            _drop(fs, work)
            _require_absent(fs, layout)
        event = _build(fs, layout, work, maker, author)
        maker.directories(layout.cache)
        maker.open_up(work.infrastructure)
        fs.rename(work.infrastructure, layout.infrastructure)
    fs.sync(layout.target)
    fs.sync(paths.dirname(layout.target))
    return event


def _drop(fs: FileSystem, work: Layout) -> None:
    """Remove what was begun while another bootstrap ended."""
    with suppress(OSError):
        for path in (work.lock, work.control, work.infrastructure):
            fs.remove(path)


def _build(fs: FileSystem, layout: Layout, work: Layout, maker: _Maker, author: Author) -> Event:
    policy = Config(None if maker.group is None else maker.group.name)
    maker.file(work.config, config.render(policy))
    maker.directories(work.deployments)
    for color in Color:
        _build_color(layout, work, maker, color.value)
    maker.link(work.within(STAGING), INITIAL.staging.value)
    maker.link(work.within(PRODUCTION), Color.GREEN.value)
    event = history.newest(fs, work)
    if event is None:
        event = new_event(EventKind.BOOTSTRAP, author, None, INITIAL, Past())
        history.append(fs, work, event)
    for directory in _directories(work):
        fs.sync(directory)
    return event


def _build_color(layout: Layout, work: Layout, maker: _Maker, color: str) -> None:
    top = work.within(color)
    maker.directories(top, *(paths.join(top, name) for name in TIER_DIRECTORIES))
    for name, text in profiles.files(layout, color).items():
        maker.file(paths.join(top, "etc", name), text)


def _directories(work: Layout) -> Iterator[str]:
    yield from (work.control, work.deployments)
    for color in Color:
        for name in TIER_DIRECTORIES:
            yield paths.join(work.within(color.value), name)
        yield work.within(color.value)
    yield work.infrastructure


def _require_absent(fs: FileSystem, layout: Layout) -> None:
    if exists(fs, layout.infrastructure):
        raise Exists(
            f"there is something already: {shown(layout.infrastructure)}",
            "Choose another directory; or, if that is the target, look at it:",
            f"status --target {typed(layout.target)}",
        )


def _require_outside(fs: FileSystem, target: str) -> None:
    """Raise ``InvalidTargetPath`` within an infrastructure, where tiers come and go."""
    place, inner = target, ""
    while place != inner:
        if all(exists(fs, Layout(place).within(name)) for name in (PRODUCTION, STAGING)):
            raise InvalidTargetPath(
                f"{shown(target)} lies in an infrastructure: {shown(place)}",
                "Choose a directory outside of it.",
            )
        place, inner = paths.dirname(place), place


def _require_directory(fs: FileSystem, place: str) -> None:
    try:
        kind = fs.entry(place, follow=True).kind
    except FileNotFoundError as error:
        hint = f"Make it first: mkdir -p {typed(place)}"
        if exists(fs, place):
            hint = "It is a symlink that leads nowhere: mend or remove it."
        raise InvalidTargetPath(f"there is no directory {shown(place)}", hint) from error
    if kind is not Kind.DIRECTORY:
        raise InvalidTargetPath(f"{shown(place)} is not a directory", "Choose another one.")


def _require_own(fs: FileSystem, half_built: str) -> None:
    """Raise ``Untrusted`` if what a bootstrap would go on with may be somebody else's work."""
    try:
        entry = fs.entry(half_built)
    except FileNotFoundError:
        return
    reason = ""
    if entry.kind is not Kind.DIRECTORY:
        reason = f"is a {entry.kind.value}, not a directory"
    elif entry.uid != os.geteuid():
        reason = f"belongs to user {entry.uid}: only they can finish that bootstrap"
    elif entry.mode & _OTHERS_WRITE:
        reason = "can be written by everybody"
    if reason:
        hint = f"Look at it; if nobody needs it: rm -r {typed(half_built)}"
        raise Untrusted(half_built, reason, hint)


class _Maker:
    """Makes what is missing, for the owner alone or for a group to share."""

    def __init__(self, fs: FileSystem, group: Group | None) -> None:
        self._fs = fs
        self.group = group
        self._gid = None if group is None else group.gid

    def directories(self, *wanted: str) -> None:
        """Make directories; one that is there stays as it is."""
        mode = control.directory_mode(shared=self.group is not None)
        for path in wanted:
            try:
                self._fs.make_directory(path, mode, group=self._gid)
            except FileExistsError:
                if self._fs.entry(path, follow=True).kind is not Kind.DIRECTORY:
                    raise

    def private_directory(self, path: str) -> None:
        """Make a directory that is closed to everybody else; one that is there stays as it is."""
        mode = control.directory_mode(shared=self.group is not None) & ~0o077
        with suppress(FileExistsError):
            self._fs.make_directory(path, mode, group=self._gid)

    def open_up(self, path: str) -> None:
        """Open such a directory to those who are to use it."""
        mode = control.directory_mode(shared=self.group is not None)
        self._fs.set_mode(path, mode, group=self._gid)

    def file(self, path: str, text: str) -> None:
        """Write a file."""
        mode = 0o644 if self.group is None else 0o664
        self._fs.write(path, text.encode("utf-8", "surrogateescape"), mode=mode)

    def link(self, path: str, target: str) -> None:
        """Make a symlink; one that is there points to the same."""
        try:
            self._fs.make_link(path, target)
        except FileExistsError:
            if self._fs.read_link(path) != target:
                raise
