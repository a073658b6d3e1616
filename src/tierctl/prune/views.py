"""Under which paths processes see a directory: bind mounts and namespaces show it elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from os import path as paths

from tierctl.fs import mounts
from tierctl.fs.mounts import Shown

_OWN = "/proc/self/mountinfo"


class View:
    """How the processes of one namespace see some directories, by its table of mounts.

    Only the table is looked at, never what is mounted: a server that does not
    answer holds nobody up. ``mounted`` is what of the directories is mounted by
    itself, by its own path: where.
    """

    def __init__(self, directories: Collection[str], table: str = _OWN) -> None:
        self._seen: dict[str, str] = {}
        self.mounted: dict[str, str] = {}
        shown = mounts.table(table)
        for directory in directories:
            real = paths.realpath(directory)
            # The kernel tells resolved paths; an environment may have them as they were given.
            self._seen |= {real: directory, directory: directory}
            place = mounts.shown_at(real)
            if place is not None:
                self._look(directory, place, shown)

    def own(self, path: str) -> Iterator[str]:
        """Yield the own paths of what a process sees at a path, if it is in a directory."""
        for seen, directory in self._seen.items():
            if path == seen or path.startswith(f"{seen}/"):
                yield directory + path[len(seen) :]

    def _look(self, directory: str, place: Shown, table: Collection[Shown]) -> None:
        """Find where a directory, or part of it, is seen; it is ``place`` itself."""
        for mount in table:
            if mount.device != place.device:
                continue
            if (below := _below(place.root, mount.root)) is not None:
                self._seen[f"{mount.point.rstrip('/')}{below}"] = directory
            elif (below := _below(mount.root, place.root)) is not None:
                self._seen[mount.point] = f"{directory}{below}"
                self.mounted[f"{directory}{below}"] = mount.point


def _below(path: str, top: str) -> str | None:
    """Return what of a path comes below a directory, None if it is not in there."""
    top = top.rstrip("/")
    return path[len(top) :] if path == top or path.startswith(f"{top}/") else None
