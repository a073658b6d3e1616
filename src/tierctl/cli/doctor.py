"""``tierctl doctor``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from tierctl import author, doctor
from tierctl.cli import options, values
from tierctl.cli.changing import Teller
from tierctl.cli.commands import COMMANDS
from tierctl.cli.output import EXIT_FAILED, Call, result, say
from tierctl.doctor import Finding, Severity, repairs
from tierctl.filesystem import OsFileSystem

if TYPE_CHECKING:
    from tierctl.layout import Layout


@click.command("doctor", short_help=COMMANDS["doctor"])
@options.target
@click.option("--fix", is_flag=True, help="Repair what is safe to repair, then look again.")
@options.dry_run
@options.lock_timeout
@options.json
@options.show_help
@click.pass_obj
def command(call: Call, target: str | None, fix: bool, dry_run: bool, lock_timeout: float) -> int:
    """Say what is wrong with a target, and what its filesystem guarantees.

    Exits with 1 if something is wrong. --fix finishes or drops an interrupted
    change, cuts off a torn line of history, removes leftovers, and mends modes
    and groups. It touches no link but those of the change that it finishes.
    """
    layout, fs = values.find_target(target), OsFileSystem()
    findings = doctor.diagnose(fs, layout)
    remedies = [finding.remedy for finding in findings if finding.remedy is not None]
    if fix and remedies and dry_run:
        say("Dry run: nothing was repaired. It would " + ", ".join(r.value for r in remedies))
    elif fix and remedies:
        _repair(call, layout, lock_timeout)
        findings = doctor.diagnose(fs, layout)
    healthy = all(finding.severity is not Severity.PROBLEM for finding in findings)
    if call.json:
        call.document(ok=healthy, findings=[_members(finding) for finding in findings])
    else:
        result("\n".join(line for finding in findings for line in _lines(finding)))
    return 0 if healthy else EXIT_FAILED


def _repair(call: Call, layout: Layout, lock_timeout: float) -> None:
    who, teller = author.current(os.environ), Teller(call, dry_run=False)
    done = repairs.repair(OsFileSystem(), layout, who, teller, lock_timeout=lock_timeout)
    call.facts["repairs"] = [{"text": repair.text, "done": repair.done} for repair in done]
    for repair in done:
        say(repair.text if repair.done else f"Warning: {repair.text}")


def _members(finding: Finding) -> dict[str, Any]:
    return {
        "severity": finding.severity.value,
        "subject": finding.subject,
        "text": finding.text,
        "meaning": finding.meaning or None,
        "advice": finding.advice or None,
    }


def _lines(finding: Finding) -> list[str]:
    """Return a finding as text: what is so, then what it means and what to do about it."""
    first, *rest = finding.text.split("\n")
    more = [*rest, *filter(None, (finding.meaning, finding.advice))]
    margin = " " * 9
    return [f"{finding.severity.value:<9}{finding.subject}: {first}", *(margin + m for m in more)]
