"""The names of a target: its tiers and its deployments."""

from __future__ import annotations

import errno

from tierctl import record
from tierctl.errors import NoSuchTier
from tierctl.filesystem import Entry, FileSystem, Kind, exists
from tierctl.layout import DEPLOYMENTS, LINKS, PRIVATE, Layout, is_deployment_number
from tierctl.rotation import Content
from tierctl.text import shown


def is_tier_name(name: str) -> bool:
    """Say whether a tier may have this name."""
    return name in LINKS or (name.startswith(PRIVATE) and "/" not in name)


def require(fs: FileSystem, layout: Layout, name: str) -> None:
    """Raise ``NoSuchTier`` unless there is a tier of this name, be it a damaged one."""
    if not is_tier_name(name) or not _is_there(fs, layout, name):
        raise NoSuchTier(
            f"there is no tier {shown(name)} in {shown(layout.infrastructure)}",
            f"There are: {', '.join(map(shown, names(fs, layout)))}",
        )


def names(fs: FileSystem, layout: Layout) -> list[str]:
    """Return the tiers that exist: production, staging, the colors, then private ones."""
    found = fs.names(layout.infrastructure)
    private = [name for name in found if name.startswith(PRIVATE) and _is_there(fs, layout, name)]
    return [name for name in LINKS if name in found] + private


def _is_there(fs: FileSystem, layout: Layout, name: str) -> bool:
    """Say whether a tier is there, damaged or not; a file named like a private one is none."""
    path = layout.within(name)
    if name in LINKS or not exists(fs, path):
        return exists(fs, path)
    return fs.entry(path).kind in (Kind.LINK, Kind.DIRECTORY)


def showing(fs: FileSystem, layout: Layout, content: Content) -> list[str]:
    """Return the tiers that lead to a content, as ``names`` orders them; raises ``OSError``."""
    place = fs.entry(layout.within(content.directory))
    return [name for name in names(fs, layout) if _leads_to(fs, layout.within(name), place)]


def _leads_to(fs: FileSystem, path: str, place: Entry) -> bool:
    try:
        return fs.entry(path, follow=True).is_same(place)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return False


def deployments(fs: FileSystem, layout: Layout, *, finished: bool) -> list[int]:
    """Return the numbers of the deployments that were finished, or were not; newest first."""
    try:
        found = filter(is_deployment_number, fs.names(layout.deployments))
    except FileNotFoundError:
        return []
    return [
        number
        for number in sorted(map(int, found), reverse=True)
        if fs.entry(layout.within(f"{DEPLOYMENTS}/{number}")).kind is Kind.DIRECTORY
        and _is_finished(fs, layout, number) is finished
    ]


def _is_finished(fs: FileSystem, layout: Layout, number: int) -> bool:
    """Say whether a build is known to be whole: one that the caller may not look into is not."""
    try:
        return record.is_finished(fs, layout, f"{DEPLOYMENTS}/{number}")
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.ELOOP):
            raise
        return False
