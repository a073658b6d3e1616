"""Making a target: both colors show the empty tier, and can be loaded at once; all or nothing.

The infrastructure is built under another name, closed to everybody else, and
gets its own when it is whole. What the filesystem has to be able to do is tried
out there first (``suitability.py``); if it cannot, nothing is left. Every step can
be taken twice, so that a second bootstrap finishes what a killed one left, provided
that nobody else can have put anything there. Nothing else that was there is deleted
or replaced.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from os import path as paths

from tierctl.change import emptytier, suitability
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
from tierctl.fs.protocol import Entry, FileSystem, Kind, LockTimeout, LockUnavailable, exists
from tierctl.journal import freshness, history, store
from tierctl.journal.events import Event, EventKind, new_event
from tierctl.rotation.names import BLUE, GREEN, INFRASTRUCTURE, PRODUCTION, STAGING
from tierctl.rotation.state import Color, State
from tierctl.rotation.trail import Past
from tierctl.target import owners, policy
from tierctl.target.groups import Group, group_name
from tierctl.target.paths import Layout, temporary
from tierctl.target.policy import Config
from tierctl.target.target import Target
from tierctl.target.users import Author
from tierctl.target.validators import validate_target_path
from tierctl.text import shown, typed

INITIAL = State(
    production=Color.GREEN,
    staging=Color.BLUE,
    blue=emptytier.CONTENT,
    green=emptytier.CONTENT,
)


def check(fs: FileSystem, path: str, group: Group | None = None) -> Target:
    """Return a target that can be made at an absolute path.

    Raises ``InvalidTargetPath``, ``Exists``, ``NotWritable``, ``UnsuitableFilesystem``
    or ``Untrusted``.
    """
    validate_target_path(path)
    target = Target(fs, Layout.of_target(path))
    _require_outside(path)
    place = paths.dirname(path)
    _require_directory(fs, place)
    if exists(fs, path):
        place = path
        _require_directory(fs, place)
    _require_absent(target)
    suitability.require_files(path)
    if not fs.is_writable(place):
        raise NotWritable(place, store.why_not_writable(fs, place))
    if exists(fs, target.cache):
        _require_directory(fs, target.cache)
    suitability.require_real_links(path)
    _require_own(fs, target.half_built, group)
    return target


def create(
    fs: FileSystem, path: str, author: Author, group: Group | None, *, lock_timeout: float
) -> Event:
    """Make a target at an absolute path, owned by a group if one is given; return its first event.

    Raises what ``check`` raises, ``Locked`` while another bootstrap is at work, and
    ``ChangeUnfinished`` if one that is called again goes on. Nothing is left behind
    by ``UnsuitableFilesystem``, ``LocksUnsupported`` or ``NoSuchGroup``, the last of
    which says that the group cannot be given things here.
    """
    target = check(fs, path, group)
    is_new = not exists(fs, target.top)
    try:
        event = _create(target, author, _Maker(fs, group), lock_timeout)
    except LockTimeout as error:
        raise Locked("another bootstrap", lock_timeout) from error
    except (UnsuitableFilesystem, NoSuchGroup) as error:
        _leave_nothing(target, error, is_new=is_new)
        raise
    except LockUnavailable as error:
        unsupported = LocksUnsupported(Layout(target.half_built).lock, cause_of(error))
        _leave_nothing(target, unsupported, is_new=is_new)
        raise unsupported from error
    except OSError as error:
        _require_absent(target)  # another bootstrap was faster, and took the work along
        failure = _failure(target, group, error)
        if not exists(fs, target.half_built):
            _leave_nothing(target, failure, is_new=is_new)
        raise failure from error
    _make_durable(target)
    return event


def _create(target: Target, author: Author, maker: _Maker, lock_timeout: float) -> Event:
    work = Layout(target.half_built)
    maker.directories(target.top)
    if maker.private_directory(work.infrastructure):
        maker.directories(work.control)
        suitability.require_own(target, maker.group)
        suitability.require_links(target, INITIAL.staging)
        if maker.group is not None:
            suitability.require_given(target, maker.group)
    # Whatever was made there since the check.
    _require_own(target.fs, work.infrastructure, maker.group)
    maker.directories(work.control)
    with freshness.lock(Target(target.fs, work), work.lock, timeout=lock_timeout):
        target.fs.refresh(target.top, write=True, names=(INFRASTRUCTURE,))
        if exists(target.fs, target.infrastructure):
            _drop(target.fs, work)
            _require_absent(target)
        maker.close(work.infrastructure)
        # From here on nobody else reaches it.
        _require_own(target.fs, work.infrastructure, maker.group)
        maker.link(temporary(work.within(STAGING)), INITIAL.staging)
        suitability.require_replaceable_links(target)
        event = _build(target, work, maker, author)
        maker.directories(target.cache)
        maker.open_up(work.infrastructure)
        target.fs.rename(work.infrastructure, target.infrastructure)
    return event


def _drop(fs: FileSystem, work: Layout) -> None:
    """Remove what was begun, if no more than that was."""
    staging = work.within(STAGING)
    for path in (work.lock, work.control, temporary(staging), staging, work.infrastructure):
        with suppress(OSError):
            fs.remove(path)


def _leave_nothing(target: Target, refusal: TierctlError, *, is_new: bool) -> None:
    """Remove what a refused bootstrap has made, the target too if it is new.

    What cannot be removed is named in the refusal: in a directory like /tmp only
    the owner of something can remove it, and on some servers that is not who made it.
    """
    _drop(target.fs, Layout(target.half_built))
    if not is_new:
        return
    try:
        target.fs.remove(target.top)
    except FileNotFoundError:
        pass
    except OSError as error:
        refusal.hint += (
            f"\nAn empty directory is left, which could not be removed: {cause_of(error)}"
        )


def _build(target: Target, work: Layout, maker: _Maker, author: Author) -> Event:
    recorded = Config(None if maker.group is None else maker.group.name)
    maker.file(work.config, policy.render(recorded))
    maker.directories(work.deployments)
    built = emptytier.build(target, work, author, maker.group)
    for color in Color:
        maker.link(work.within(color), INITIAL.content(color).directory)
    maker.link(work.within(STAGING), INITIAL.staging)
    maker.link(work.within(PRODUCTION), Color.GREEN)
    with suppress(FileNotFoundError):  # a killed one had built another empty tier
        target.fs.remove(work.history)
    event = new_event(EventKind.BOOTSTRAP, author, None, INITIAL, Past(), built=built)
    history.append(Target(target.fs, work), event)
    return event


def _failure(target: Target, group: Group | None, error: OSError) -> TierctlError:
    is_begun = exists(target.fs, target.half_built)
    refusal = suitability.refusal(target, group, error)
    if refusal is not None and (group is not None or not is_begun):
        return refusal
    left = "before anything was built"
    if is_begun:
        left = f"half way, what is built is in {shown(target.half_built)}"
    return ChangeUnfinished("bootstrap", f"stopped {left}", cause_of(error))


def _make_durable(target: Target) -> None:
    try:
        target.fs.sync(target.top)
        target.fs.sync(paths.dirname(target.top))
    except OSError as error:
        raise TierctlError(
            f"bootstrap: finished, not yet durable: {cause_of(error)}",
            "Before it is used, see whether all is there:",
            f"doctor --target {typed(target.top)}",
        ) from error


def _require_absent(target: Target) -> None:
    if exists(target.fs, target.infrastructure):
        raise Exists(
            f"{shown(target.infrastructure)} already exists",
            "Choose another directory; or, if that is the target, look at it:",
            f"status --target {typed(target.top)}",
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
            hint = "It is a symlink that leads nowhere: fix or remove it."
        raise InvalidTargetPath(f"there is no directory {shown(place)}", hint) from error
    except OSError as error:
        raise InvalidTargetPath(f"there is no directory: {cause_of(error)}", hint) from error
    if kind is not Kind.DIRECTORY:
        raise InvalidTargetPath(f"{shown(place)} is not a directory", hint)


def _require_own(fs: FileSystem, half_built: str, group: Group | None) -> None:
    """Raise ``Untrusted`` if what a bootstrap would go on with may be somebody else's work."""
    hint = f"Look at it; if no bootstrap is running: {removal_of(half_built)}"
    names = (STAGING, temporary(STAGING), PRODUCTION, BLUE, GREEN)
    kinds = dict.fromkeys(map(Layout(half_built).within, names), (Kind.LINK,))
    kinds[half_built] = (Kind.DIRECTORY,)
    for path, entry in _tree(fs, half_built):
        reason = _why_not_own(entry, group)
        if entry.kind not in kinds.get(path, (Kind.DIRECTORY, Kind.FILE)):
            reason = f"is a {entry.kind.value}"
        if reason:
            raise Untrusted(path, reason, hint)


