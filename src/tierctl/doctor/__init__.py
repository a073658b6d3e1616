"""What is wrong with a target, what its filesystem guarantees, and what can be repaired."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from tierctl.doctor import (
    clock,
    confinement,
    guarantee,
    leftovers,
    links,
    mount,
    moved,
    permissions,
    records,
    scratch,
    wholeness,
)
from tierctl.doctor.finding import Finding, Remedy, Severity, problem
from tierctl.errors import TierctlError, Untrusted, cause_of
from tierctl.journal import freshness, store
from tierctl.target.target import Target

__all__ = ["Finding", "Remedy", "Severity", "diagnose"]

_LOOK_AGAIN = ("Fix that, then look again:", "doctor")


def diagnose(target: Target, *, probe: bool = True) -> list[Finding]:
    """Return what there is to say of a target, whatever state it is in.

    Unless told not to ``probe``, it tries out in a scratch directory what the
    filesystem can do; otherwise it writes nothing.
    """
    freshness.refresh_by_reading(target)
    if mount.hides_links(target):  # to move what looks like a directory would move the link
        return list(mount.examine(target))
    findings: list[Finding] = []
    for subject, examine in _examinations(probe=probe):
        try:
            if subject != links.SUBJECT:
                store.require_directory(target.fs, target.control)
            findings.extend(examine(target))
        except (TierctlError, OSError) as error:
            findings.append(_finding_of(target, subject, error))
    return list(dict.fromkeys(findings))  # one thing can stand in the way of several


def _examinations(*, probe: bool) -> list[tuple[str, Callable[[Target], Iterator[Finding]]]]:
    return [
        (links.SUBJECT, links.examine),
        (moved.SUBJECT, moved.examine),
        (permissions.SUBJECT, permissions.examine),
        (records.SUBJECT, records.examine),
        (wholeness.SUBJECT, wholeness.examine),
        (leftovers.SUBJECT, leftovers.examine),
        (scratch.SUBJECT, partial(guarantee.examine, probe=probe)),
        (confinement.SUBJECT, confinement.examine),
        (clock.SUBJECT, partial(clock.examine, probe=probe)),
    ]


def _finding_of(target: Target, subject: str, error: TierctlError | OSError) -> Finding:
    match error:
        case Untrusted():  # its hint is to run doctor
            return permissions.untrusted(target, error)
        case TierctlError():
            advice = (error.hint, error.command) if error.hint else _LOOK_AGAIN
            return problem(subject, error.message, "", *advice)
        case OSError():
            return problem(subject, cause_of(error), "", *_LOOK_AGAIN)
