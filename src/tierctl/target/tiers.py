"""The names of a target: its tiers and its deployments."""

from __future__ import annotations

import errno

from tierctl.errors import NoSuchTier
from tierctl.fs.protocol import Entry, FileSystem, Kind, exists
from tierctl.rotation.names import DEPLOYMENTS, LINKS, PRIVATE, is_deployment_number
from tierctl.rotation.state import Content
from tierctl.target import record
from tierctl.target.target import Target
from tierctl.text import shown


def is_tier_name(name: str) -> bool:
    """Say whether a tier may have this name."""
    return name in LINKS or (name.startswith(PRIVATE) and "/" not in name)


def require(target: Target, name: str) -> None:
    """Raise ``NoSuchTier`` unless there is a tier of this name, be it a damaged one."""
    if not is_tier_name(name) or not _is_there(target, name):
        raise NoSuchTier(
            f"there is no tier {shown(name)} in {shown(target.infrastructure)}",
            f"There are: {', '.join(map(shown, names(target)))}",
        )


def names(target: Target) -> list[str]:
    """Return the tiers that exist: production, staging, the colors, then private ones."""
    found = target.fs.names(target.infrastructure)
    private = [name for name in found if name.startswith(PRIVATE) and _is_there(target, name)]
    return [name for name in LINKS if name in found] + private


def _is_there(target: Target, name: str) -> bool:
    """Say whether a tier is there, damaged or not; a file named like a private one is none."""
    path = target.within(name)
    if name in LINKS or not exists(target.fs, path):
        return exists(target.fs, path)
    return target.fs.entry(path).kind in (Kind.LINK, Kind.DIRECTORY)


def showing(target: Target, content: Content) -> list[str]:
    """Return the tiers that lead to a content, as ``names`` orders them; raises ``OSError``."""
    place = target.fs.entry(target.within(content.directory))
    return [name for name in names(target) if _leads_to(target.fs, target.within(name), place)]


def _leads_to(fs: FileSystem, path: str, place: Entry) -> bool:
    try:
        return fs.entry(path, follow=True).is_same(place)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return False


def deployments(target: Target, *, finished: bool) -> list[int]:
    """Return the numbers of the deployments that were finished, or were not; newest first."""
    try:
        found = filter(is_deployment_number, target.fs.names(target.deployments))
    except FileNotFoundError:
        return []
    return [
        number
        for number in sorted(map(int, found), reverse=True)
        if target.fs.entry(target.within(f"{DEPLOYMENTS}/{number}")).kind is Kind.DIRECTORY
        and _is_finished(target, number) is finished
    ]


def _is_finished(target: Target, number: int) -> bool:
    """Say whether a build is known to be whole: one that the caller may not look into is not."""
    try:
        return record.is_finished(target, f"{DEPLOYMENTS}/{number}")
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.ELOOP):
            raise
        return False
