"""Whether this host's clock agrees with the filesystem's, and with history."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator

from tierctl.doctor import relink
from tierctl.doctor.finding import Finding, fine, problem
from tierctl.doctor.scratch import InUse, can_be_had, scratch, trying_failed
from tierctl.target.target import Target
from tierctl.text import shown

SUBJECT = "clock"
# Beyond what file timestamps and a slow network explain.
_TOLERANCE_SECONDS = 5.0


def examine(target: Target, *, probe: bool) -> Iterator[Finding]:
    """Yield what there is to say of the time."""
    yield from _future_event(target)
    if probe and can_be_had(target):
        try:
            yield _filesystem_clock(target)
        except InUse:  # another doctor is looking at the clock
            return
        except OSError as error:
            yield trying_failed(target, error)


def _filesystem_clock(target: Target) -> Finding:
    with scratch(target):
        path = f"{target.scratch}/now"
        target.fs.write(path, b"now", mode=0o600)
        ahead = target.fs.entry(path).modified - time.time()
    if abs(ahead) <= _TOLERANCE_SECONDS:
        return fine(SUBJECT, "this host and the filesystem agree on the time")
    return problem(
        SUBJECT,
        f"the filesystem is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this host",
        "The times in history depend on the host that made the change.",
        "Set the clocks: see timedatectl",
    )


def _future_event(target: Target) -> Iterator[Finding]:
    newest = relink.newest(target)
    if newest is None:
        return
    try:
        ahead = calendar.timegm(time.strptime(newest.time, "%Y-%m-%dT%H:%M:%SZ")) - time.time()
    except ValueError:
        ahead = 0.0
    if ahead > _TOLERANCE_SECONDS:
        yield problem(
            SUBJECT,
            f"the newest event, {shown(newest.id)}, is {ahead:.0f} s in the future",
            "The clock of this host, or of the one that made the change, is wrong.",
            "Set the clocks: see timedatectl",
        )
