"""What is wrong with a target, what its filesystem guarantees, and what can be repaired."""

from __future__ import annotations

from tierctl.doctor import clock, guarantee, leftovers, links, permissions, records
from tierctl.doctor.finding import Finding, Remedy, Severity, problem
from tierctl.errors import TierctlError, cause_of
from tierctl.filesystem import FileSystem
from tierctl.layout import Layout

__all__ = ["Finding", "Remedy", "Severity", "diagnose"]

_EXAMINATIONS = {
    "links": links.examine,
    "permissions": permissions.examine,
    "records": records.examine,
    "leftovers": leftovers.examine,
    "guarantee": guarantee.examine,
    "clock": clock.examine,
}


def diagnose(fs: FileSystem, layout: Layout) -> list[Finding]:
    """Return what there is to say of a target, whatever state it is in."""
    findings: list[Finding] = []
    for subject, examine in _EXAMINATIONS.items():
        try:
            findings.extend(examine(fs, layout))
        except TierctlError as error:
            findings.append(problem(subject, error.message, advice=error.hint))
        except OSError as error:
            findings.append(problem(subject, cause_of(error)))
    return findings
