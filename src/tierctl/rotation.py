"""The rotation: states of an infrastructure, and the steps from one to another.

Pure: no input or output, no clock, no environment. A change of any kind is
``plan(before, after, exchange)``; recovery is the same call with what is there
now in the place of ``before``.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from tierctl.layout import BLUE, DEPLOYMENTS, GREEN, PRODUCTION, STAGING


class Color(StrEnum):
    """One of the two names that production and staging take turns at."""

    BLUE = BLUE
    GREEN = GREEN

    @property
    def opposite(self) -> Color:
        """The other color."""
        return Color.GREEN if self is Color.BLUE else Color.BLUE


COLORS = {color.value: color for color in Color}


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
    color: between two renames that is what a reader finds. ``private`` holds
    the private tiers that are spoken of, by name. ``adopted`` is the number of
    the deployment that a color's plain directory has become on the way here;
    while the color has lost it and has nothing else yet, its content is that
    deployment already.
    """

    production: Color | None
    staging: Color
    blue: Content
    green: Content
    private: tuple[tuple[str, Content | None], ...] = ()
    adopted: int | None = None

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
        """Return what a tier shows; None if it does not exist, or is not spoken of."""
        match tier:
            case "production":
                return self.served
            case "staging":
                return self.staged
            case "blue" | "green":
                return self.content(Color(tier))
            case _:
                return dict(self.private).get(tier)

    def __str__(self) -> str:
        production = "missing" if self.production is None else str(self.production)
        private = [f"{name}: {content or 'missing'}" for name, content in self.private]
        return ", ".join(
            (
                f"production -> {production}, staging -> {self.staging}",
                f"blue: {self.blue}, green: {self.green}",
                *private,
            )
        )


def promoted(state: State) -> State:
    """Return the state in which staging's color is production."""
    return State(state.staging, state.staging.opposite, *state[2:])


def rolled_back(state: State, content: Content) -> State:
    """Return the state in which production serves ``content`` through staging's color."""
    return promoted(state.with_content(state.staging, content))


def deployed(state: State, tier: str, content: Content, *, spare: int | None = None) -> State:
    """Return the state in which a color or a private tier shows another content.

    ``spare`` is the number that the plain directory gets which a color shows.
    """
    after = _pointed(state, tier, content)
    shown = state.behind(tier)
    is_plain = shown is not None and shown.deployment is None
    return after._replace(adopted=spare if is_plain else None)


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


class Adopt(NamedTuple):
    """A color's plain directory becomes a deployment, and a link takes its place, in one step."""

    name: str
    number: int
    target: str

    def __str__(self) -> str:
        return (
            f"keep {self.name} as {DEPLOYMENTS}/{self.number}, point {self.name} to {self.target}"
        )


class SetAside(NamedTuple):
    """A color's plain directory becomes a deployment; for an instant the color has no name."""

    name: str
    number: int

    def __str__(self) -> str:
        return f"keep {self.name} as {DEPLOYMENTS}/{self.number}"


class PutBack(NamedTuple):
    """What was set aside gets its name back."""

    name: str
    number: int

    def __str__(self) -> str:
        return f"put {DEPLOYMENTS}/{self.number} back as {self.name}"


Step = Exchange | Replace | Adopt | SetAside | PutBack
Plan = tuple[Step, ...]


def plan(before: State, after: State, *, exchange: bool) -> Plan:
    """Return the steps from one state to another, colors first.

    ``exchange`` says whether the filesystem can swap two names in one step.
    Without it production moves first, so that whoever reads between the two
    renames finds the new version. When production is created, staging moves
    away first: at no moment do both show a color that one of them is leaving.
    """
    if after.production is None and before.production is not None:
        raise ValueError("no change takes production away")
    return (
        *_color_steps(before, after, exchange=exchange),
        *_private_steps(before, after),
        *_tier_steps(before, after, exchange=exchange),
    )


def _color_steps(before: State, after: State, *, exchange: bool) -> Iterator[Step]:
    for color in COLORS.values():
        if before.content(color) != after.content(color):
            yield from _steps_of_color(color, before, after, exchange=exchange)


def _steps_of_color(color: Color, before: State, after: State, *, exchange: bool) -> Iterator[Step]:
    name, directory = color.value, after.content(color).directory
    if after.content(color).deployment is None:
        if before.adopted is None:
            raise ValueError(f"nothing makes {color} a plain directory")
        yield PutBack(name, before.adopted)
    elif before.content(color).deployment is not None:
        yield Replace(name, directory)
    elif after.adopted is None:
        raise ValueError(f"the plain directory {color} has no number to go to")
    elif exchange:
        yield Adopt(name, after.adopted, directory)
    else:
        yield SetAside(name, after.adopted)
        yield Replace(name, directory)


def _private_steps(before: State, after: State) -> Iterator[Step]:
    for name, content in after.private:
        if content is not None and content != before.behind(name):
            yield Replace(name, content.directory)


def _tier_steps(before: State, after: State, *, exchange: bool) -> list[Step]:
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
        case Adopt(name, number, target):
            return state.with_content(Color(name), Content(target))._replace(adopted=number)
        case SetAside(name, number):
            return state.with_content(Color(name), Content.of_deployment(number))._replace(
                adopted=number
            )
        case PutBack(name):
            return state.with_content(Color(name), Content(name))._replace(adopted=None)
        case Replace(name, target):
            return _pointed(state, name, Content(target))


def _pointed(state: State, name: str, content: Content) -> State:
    if name in dict(state.private):
        return state._replace(private=tuple({**dict(state.private), name: content}.items()))
    return state.with_content(Color(name), content)


def lies_between(now: State, before: State, after: State) -> bool:
    """Say whether ``now`` is a state that the change can have passed through."""
    return any(
        now in states_along(before, plan(before, after, exchange=exchange))
        for exchange in (True, False)
    )
