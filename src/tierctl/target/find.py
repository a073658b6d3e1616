"""Which target is meant: ``--target``, else ``IAC_TIER_DIR``, else the nearest ``tierctl.toml``."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from os import path as paths

from tierctl.errors import (
    AmbiguousTarget,
    BadFile,
    NoTarget,
    NotATarget,
    TierctlError,
    Untrusted,
)
from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import Entry, Kind, entry_of
from tierctl.rotation.names import CONTROL, DEPLOYMENTS, INFRASTRUCTURE, LINKS
from tierctl.target import owners, trust
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.text import shown, typed

TIER_DIR = "IAC_TIER_DIR"
DEFINITIONS = "tierctl.toml"
_LARGEST_BYTES = 1 << 20


def find(
    given: str | None, environment: Mapping[str, str], definitions: str | None = None
) -> Layout:
    """Return the layout of the target that is meant.

    ``tierctl.toml`` is looked for from the absolute path ``definitions``
    upwards, by default from the working directory.

    Raises ``NoTarget``, ``NotATarget`` or ``AmbiguousTarget`` where nothing
    says which, where there is none, and where two are named; ``BadFile`` or
    ``Untrusted`` if a ``tierctl.toml`` is in the way.
    """
    if given == "":
        raise NotATarget("--target", given, "is empty")
    if given is not None:
        return _of_target("--target", absolute(given, environment))
    loaded = _of_environment(environment)
    file = nearest_definitions(environment, definitions)
    configured = None if file is None else _of_definitions(file, loaded)
    if loaded is not None and configured is not None and not _same(loaded, configured):
        raise AmbiguousTarget(loaded.top, configured.top)
    found = loaded or configured
    if found is None:
        definitions = "no tierctl.toml was found" if file is None else f"{shown(file)} names none"
        raise NoTarget("empty" if TIER_DIR in environment else "not set", definitions)
    return found


def absolute(path: str, environment: Mapping[str, str]) -> str:
    """Return a path as it was given, made absolute but not resolved.

    Only where ``..`` follows a symlink, which leads out of another directory
    than the one it is in, is the symlink resolved.
    """
    if not paths.isabs(path):
        path = paths.join(working_directory(environment), path)
    place = "/"
    for name in path.split("/"):
        if name == "..":
            place = paths.dirname(paths.realpath(place) if paths.islink(place) else place)
        elif name not in ("", "."):
            place = paths.join(place, name)
    return place


def working_directory(environment: Mapping[str, str]) -> str:
    """Return the working directory as the shell spells it, symlinks and all.

    Raises ``NotATarget`` if it has been removed, or cannot be told.
    """
    spelled = environment.get("PWD", "")
    with suppress(OSError):
        if paths.isabs(spelled) and paths.samefile(spelled, "."):
            return spelled
    try:
        return os.getcwd()
    except OSError as error:  # ENOENT; ESTALE on NFS; EACCES above it
        gone = isinstance(error, FileNotFoundError)
        reason = "has been removed" if gone else f"cannot be used: {error.strerror}"
        hint = "Change to another one: cd"
        raise NotATarget("the working directory", spelled, reason, hint) from error


def _of_environment(environment: Mapping[str, str]) -> Layout | None:
    tier = environment.get(TIER_DIR, "")
    if not tier:
        return None
    if not paths.isabs(tier):
        raise NotATarget(TIER_DIR, tier, "is not an absolute path")
    for spelling in (paths.normpath(tier), paths.realpath(tier)):
        infrastructure = paths.dirname(spelling)
        if paths.basename(infrastructure) == DEPLOYMENTS:
            infrastructure = paths.dirname(infrastructure)
        if _is_infrastructure(infrastructure):
            return Layout(infrastructure)
    if not paths.lexists(tier):
        hint = "Load a tier again (source .../production/etc/profile.sh), or give --target DIR."
        raise NotATarget(TIER_DIR, tier, "is gone", hint)
    raise NotATarget(TIER_DIR, tier, "is not in an infrastructure")


def _of_target(source: str, target: str) -> Layout:
    layout = Layout.of_target(target)
    if _is_infrastructure(layout.infrastructure):
        return layout
    if _is_infrastructure(target):
        named = paths.basename(target) == INFRASTRUCTURE
        hint = f"Try: --target {typed(paths.dirname(target if named else paths.realpath(target)))}"
        raise NotATarget(source, target, "is an infrastructure: its parent is the target", hint)
    if not paths.lexists(target):
        raise NotATarget(source, target, "does not exist")
    if not paths.isdir(target):
        raise NotATarget(source, target, "is not a directory")
    raise NotATarget(source, target, f"holds no {INFRASTRUCTURE}")


def _is_infrastructure(directory: str) -> bool:
    return any(paths.lexists(paths.join(directory, name)) for name in (*LINKS, CONTROL))


def _same(one: Layout, other: Layout) -> bool:
    return paths.samefile(one.infrastructure, other.infrastructure)


def nearest_definitions(environment: Mapping[str, str], start: str | None = None) -> str | None:
    """Return the nearest ``tierctl.toml`` upwards, by default from the working directory."""
    try:
        directory = start or working_directory(environment)
    except NotATarget:  # there is none, and with it goes what was in it
        return None
    while True:
        file = paths.join(directory, DEFINITIONS)
        if paths.lexists(file):
            return file
        if directory == (parent := paths.dirname(directory)):
            return None
        directory = parent


def is_own(file: str) -> bool:
    """Say whether a file is root's or the caller's."""
    try:
        return os.stat(file).st_uid in (0, os.geteuid())
    except OSError:
        return False


def _of_definitions(file: str, loaded: Layout | None) -> Layout | None:
    """Return the target that a ``tierctl.toml`` names, if it names one.

    Once a tier is loaded, a file of somebody whom its target does not trust is passed over:
    anybody can leave one in a directory above.
    """
    try:
        found, data = _read(file)
    except (OSError, Untrusted):
        if loaded is not None:
            return None
        raise
    why_not = _why_not_own(found)
    if why_not and loaded is not None and not _trusts(loaded, file, found):
        return None
    target = _named_target(file, data)
    if target is None:
        return None
    path = absolute(paths.join(paths.dirname(file), target), {})
    if why_not and loaded is None and not _vouches(path, file, found):
        raise Untrusted(
            file,
            why_not,
            f"Others can name a target of theirs there. It names {shown(path)}: if that is the "
            f"one you mean, load one of its tiers, or say so: --target {typed(path)}",
        )
    return _of_target(shown(file), path)


def _why_not_own(found: Entry) -> str:
    """Say why a file may not be root's or the caller's work; empty if it is."""
    if found.uid not in (0, os.geteuid()):
        return f"belongs to {owners.user(found.uid)}"
    return "can be written by everybody" if found.others_write else ""


def _trusts(layout: Layout, file: str, found: Entry) -> bool:
    """Say whether a target trusts whoever wrote a file; root trusts root alone."""
    if os.geteuid() == 0:
        return False
    try:
        trust.require_trusted(Target(OsFileSystem(), layout), file, found)
    except (OSError, TierctlError):
        return False
    return True


def _vouches(target: str, file: str, found: Entry) -> bool:
    """Say whether a target that only root or the caller can have made trusts a file's writer.

    Another owner of the target would not do: whoever lays a trap owns both.
    """
    layout = Layout.of_target(target)
    try:
        owners = {os.stat(path).st_uid for path in (layout.top, layout.infrastructure)}
    except OSError:
        return False
    return owners <= {0, os.geteuid()} and _trusts(layout, file, found)


def _named_target(file: str, data: bytes) -> str | None:
    import tomllib

    try:
        target = tomllib.loads(data.decode()).get("target")
    except (ValueError, RecursionError) as error:
        raise BadFile(file, f"no valid TOML: {error}") from error
    if target is not None and not (isinstance(target, str) and target):
        raise BadFile(file, "target has to be a path in quotes")
    return target


def _read(file: str) -> tuple[Entry, bytes]:
    """Return a file of the right kind, and what it is; raises ``Untrusted`` for any other kind."""
    hint = "Remove it, or go on without it: --target DIR"
    link = os.lstat(file)
    if stat.S_ISLNK(link.st_mode) and link.st_uid not in (0, os.geteuid()):
        raise Untrusted(file, f"is a symlink of {owners.user(link.st_uid)}", hint)
    # O_NONBLOCK: opening a FIFO that somebody left here must not hang.
    with open(os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as stream:
        found = entry_of(os.fstat(stream.fileno()))
        if found.kind is not Kind.FILE:
            raise Untrusted(file, "is not a file", hint)
        data = stream.read(_LARGEST_BYTES + 1)
    if len(data) > _LARGEST_BYTES:
        raise BadFile(file, "is too large to be one")
    return found, data