def removal_of(half_built: str) -> str:
    """Return what one types to remove what a bootstrap left; a sealed deployment can be in it."""
    return f"chmod -R u+w {typed(half_built)} && rm -r {typed(half_built)}"


def _why_not_own(entry: Entry, group: Group | None) -> str:
    if entry.uid != os.geteuid():
        return f"belongs to {owners.user(entry.uid)}: only they can finish that bootstrap"
    if entry.kind is Kind.LINK:  # its mode means nothing
        return ""
    if entry.others_write:
        return "can be written by everybody"
    if entry.group_writes and (group is None or entry.gid != group.gid):
        return f"can be written by the group {shown(group_name(entry.gid))}"
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
        self._mode = store.directory_mode(shared=group is not None)
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
            mode = self._mode_of(path, entry, Layout(top))
            if entry.mode != mode or self._gid not in (None, entry.gid):
                self._fs.set_mode(path, mode, group=self._gid)
            if entry.kind is Kind.DIRECTORY:
                self._fs.sync(path)

    def _mode_of(self, path: str, entry: Entry, work: Layout) -> int:
        """Return the mode that something gets; a deployment is sealed, and stays so."""
        if path.startswith(f"{work.deployments}/"):
            return entry.mode
        if path == work.lock:
            return self._file_mode & (~0o007 if self.group else ~0o077)
        return self._mode if entry.kind is Kind.DIRECTORY else self._file_mode

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
