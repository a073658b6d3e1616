"""Making a target: both colors loadable at once, all or nothing.

The infrastructure is built under another name, closed to everybody else, and
gets its own when it is whole. What the filesystem has to be able to do is tried
out there first; if it cannot, nothing is left. Every step can be taken twice, so that a second
bootstrap finishes what a killed one left, provided that nobody else can have
put anything there. Nothing that was there is deleted or replaced.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from os import path as paths

from tierctl import config, control, freshness, history, mounts, profiles
from tierctl.author import user_name
from tierctl.config import Config
from tierctl.errors import (
    ChangeUnfinished,
    Exists,
    InvalidTargetPath,
    Locked,
    LocksUnsupported,
    NoSuchGroup,
    NotWritable,
    TierctlError,
    UnsuitableFilesystem,
    Untrusted,
    cause_of,
)
from tierctl.events import Author, Event, EventKind, new_event
from tierctl.filesystem import Entry, FileSystem, Kind, LockTimeout, LockUnavailable, exists
from tierctl.groups import Group, group_name
from tierctl.layout import (
    BLUE,
    GREEN,
    INFRASTRUCTURE,
    PRODUCTION,
    STAGING,
    TIER_DIRECTORIES,
    Layout,
)
from tierctl.past import Past
from tierctl.rotation import Color, Content, State
from tierctl.text import shown, typed
from tierctl.validators import validate_target_path

# chown(2) says one of these of a group that may not be given here, or has no number here.
_CANNOT_GIVE = (errno.EPERM, errno.EINVAL)
# symlink(2) says one of these where there are no symlinks.
_CANNOT_LINK = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
INITIAL = State(
    production=Color.GREEN,
    staging=Color.BLUE,
    blue=Content(Color.BLUE),
    green=Content(Color.GREEN),
)


def check(fs: FileSystem, target: str, group: Group | None = None) -> Layout:
    """Return the layout of a target that can be made at an absolute path.

    Raises ``InvalidTargetPath``, ``Exists``, ``NotWritable`` or ``Untrusted``.
    """
    validate_target_path(target)
    layout = Layout.of_target(target)
    _require_outside(target)
    place = paths.dirname(target)
    _require_directory(fs, place)
    if exists(fs, target):
        place = target
        _require_directory(fs, place)
    _require_absent(fs, layout)
    if not fs.is_writable(place):
        raise NotWritable(place, control.why_not_writable(fs, place))
    if exists(fs, layout.cache):
        _require_directory(fs, layout.cache)
    _require_own(fs, layout.half_built, group)
    return layout


def create(
    fs: FileSystem, target: str, author: Author, group: Group | None, *, lock_timeout: float
) -> Event:
    """Make a target at an absolute path, owned by a group if one is given; return its first event.

    Raises what ``check`` raises, ``Locked`` while another bootstrap is at work,
    ``NoSuchGroup`` if the group cannot be given things here, ``UnsuitableFilesystem``
    or ``LocksUnsupported`` with nothing left behind, and ``ChangeUnfinished`` where
    one called again goes on.
    """
    layout = check(fs, target, group)
    is_new = not exists(fs, layout.target)
    try:
        event = _create(fs, layout, author, _Maker(fs, group), lock_timeout)
    except LockTimeout as error:
        raise Locked("another bootstrap", lock_timeout) from error
    except UnsuitableFilesystem:
        _leave_nothing(fs, layout, is_new=is_new)
        raise
    except LockUnavailable as error:
        _leave_nothing(fs, layout, is_new=is_new)
        raise LocksUnsupported(Layout(layout.half_built).lock, cause_of(error)) from error
    except OSError as error:
        _require_absent(fs, layout)  # another bootstrap was faster, and took the work along
        raise _failure(fs, layout, group, error) from error
    _make_durable(fs, layout)
    return event


def _create(
    fs: FileSystem, layout: Layout, author: Author, maker: _Maker, lock_timeout: float
) -> Event:
    work = Layout(layout.half_built)
    maker.directories(layout.target)
    if maker.private_directory(work.infrastructure):
        _require_suitable(fs, layout)
    _require_own(fs, work.infrastructure, maker.group)  # whatever was made there since the check
    maker.directories(work.control)
    with freshness.lock(fs, work, work.lock, timeout=lock_timeout):
        fs.refresh(layout.target, write=True, names=(INFRASTRUCTURE,))
        if exists(fs, layout.infrastructure):
            _drop(fs, work)
            _require_absent(fs, layout)
        maker.close(work.infrastructure)
        _require_own(fs, work.infrastructure, maker.group)  # from here on nobody else reaches it
        event = _build(fs, layout, work, maker, author)
        maker.directories(layout.cache)
        maker.open_up(work.infrastructure)
        fs.rename(work.infrastructure, layout.infrastructure)
    return event


def _drop(fs: FileSystem, work: Layout) -> None:
    """Remove what was begun, if no more than that was."""
    for path in (work.lock, work.control, work.within(STAGING), work.infrastructure):
        with suppress(OSError):
            fs.remove(path)


def _leave_nothing(fs: FileSystem, layout: Layout, *, is_new: bool) -> None:
    """Remove what a bootstrap has made that cannot go on, the target too if it is new."""
    _drop(fs, Layout(layout.half_built))
    if is_new:
        with suppress(OSError):
            fs.remove(layout.target)


def _require_suitable(fs: FileSystem, layout: Layout) -> None:
    """Raise ``UnsuitableFilesystem`` unless what was just made there is as it was asked for.

    The link that is tried out is one that the infrastructure needs anyway.
    """
    work = Layout(layout.half_built)
    entry = fs.entry(work.infrastructure)
    place = _place(layout.target)
    if entry.uid != os.geteuid():
        raise _not_ones_own(layout.target, place, entry.uid)
    if entry.group_writes or entry.others_write:
        reason = f"permissions are not kept there ({place}): others can write what is made for one"
        raise UnsuitableFilesystem(layout.target, reason)
    link = work.within(STAGING)
    try:
        fs.make_link(link, INITIAL.staging)
        is_link = fs.read_link(link) == INITIAL.staging
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
        is_link = False
    if not is_link:
        raise UnsuitableFilesystem(layout.target, f"there are no symlinks there ({place})")


def _not_ones_own(target: str, place: str, uid: int) -> UnsuitableFilesystem:
    """Return the error of a filesystem on which what the caller makes belongs to another user."""
    mine, other = user_name(os.geteuid()), user_name(uid)
    reason = f"what {mine} makes there ({place}) belongs to {other}"
    if os.geteuid() == 0:
        return UnsuitableFilesystem(
            target,
            f"{reason}, as NFS servers have it that export with root_squash",
            "Run bootstrap as the user who is to own the target.",
        )
    return UnsuitableFilesystem(target, reason)


def _place(target: str) -> str:
    """Return the type of the filesystem that holds a path, and where that is mounted."""
    mount = mounts.find(target)
    return "mount unknown" if mount is None else f"{mount.type}, mounted on {mount.point}"


def _build(fs: FileSystem, layout: Layout, work: Layout, maker: _Maker, author: Author) -> Event:
    policy = Config(None if maker.group is None else maker.group.name)
    maker.file(work.config, config.render(policy))
    maker.directories(work.deployments)
    for color in Color:
        top = work.within(color)
        maker.directories(top, *(paths.join(top, name) for name in TIER_DIRECTORIES))
        for name, text in profiles.files(layout, color).items():
            maker.file(paths.join(top, "etc", name), text)
    maker.link(work.within(STAGING), INITIAL.staging)
    maker.link(work.within(PRODUCTION), Color.GREEN)
    event = history.newest(fs, work)
    if event is None:
        event = new_event(EventKind.BOOTSTRAP, author, None, INITIAL, Past())
        history.append(fs, work, event)
    return event


def _failure(fs: FileSystem, layout: Layout, group: Group | None, error: OSError) -> TierctlError:
    if group is not None and error.errno in _CANNOT_GIVE:
        return NoSuchGroup(
            f"nothing can be given to the group {shown(group.name)} here: {cause_of(error)}",
            "Choose another group or another directory, or leave out --group.",
        )
    left = "before anything was built"
    if exists(fs, layout.half_built):
        left = f"half way, what is built is in {shown(layout.half_built)}"
    return ChangeUnfinished("bootstrap", f"stopped {left}", cause_of(error))


def _make_durable(fs: FileSystem, layout: Layout) -> None:
    try:
        fs.sync(layout.target)
        fs.sync(paths.dirname(layout.target))
    except OSError as error:
        raise TierctlError(
            f"bootstrap: finished, not yet durable: {cause_of(error)}",
            "Before it is used, see whether all is there:",
            f"doctor --target {typed(layout.target)}",
        ) from error


def _require_absent(fs: FileSystem, layout: Layout) -> None:
    if exists(fs, layout.infrastructure):
        raise Exists(
            f"{shown(layout.infrastructure)} already exists",
            "Choose another directory; or, if that is the target, look at it:",
            f"status --target {typed(layout.target)}",
        )


def _require_outside(target: str) -> None:
    """Raise ``InvalidTargetPath`` within an infrastructure, where tiers come and go."""
    for spelling in (target, paths.realpath(target)):
        place, inner = spelling, ""
        while place != inner:
            if all(paths.lexists(paths.join(place, name)) for name in (STAGING, BLUE, GREEN)):
                raise InvalidTargetPath(
                    f"{shown(target)} lies in an infrastructure: {shown(place)}",
                    "Choose a directory outside of it.",
                )
            place, inner = paths.dirname(place), place


def _require_directory(fs: FileSystem, place: str) -> None:
    hint = "Choose another directory, or move away what is in its place."
    try:
        kind = fs.entry(place, follow=True).kind
    except FileNotFoundError as error:
        hint = f"Make it first: mkdir -p {typed(place)}"
        if exists(fs, place):
            hint = "It is a symlink that leads nowhere: mend or remove it."
        raise InvalidTargetPath(f"there is no directory {shown(place)}", hint) from error
    except OSError as error:
        raise InvalidTargetPath(f"there is no directory: {cause_of(error)}", hint) from error
    if kind is not Kind.DIRECTORY:
        raise InvalidTargetPath(f"{shown(place)} is not a directory", hint)


def _require_own(fs: FileSystem, half_built: str, group: Group | None) -> None:
    """Raise ``Untrusted`` if what a bootstrap would go on with may be somebody else's work."""
    hint = f"Look at it; if no bootstrap is running: rm -r {typed(half_built)}"
    kinds = dict.fromkeys(map(Layout(half_built).within, (STAGING, PRODUCTION)), (Kind.LINK,))
    kinds[half_built] = (Kind.DIRECTORY,)
    for path, entry in _tree(fs, half_built):
        reason = _why_not_own(entry, group)
        if entry.kind not in kinds.get(path, (Kind.DIRECTORY, Kind.FILE)):
            reason = f"is a {entry.kind.value}"
        if reason:
            raise Untrusted(path, reason, hint)


