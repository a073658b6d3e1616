"""What stands in ``deployments``: builds that were finished or were not, and what is none."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import NamedTuple

from tierctl.deploy import numbering
from tierctl.doctor.finding import Finding, Remedy, note, problem
from tierctl.errors import cause_of
from tierctl.filesystem import FileSystem, Kind, exists
from tierctl.layout import DEPLOYMENTS, Layout, is_deployment_number
from tierctl.text import shown, typed

SUBJECT = "links"
LEFTOVERS = "leftovers"


class Deployments(NamedTuple):
    """The numbers in use, newest first; ``closed`` says why one cannot be looked into."""

    finished: list[int]
    unfinished: list[int]
    closed: dict[int, str]
    impostors: dict[int, Kind]


def look(fs: FileSystem, layout: Layout) -> Deployments:
    """Return the deployments; one that cannot be looked into hides none of the others."""
    found = Deployments([], [], {}, {})
    names = fs.names(layout.deployments) if exists(fs, layout.deployments) else []
    for number in sorted(map(int, filter(is_deployment_number, names)), reverse=True):
        directory = f"{DEPLOYMENTS}/{number}"
        kind = fs.entry(layout.within(directory)).kind
        if kind is not Kind.DIRECTORY:
            found.impostors[number] = kind
            continue
        try:
            whole = exists(fs, layout.deployment_record(directory))
            (found.finished if whole else found.unfinished).append(number)
        except OSError as error:
            found.closed[number] = cause_of(error)
    return found


def abandoned(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    """Yield a finding if interrupted deploys left something."""
    owners: dict[int, str | None] = {}
    for number in numbering.abandoned(fs, layout):
        owner = numbering.owner(fs, layout, number)
        if not exists(fs, layout.deployment_record(f"{DEPLOYMENTS}/{number}")):
            owners[number] = owner
        elif owner is None:
            yield note(
                LEFTOVERS,
                f"deployment {number} is finished, and the lock of its build is left",
                "It is in nobody's way: the next deploy removes it.",
                remedy=Remedy.REMOVE_BUILDS,
            )
    mine = [number for number, owner in owners.items() if owner is None]
    if mine:
        yield problem(
            LEFTOVERS,
            f"an interrupted deploy left: deployment {', '.join(map(str, mine))}",
            "It is in nobody's way: the next deploy removes it.",
            remedy=Remedy.REMOVE_BUILDS,
        )
    for number, owner in owners.items():
        if owner is not None:
            yield note(
                LEFTOVERS,
                f"an interrupted deploy of {shown(owner)} left: deployment {number}",
                "It is in nobody's way, and takes up room.",
                f"{shown(owner)} or root removes it with:",
                "prune",
            )


def examine(fs: FileSystem, layout: Layout, told_of: Container[int | None]) -> Iterator[Finding]:
    """Yield what there is to say of those that no tier shows."""
    found = look(fs, layout)
    interrupted = numbering.abandoned(fs, layout)
    unfinished = [n for n in found.unfinished if n not in told_of and n not in interrupted]
    if unfinished:
        yield note(
            SUBJECT,
            f"unfinished deployments: {', '.join(map(str, unfinished))}",
            "They are being built, or were made by hand.",
        )
    for number, cause in found.closed.items():
        if number not in told_of:
            yield note(SUBJECT, f"deployment {number} cannot be looked into: {cause}")
    for number, kind in found.impostors.items():
        path = layout.within(f"{DEPLOYMENTS}/{number}")
        yield note(
            SUBJECT,
            f"{shown(path)} is a {kind.value}, not a directory",
            "It is no deployment, and no color can show it.",
            f"If nobody needs it: rm {typed(path)}",
        )
