"""What stands in ``deployments``: builds that were finished or were not, and what is none."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import NamedTuple

from tierctl.deploy import numbering
from tierctl.doctor.finding import Finding, Remedy, note, problem
from tierctl.errors import cause_of
from tierctl.fs.protocol import Kind, exists
from tierctl.rotation.names import DEPLOYMENTS, is_deployment_number
from tierctl.target.target import Target
from tierctl.text import shown, typed

SUBJECT = "links"
LEFTOVERS = "leftovers"


class Deployments(NamedTuple):
    """The numbers in use, newest first; ``closed`` says why one cannot be looked into."""

    finished: list[int]
    unfinished: list[int]
    closed: dict[int, str]
    impostors: dict[int, Kind]


def look(target: Target) -> Deployments:
    """Return the deployments; one that cannot be looked into hides none of the others."""
    found = Deployments([], [], {}, {})
    names = target.fs.names(target.deployments) if exists(target.fs, target.deployments) else []
    for number in sorted(map(int, filter(is_deployment_number, names)), reverse=True):
        directory = f"{DEPLOYMENTS}/{number}"
        kind = target.fs.entry(target.within(directory)).kind
        if kind is not Kind.DIRECTORY:
            found.impostors[number] = kind
            continue
        try:
            whole = exists(target.fs, target.deployment_record(directory))
            (found.finished if whole else found.unfinished).append(number)
        except OSError as error:
            found.closed[number] = cause_of(error)
    return found


def abandoned(target: Target) -> Iterator[Finding]:
    """Yield a finding if interrupted deploys left something."""
    owners: dict[int, str | None] = {}
    for number in numbering.abandoned(target):
        owner = numbering.owner(target, number)
        if not exists(target.fs, target.deployment_record(f"{DEPLOYMENTS}/{number}")):
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


def examine(target: Target, told_of: Container[int | None]) -> Iterator[Finding]:
    """Yield what there is to say of those that no tier shows."""
    found = look(target)
    interrupted = numbering.abandoned(target)
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
        path = target.within(f"{DEPLOYMENTS}/{number}")
        yield note(
            SUBJECT,
            f"{shown(path)} is a {kind.value}, not a directory",
            "It is no deployment, and no color can show it.",
            f"If nobody needs it: rm {typed(path)}",
        )
