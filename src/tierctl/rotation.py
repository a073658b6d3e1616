"""The rotation: states of an infrastructure, and the steps from one to another.

Pure: no input or output, no clock, no environment. A change of any kind is
``plan(before, after, exchange)``; recovery is the same call with what is there
now in the place of ``before``.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from tierctl.layout import BLUE, DEPLOYMENTS, GREEN, PRODUCTION, STAGING


class Color(Enum):
    """One of the two names that production and staging take turns at."""

    BLUE = BLUE
    GREEN = GREEN

    @property
    def opposite(self) -> Color:
        """The other color."""
        return Color.GREEN if self is Color.BLUE else Color.BLUE

    def __str__(self) -> str:
        return self.value


class Content(NamedTuple):
    """The directory behind a color, relative to the infrastructure.

    ``deployments/41``, or the color's own name where it is a plain directory.
    """

    directory: str

    @classmethod
    def of_deployment(cls, number: int) -> Content:
        """Return the content of a numbered deployment."""
        return cls(f"{DEPLOYMENTS}/{number}")

    @property
    def deployment(self) -> int | None:
        """The deployment's number, or None for a plain directory."""
        head, _, number = self.directory.rpartition("/")
        return int(number) if head == DEPLOYMENTS else None

    def __str__(self) -> str:
        number = self.deployment
        return f"plain directory {self.directory}" if number is None else f"deployment {number}"


class State(NamedTuple):
    """Where the links of an infrastructure point to.

    ``production`` is None before the first promotion. Both tiers may show one
    color: between two renames that is what a reader finds.
    """

    production: Color | None
    staging: Color
    blue: Content
    green: Content

    def content(self, color: Color) -> Content:
        """Return what is behind a color."""
        return self.blue if color is Color.BLUE else self.green

    def with_content(self, color: Color, content: Content) -> State:
        """Return this state with another content behind a color."""
        return self._replace(blue=content) if color is Color.BLUE else self._replace(green=content)

    @property
    def served(self) -> Content | None:
        """What production serves, or None before the first promotion."""
        return None if self.production is None else self.content(self.production)

    @property
    def staged(self) -> Content:
        """What staging shows."""
        return self.content(self.staging)

    def behind(self, tier: str) -> Content | None:
        """Return what one of the four links shows; None for production before it exists."""
        match tier:
            case "production":
                return self.served
            case "staging":
                return self.staged
            case _:
                return self.content(Color(tier))

    def __str__(self) -> str:
        production = "missing" if self.production is None else str(self.production)
        return (
            f"production -> {production}, staging -> {self.staging}, "
            f"blue: {self.blue}, green: {self.green}"
        )


def promoted(state: State) -> State:
    """Return the state in which staging's color is production."""
    return state._replace(production=state.staging, staging=state.staging.opposite)


def rolled_back(state: State, content: Content) -> State:
    """Return the state in which production serves ``content`` through staging's color."""
    return promoted(state.with_content(state.staging, content))


def deployed(state: State, color: Color, content: Content) -> State:
    """Return the state in which a color shows another content."""
    return state.with_content(color, content)


class Exchange(NamedTuple):
    """Two links swap their places in one atomic step."""

    first: str
    second: str

    def __str__(self) -> str:
        return f"exchange {self.first} and {self.second}"


class Replace(NamedTuple):
    """A link, prepared under another name, is renamed over an old one or to a new name."""

    name: str
    target: str

    def __str__(self) -> str:
        return f"point {self.name} to {self.target}"


Step = Exchange | Replace
Plan = tuple[Step, ...]


def plan(before: State, after: State, *, exchange: bool) -> Plan:
    """Return the steps from one state to another, colors first.

    ``exchange`` says whether the filesystem can swap two names in one step.
    Without it production moves first, so that whoever reads between the two
    renames finds the new version. When production is created, staging moves
    away first: at no moment do both show a color that one of them is leaving.
    """
    return (*_color_steps(before, after), *_tier_steps(before, after, exchange=exchange))


def _color_steps(before: State, after: State) -> Iterator[Step]:
    for color in Color:
        if before.content(color) != after.content(color):
            yield Replace(color.value, after.content(color).directory)


def _tier_steps(before: State, after: State, *, exchange: bool) -> list[Step]:
    if after.production is None and before.production is not None:
        raise ValueError("no change takes production away")
    swapped = (before.production, before.staging) == (after.staging, after.production)
    if exchange and swapped and before.production is not before.staging:
        return [Exchange(PRODUCTION, STAGING)]
    steps: list[Step] = []
    if after.production is not None and before.production is not after.production:
        steps.append(Replace(PRODUCTION, after.production.value))
    if before.staging is not after.staging:
        steps.append(Replace(STAGING, after.staging.value))
    return steps[::-1] if before.production is None else steps


def states_along(before: State, steps: Plan) -> Iterator[State]:
    """Yield every state that the steps pass through, both ends included."""
    yield before
    for step in steps:
        before = _after_step(before, step)
        yield before


def _after_step(state: State, step: Step) -> State:
    match step:
        case Exchange():
            assert state.production is not None  # noqa: S101 (plan() exchanges two links that exist)
            return state._replace(production=state.staging, staging=state.production)
        case Replace("production", target):
            return state._replace(production=Color(target))
        case Replace("staging", target):
            return state._replace(staging=Color(target))
        case Replace(name, target):
            return state.with_content(Color(name), Content(target))


def lies_between(now: State, before: State, after: State) -> bool:
    """Say whether ``now`` is a state that the change can have passed through."""
    return any(
        now in states_along(before, plan(before, after, exchange=exchange))
        for exchange in (True, False)
    )
