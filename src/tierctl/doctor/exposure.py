"""What others than those who may change the target could change in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from tierctl.doctor.finding import Finding, note, problem
from tierctl.fs.protocol import Entry, FileSystem, Kind
from tierctl.rotation.names import BLUE, GREEN, PRODUCTION, STAGING
from tierctl.target import tiers
from tierctl.target.owners import trusted_owners
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import user_name
from tierctl.text import shown, typed

SUBJECT = "permissions"
# What a login reads of a tier, or finds commands in.
_LOADED = ("", "/bin", "/etc", "/etc/profile.d")
_MOST_NAMES = 3


def examine(target: Target) -> Iterator[Finding]:
    """Yield what everybody may write to, and what belongs to somebody else."""
    yield from _open_to_everybody(target)
    yield from _of_strangers(target)


def directories(fs: FileSystem, *paths: str) -> Iterator[tuple[str, Entry]]:
    """Yield those of the paths that are directories, each directory once."""
    seen: list[Entry] = []
    for path in paths:
        try:
            entry = fs.entry(path, follow=True)
        except OSError:  # missing, dangling or a loop
            continue
        if entry.kind is Kind.DIRECTORY and not any(map(entry.is_same, seen)):
            seen.append(entry)
            yield path, entry


def shared_paths(layout: Layout) -> tuple[str, ...]:
    """Return the directories in which every member of the target's group makes things."""
    return layout.infrastructure, layout.control, layout.deployments, layout.cache


def _open_to_everybody(target: Target) -> Iterator[Finding]:
    loaded = [tier + below for tier in _loadable(target) for below in _LOADED]
    for path, entry in directories(target.fs, target.top, *shared_paths(target), *loaded):
        if entry.others_write:
            yield _open(shown(path), typed(path))
        if path.endswith(("/etc", "/etc/profile.d")):
            yield from _open_files(target.fs, path)


def _loadable(target: Target) -> list[str]:
    names: list[str] = []
    with suppress(OSError):  # the links have their own finding
        names = tiers.names(target)
    return [target.within(name) for name in names if name not in (PRODUCTION, STAGING)]


def _open_files(fs: FileSystem, directory: str) -> Iterator[Finding]:
    names: list[str] = []
    with suppress(OSError):  # who may not look cannot tell
        names = [name for name in fs.names(directory) if _is_open(fs, f"{directory}/{name}")]
    if names:
        few = ", ".join(map(shown, names[:_MOST_NAMES]))
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        yield _open(f"files in {shown(directory)}: {few}{more}", f"{typed(directory)}/*")


def _is_open(fs: FileSystem, path: str) -> bool:
    try:
        entry = fs.entry(path, follow=True)
    except OSError:
        return False
    return entry.kind is Kind.FILE and entry.others_write


def _open(what: str, to_mend: str) -> Finding:
    return problem(
        SUBJECT,
        f"everybody may write to {what}",
        "Anybody on this system can replace what everybody loads.",
        f"chmod o-w {to_mend}",
    )


def _of_strangers(target: Target) -> Iterator[Finding]:
    top = target.fs.entry(target.infrastructure, follow=True)
    owners = trusted_owners(target)
    colors = target.within(BLUE), target.within(GREEN)
    for path, entry in directories(target.fs, target.control, target.deployments, *colors):
        if entry.uid in owners or (top.group_writes and entry.gid == top.gid):
            continue
        text = f"{shown(path)} belongs to {user_name(entry.uid)}"
        advice = f"If that is not meant: chown {user_name(top.uid)} {typed(path)}"
        if path == target.control:
            meaning = "They can replace the records, which decide what a change does."
            yield problem(SUBJECT, text, meaning, advice)
        else:
            yield note(SUBJECT, text, "They can replace what everybody loads.", advice)
