"""For how long nobody has built or shown a deployment, by clocks of which one may be wrong.

The order of deployments and of events is certain, their times are not: each host
writes its own. A time in the future is no time. One that is earlier than what
comes before it is wrong: then it happened at the latest when the next thing did,
of which the time is known. So a clock that is wrong can keep something longer,
until that next thing is old enough, but removes nothing early. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import NamedTuple

# Clocks of hosts that are kept right differ by less, in seconds.
TOLERANCE_S = 3600


class Shown(NamedTuple):
    """An event: its time in seconds since 1970, None if it tells none, and what it showed."""

    time: float | None
    deployments: Collection[int]


def ages(
    now: float,
    built: Mapping[int, Iterable[float | None]],
    events: Sequence[Shown],
    last_written: float | None,
) -> dict[int, float]:
    """Return by number for how many seconds nobody has built or shown a deployment.

    ``built`` has the times at which each says it was built, by several clocks.
    ``events`` are in their order, the oldest first; ``last_written`` is when the newest
    was written by the clock of the filesystem.
    """
    numbers = sorted(built)
    said = [_Said(_latest(built[number], now)) for number in numbers]
    latest = dict(zip(numbers, _in_order(said, now), strict=True))
    for number, time in zip(numbers, _without_wrong(said), strict=True):
        if time is None and any(number in event.deployments for event in events):
            latest[number] = -inf  # it was built before it was shown
    written = _latest([last_written], now)
    said = [_said(event, latest, now) for event in events]
    if said and written is not None:
        said[-1] = said[-1]._replace(not_before=written)
    for event, time in zip(events, _in_order(said, written or now), strict=True):
        for number in latest.keys() & event.deployments:
            latest[number] = max(latest[number], time)
    return {number: now - time for number, time in latest.items()}


class _Said(NamedTuple):
    """When something happened by its own clock, and the time that it cannot have been before."""

    time: float | None
    not_before: float = -inf


def _said(event: Shown, built: Mapping[int, float], now: float) -> _Said:
    times = (built[number] for number in event.deployments if number in built)
    return _Said(_latest([event.time], now), max(times, default=-inf))


def _latest(times: Iterable[float | None], now: float) -> float | None:
    """Return the latest of several times that can be, None if there is none."""
    known = [min(time, now) for time in times if time is not None and time <= now + TOLERANCE_S]
    return max(known, default=None)


def _in_order(said: Iterable[_Said], end: float) -> list[float]:
    """Return when each of several things happened at the latest, in their order."""
    found: list[float] = []
    following = end
    for time in reversed(list(_without_wrong(said))):
        following = following if time is None else time
        found.append(following)
    return found[::-1]


def _without_wrong(said: Iterable[_Said]) -> Iterator[float | None]:
    """Yield times, with None for those that are earlier than what comes before."""
    before = -inf
    for time, not_before in said:
        if time is None or time < max(before, not_before) - TOLERANCE_S:
            yield None
        else:
            before = max(before, time)
            yield before
