"""Making a target: both colors loadable at once, all or nothing.

The infrastructure is built under another name and gets its own when it is
whole. Every step can be taken twice, so that a second bootstrap finishes what
a killed one left. Nothing that was there is deleted or replaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import path as paths

from tierctl import config, control, history, profiles
from tierctl.config import Config
from tierctl.errors import Exists, InvalidTargetPath, Locked, NotWritable
from tierctl.events import Author, Event, EventKind, new_event
from tierctl.filesystem import FileSystem, Kind, LockTimeout, exists
from tierctl.groups import Group
from tierctl.layout import PRODUCTION, STAGING, TIER_DIRECTORIES, Layout
from tierctl.past import Past
from tierctl.rotation import Color, Content, State
from tierctl.text import shown
from tierctl.validators import validate_target_path

INITIAL = State(
    production=Color.GREEN,
    staging=Color.BLUE,
    blue=Content(Color.BLUE.value),
    green=Content(Color.GREEN.value),
)


def check(fs: FileSystem, target: str) -> Layout:
    """Return the layout of a target that can be made at an absolute path.

    Raises ``InvalidTargetPath``, ``Exists`` or ``NotWritable``.
    """
    validate_target_path(target)
    layout = Layout.of_target(target)
    _require_absent(fs, layout)
    place = target if exists(fs, target) else paths.dirname(target)
    if not exists(fs, place):
        raise InvalidTargetPath(
            f"there is no directory {shown(place)}", f"Make it first: mkdir -p {shown(place)}"
        )
    if fs.entry(place, follow=True).kind is not Kind.DIRECTORY:
        raise InvalidTargetPath(f"{shown(place)} is not a directory", "Choose another one.")
    if not fs.is_writable(place):
        raise NotWritable(place, control.why_not_writable(fs, place))
    return layout


def create(
    fs: FileSystem, target: str, author: Author, group: Group | None, *, lock_timeout: float
) -> Event:
    """Make a target at an absolute path, owned by a group if one is given; return its first event.

    Raises what ``check`` raises, and ``Locked`` while another bootstrap is at work.
    """
    layout = check(fs, target)
    work = Layout(layout.half_built)
    maker = _Maker(fs, group)
    maker.directories(target, work.infrastructure, work.control)
    try:
        with fs.lock(work.lock, mode=control.lock_mode(fs, work), timeout=lock_timeout):
            _require_absent(fs, layout)  # another bootstrap may just have finished
            event = _build(fs, layout, work, maker, author)
            maker.directories(layout.cache)
            fs.rename(work.infrastructure, layout.infrastructure)
            fs.sync(target)
            fs.sync(paths.dirname(target))
    except LockTimeout as error:
        raise Locked("another bootstrap", lock_timeout) from error
    return event


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
            f"If it is a target: tierctl status --target {shown(layout.target)}. "
            "Otherwise choose another directory.",
        )


class _Maker:
    """Makes what is missing, for the owner alone or for a group to share."""

    def __init__(self, fs: FileSystem, group: Group | None) -> None:
        self._fs = fs
        self.group = group

    def directories(self, *wanted: str) -> None:
        """Make directories; one that is there stays as it is."""
        mode = control.directory_mode(shared=self.group is not None)
        for path in wanted:
            try:
                self._fs.make_directory(
                    path, mode, group=None if self.group is None else self.group.gid
                )
            except FileExistsError:
                if self._fs.entry(path, follow=True).kind is not Kind.DIRECTORY:
                    raise

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
