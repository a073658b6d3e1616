"""Which deployments are kept, and why. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

DAY_S = 86_400


class Policy(NamedTuple):
    """How many of the newest deployments stay, and how old (in days) one has to be to go.

    ``unseen``: also where nobody can see which processes use it.
    """

    keep: int
    days: float
    unseen: bool = False


class Needs(NamedTuple):
    """What is needed of the deployments, by number: what for, in words.

    ``foreign``: those that the caller cannot take apart, and whose they are.
    """

    shown: Mapping[int, str]
    way_back: int | None
    used: Mapping[int, str]
    built: frozenset[int]
    foreign: Mapping[int, str]


class Verdict(NamedTuple):
    """What becomes of a deployment; ``reason`` is empty for one that goes."""

    number: int
    reason: str


def judge(finished: Mapping[int, float], needs: Needs, policy: Policy) -> list[Verdict]:
    """Return a verdict for each finished deployment, newest first.

    ``finished`` holds by number for how many seconds nobody has built or shown them.
    """
    numbers = sorted(finished, reverse=True)
    return [
        Verdict(number, _reason(number, numbers, finished, needs, policy)) for number in numbers
    ]


def _reason(
    number: int,
    numbers: Sequence[int],
    ages: Mapping[int, float],
    needs: Needs,
    policy: Policy,
) -> str:
    if number in needs.shown:
        return f"{needs.shown[number]} shows it"
    if number == needs.way_back:
        return "a rollback would return to it"
    if number in needs.used:
        return f"{needs.used[number]} uses it"
    if number in needs.built:
        return "its deploy has not ended"
    if numbers.index(number) < policy.keep:
        return f"it is among the newest {policy.keep}"
    if ages[number] < policy.days * DAY_S:
        return f"it was built, or a tier showed it, within {policy.days:g} days"
    if number in needs.foreign:
        owner = needs.foreign[number]
        can = "root" if owner == "root" else f"its owner ({owner}) or root"
        return f"only {can} can remove it"
    return ""