def _why_not_own(entry: Entry, group: Group | None) -> str:
    if entry.uid != os.geteuid():
        return f"belongs to user {entry.uid}: only they can finish that bootstrap"
    if entry.kind is Kind.LINK:  # its mode means nothing
        return ""
    if entry.others_write:
        return "can be written by everybody"
    if entry.group_writes and (group is None or entry.gid != group.gid):
        return f"can be written by the group {group_name(entry.gid)}"
    return ""


def _tree(fs: FileSystem, path: str) -> Iterator[tuple[str, Entry]]:
    """Yield what stands at a path and below, directories first, passing over what vanishes."""
    names: list[str] = []
    with suppress(FileNotFoundError):
        entry = fs.entry(path)
        yield path, entry
        names = fs.names(path) if entry.kind is Kind.DIRECTORY else []
    for name in names:
        yield from _tree(fs, paths.join(path, name))


class _Maker:
    """Makes what is missing, for the owner alone or for a group to share."""

    def __init__(self, fs: FileSystem, group: Group | None) -> None:
        self._fs = fs
        self.group = group
        self._gid = None if group is None else group.gid
        self._mode = control.directory_mode(shared=group is not None)
        self._file_mode = 0o644 if group is None else 0o664

    def directories(self, *wanted: str) -> None:
        """Make directories; one that is there stays as it is."""
        for path in wanted:
            try:
                self._fs.make_directory(path, self._mode, group=self._gid)
            except FileExistsError:
                if self._fs.entry(path, follow=True).kind is not Kind.DIRECTORY:
                    raise

    def private_directory(self, path: str) -> bool:
        """Make a directory that is closed to everybody else, and say so.

        False if there is one, which stays as it is.
        """
        try:
            self._fs.make_directory(path, self._mode & ~0o077, group=self._gid)
        except FileExistsError:
            return False
        return True

    def close(self, path: str) -> None:
        """Close such a directory again, if a bootstrap was killed when it had opened it."""
        if self._fs.entry(path).mode & 0o077:
            self._fs.set_mode(path, self._mode & ~0o077)

    def open_up(self, top: str) -> None:
        """Flush what was made, with its modes whatever killed bootstraps left; the top last."""
        for path, entry in reversed(list(_tree(self._fs, top))):
            if entry.kind is Kind.LINK:
                continue
            mode = self._mode if entry.kind is Kind.DIRECTORY else self._file_mode
            if path == Layout(top).lock:
                mode &= ~0o007 if self.group else ~0o077
            if entry.mode != mode or self._gid not in (None, entry.gid):
                self._fs.set_mode(path, mode, group=self._gid)
            if entry.kind is Kind.DIRECTORY:
                self._fs.sync(path)

    def file(self, path: str, text: str) -> None:
        """Write a file."""
        self._fs.write(path, text.encode("utf-8", "surrogateescape"), mode=self._file_mode)

    def link(self, path: str, target: str) -> None:
        """Make a symlink; one that is there points to the same."""
        try:
            self._fs.make_link(path, target)
        except FileExistsError:
            if self._fs.read_link(path) != target:
                raise
