"""``tierctl doctor``."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from tierctl import doctor
from tierctl.cli.commands import COMMANDS
from tierctl.cli.shared import options, values
from tierctl.cli.shared.changing import Teller
from tierctl.cli.shared.output import EXIT_FAILED, Call, NobodyReads, folded, result, say
from tierctl.doctor import Finding, Severity, repairs
from tierctl.errors import TierctlError
from tierctl.journal import store
from tierctl.target import users
from tierctl.target.target import Target
from tierctl.text import shown

if TYPE_CHECKING:
    pass

# Below the words that say how bad a finding is.
_MARGIN = " " * 9
_ORDER = [Severity.PROBLEM, Severity.NOTE, Severity.OK]


@click.command("doctor", short_help=COMMANDS["doctor"])
@options.target
@click.option("--fix", is_flag=True, help="Repair what is safe to repair, then look again.")
@click.option(
    "-n",
    "--dry-run",
    is_flag=True,
    help="Do not try out what the filesystem can do; with --fix, show what would be repaired.",
)
@options.lock_timeout
@options.json
@options.show_help
@click.pass_obj
def command(call: Call, target: str | None, fix: bool, dry_run: bool, lock_timeout: float) -> int:
    """Say what is wrong with a target, and what its filesystem guarantees.

    Exits with 1 if something is wrong. --fix finishes or drops an interrupted
    change, cuts off a torn line of history, removes leftovers, and fixes modes
    and groups. It touches no link but those of the change that it finishes.

    To find out what the filesystem can do, doctor tries it out in a directory
    of its own. With --dry-run it does not, and writes not one byte.

    Example: tierctl doctor --fix
    """
    here = values.find_target(target)
    teller = Teller(call, dry_run=dry_run)
    call.facts["repairs"] = []
    findings = doctor.diagnose(here, probe=not dry_run)
    if fix:
        try:
            findings = _fixed(here, findings, teller, lock_timeout)
        except (TierctlError, OSError):  # it says why nothing is repaired, and no more
            with suppress(NobodyReads):
                _tell_before_an_error(call, findings)
            raise
    healthy = not any(_stays_wrong(finding, foretell=fix and dry_run) for finding in findings)
    with suppress(NobodyReads):  # the exit code tells all the same
        _tell(call, findings, healthy=healthy)
    return 0 if healthy else EXIT_FAILED


def _fixed(
    target: Target, findings: list[Finding], teller: Teller, lock_timeout: float
) -> list[Finding]:
    """Repair what can be repaired, or say what would be, and return what is found then."""
    if teller.dry_run:
        _preview(teller.call, target, findings)
        return findings
    return _repaired(target, findings, teller, lock_timeout)


def _tell(call: Call, findings: list[Finding], *, healthy: bool) -> None:
    if call.json:
        call.document(ok=healthy, findings=_documents(call, findings))
    else:
        result(_text(call, findings))


def _tell_before_an_error(call: Call, findings: list[Finding]) -> None:
    if call.json:  # the error's document has them
        call.facts["findings"] = _documents(call, findings)
    else:
        result(_text(call, findings))


def _text(call: Call, findings: list[Finding]) -> str:
    """Return findings as text, the worst first, and last how many there are."""
    worst_first = sorted(findings, key=lambda finding: _ORDER.index(finding.severity))
    lines = [line for finding in worst_first for line in _lines(call, finding)]
    return "\n".join([*lines, _summary(findings)])


def _summary(findings: list[Finding]) -> str:
    problems, notes = (
        sum(finding.severity is severity for finding in findings)
        for severity in (Severity.PROBLEM, Severity.NOTE)
    )
    counts = [_counted(problems, "problem"), *([_counted(notes, "note")] if notes else [])]
    return ", ".join(counts)


def _counted(number: int, word: str) -> str:
    return f"{number or 'no'} {word}{'' if number == 1 else 's'}"


def _repaired(
    target: Target, findings: list[Finding], teller: Teller, lock_timeout: float
) -> list[Finding]:
    if all(finding.remedy is None for finding in findings):
        return findings
    who = users.current(os.environ)
    done = repairs.repair(target, who, teller, lock_timeout=lock_timeout)
    facts = [{"text": repair.text, "done": repair.done} for repair in done]
    teller.call.facts["repairs"] = facts
    for repair in done:
        say(repair.text if repair.done else f"Warning: {repair.text}")
    return doctor.diagnose(target)


def _preview(call: Call, target: Target, findings: list[Finding]) -> None:
    """Say what would be repaired, or raise ``NotWritable``."""
    would = [
        f"would {finding.remedy.value}: {shown(finding.path) if finding.path else finding.text}"
        for finding in findings
        if finding.remedy is not None
    ]
    if would:
        store.require_writable(target)
    call.facts["repairs"] = [{"text": text, "done": False} for text in would]
    say("\n".join([*would, "Dry run: nothing was repaired."]))


def _stays_wrong(finding: Finding, *, foretell: bool) -> bool:
    """Say whether a finding is a problem, and would be one after the repairs that are foretold."""
    return finding.severity is Severity.PROBLEM and not (foretell and finding.remedy is not None)


def _documents(call: Call, findings: list[Finding]) -> list[dict[str, Any]]:
    return [
        {
            "severity": finding.severity.value,
            "subject": finding.subject,
            "text": finding.text,
            "meaning": finding.meaning or None,
            "advice": call.advice(finding.advice, finding.command) or None,
        }
        for finding in findings
    ]


def _lines(call: Call, finding: Finding) -> list[str]:
    """Return a finding as text: what is so, then what it means and what to do about it."""
    first, *rest = finding.text.split("\n")
    more = [_MARGIN + line for line in (*rest, finding.meaning) if line]
    lines = [f"{finding.severity.value:<{len(_MARGIN)}}{finding.subject}: {first}", *more]
    return [*(folded(line, sys.stdout, _MARGIN) for line in lines), *_advice(call, finding)]


def _advice(call: Call, finding: Finding) -> list[str]:
    """Return what to do; a command that has no room has a line of its own, to be copied whole."""
    whole = call.advice(finding.advice, finding.command)
    if not whole or folded(_MARGIN + whole, sys.stdout) == _MARGIN + whole:
        return [_MARGIN + whole] if whole else []
    text, colon, command = whole.rpartition(": ")
    if finding.command:
        text, colon, command = finding.advice, "", call.advice("", finding.command)
    told = [folded(f"{_MARGIN}{text}{colon}".rstrip(), sys.stdout, _MARGIN)] if text else []
    return [*told, _MARGIN + command]
