"""When deployments were built and shown, as records and the filesystem say it."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tierctl.journal import history
from tierctl.prune import ages as judging
from tierctl.prune.ages import Shown
from tierctl.prune.retention import DAY_S, Policy
from tierctl.rotation.names import DEPLOYMENTS
from tierctl.target import record
from tierctl.target.target import Target

# So many changes in a row with an old time are old: no host with a wrong clock made all of them.
_MOST_WRONG = 1000


class Now(NamedTuple):
    """The time up to which ages are counted, in seconds since 1970.

    ``assumed`` says what was taken for true where two clocks differ, or one could not be asked.
    """

    seconds: float
    assumed: str = ""


def now(server: float | None) -> Now:
    """Return the time by the clocks of this host and of the server, which may not be known.

    One that is wrong must let nothing go early, so the earlier one counts.
    """
    here = time.time()
    if server is None:
        return Now(here, "the clock of the target's server is not known: this host's is believed")
    if abs(here - server) <= judging.TOLERANCE_S:
        return Now(min(here, server))
    return Now(
        min(here, server),
        f"this host's clock says {_date(here)}, that of the target's server {_date(server)}: "
        "ages are counted up to the earlier one",
    )


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def ages(target: Target, numbers: Iterable[int], policy: Policy, now: float) -> dict[int, float]:
    """Return by number for how many seconds nobody has built or shown a deployment until ``now``.

    Of events only as many are read as it takes to tell what is young.
    """
    built = {number: list(_built(target, number)) for number in numbers}
    try:
        last_written = target.fs.entry(target.history).modified
    except FileNotFoundError:
        last_written = None
    young = now - policy.days * DAY_S
    return judging.ages(now, built, _shown(target, young), last_written)


def _shown(target: Target, young: float) -> list[Shown]:
    """Return the events that may count, the oldest first."""
    found: list[Shown] = []
    old_in_a_row = 0
    for event in history.newest_first(target):
        found.append(Shown(_seconds(event.time), event.deployments))
        is_old = found[-1].time is not None and found[-1].time < young
        old_in_a_row = old_in_a_row + 1 if is_old else 0
        if old_in_a_row == _MOST_WRONG:
            break
    return found[::-1]


def _built(target: Target, number: int) -> Iterator[float | None]:
    """Yield when a deployment was finished, by the filesystem's clock and by that of its host."""
    directory = f"{DEPLOYMENTS}/{number}"
    yield target.fs.entry(target.deployment_record(directory)).modified
    yield _seconds(record.read(target, directory).get("time"))


def _seconds(text: object) -> float | None:
    """Return a time of a record in seconds since 1970, None for what is no time."""
    try:
        return calendar.timegm(time.strptime(str(text), "%Y-%m-%dT%H:%M:%SZ"))
    except (ValueError, OverflowError):
        return None
