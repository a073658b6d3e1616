"""Removing trees one by one: an error of one keeps no other from going."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tierctl.deploy import numbering
from tierctl.errors import TierctlError, cause_of
from tierctl.fs import tree
from tierctl.fs.protocol import exists
from tierctl.prune import processes
from tierctl.rotation.names import is_deployment_number
from tierctl.target.target import Target


class Left(NamedTuple):
    """A tree that has lost its name but is still in use; ``used_by`` is empty if nobody is seen."""

    path: str
    used_by: str


class NotRemoved(TierctlError):
    """Something that nobody needs could not be removed."""

    code = "not-removed"

    def __init__(self, errors: Iterable[OSError]) -> None:
        causes = "\n".join(dict.fromkeys(f"  {cause_of(error)}" for error in errors))
        super().__init__(
            f"not everything could be removed:\n{causes}",
            "Fix the cause above and run the command again: it removes the rest.",
        )


class Remover:
    """Removes trees, and keeps account of what that frees and of what stands in the way."""

    def __init__(self) -> None:
        self.freed = 0
        self.errors: list[OSError] = []
        self._retired: list[str] = []
        self._busy: list[str] = []

    def retire(self, path: str, place: str = "") -> OSError | None:
        """Take the name from a tree, see ``tree.retire``; return the error if that fails."""
        try:
            self._retired.append(tree.retire(path, place))
        except OSError as error:
            self.errors.append(error)
            return error
        return None

    def retire_unfinished(self, target: Target) -> None:
        """Take the names from what the caller's interrupted builds left; see ``numbering``."""
        try:
            for going in numbering.retire_unfinished(target).values():
                self._retired += going
        except OSError as error:
            self.errors.append(error)

    def remove_retired(self, before: Iterable[str]) -> None:
        """Remove what lost its name here, and what the caller owns of ``before``."""
        going = dict.fromkeys((*self._retired, *filter(self.is_own, before)))
        size = tree.own_bytes(going)
        for path in going:
            self._remove(path)
        self.freed = max(0, size - tree.own_bytes(going))

    def _remove(self, path: str) -> None:
        """Remove a tree as far as it goes."""
        try:
            tree.take_apart(path)
        except OSError as error:
            if tree.is_busy(error):
                self._busy.append(path)
            else:
                self.errors.append(error)

    def left(self) -> tuple[Left, ...]:
        """Return what is in use, and by whom."""
        return in_use(self._busy)

    def is_own(self, path: str) -> bool:
        """Say whether the caller can remove a tree; an error is one that is told."""
        try:
            return tree.is_own(path)
        except OSError as error:
            self.errors.append(error)
            return False


def in_use(trees: list[str]) -> tuple[Left, ...]:
    """Return trees that have lost their names, each with who uses it."""
    users = processes.users(trees)
    return tuple(Left(path, users.get(path, "")) for path in trees)


def retired(target: Target) -> Iterator[str]:
    """Yield the deployments and cached packages that have lost their names and are not gone yet."""
    for directory in (target.deployments, target.cache):
        for name in target.fs.names(directory) if exists(target.fs, directory) else []:
            is_one = directory == target.cache or is_deployment_number(tree.name_before(name))
            if tree.is_going(name) and is_one:
                yield f"{directory}/{name}"
