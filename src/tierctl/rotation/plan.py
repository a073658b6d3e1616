"""The steps from one state of the links to another.

A change of any kind is ``plan(before, after, exchange)``; recovery is the same call with what is
there now in the place of ``before``. Each kind of step is another value, whatever it is of.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tierctl.rotation.names import DEPLOYMENTS, PRODUCTION, STAGING
from tierctl.rotation.state import COLORS, Color, Content, State


class Exchange(NamedTuple):
    """Two links swap their places in one atomic step."""

    first: str
    second: str
    step: str = "exchange"

    def __str__(self) -> str:
        return f"exchange {self.first} and {self.second}"


class Replace(NamedTuple):
    """A link, prepared under another name, is renamed over an old one or to a new name."""

    name: str
    text: str
    step: str = "replace"

    def __str__(self) -> str:
        return f"point {self.name} to {self.text}"


class Adopt(NamedTuple):
    """A color's plain directory becomes a deployment, and a link takes its place, in one step."""

    name: str
    number: int
    text: str
    step: str = "adopt"

    def __str__(self) -> str:
        return f"keep {self.name} as {DEPLOYMENTS}/{self.number}, point {self.name} to {self.text}"


class SetAside(NamedTuple):
    """A color's plain directory becomes a deployment; for an instant the color has no name."""

    name: str
    number: int
    step: str = "set aside"

    def __str__(self) -> str:
        return f"keep {self.name} as {DEPLOYMENTS}/{self.number}"


class PutBack(NamedTuple):
    """What was set aside gets its name back."""

    name: str
    number: int
    step: str = "put back"

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
        case Replace("production", text):
            return state._replace(production=Color(text))
        case Replace("staging", text):
            return state._replace(staging=Color(text))
        case Adopt(name, number, text):
            return state.with_content(Color(name), Content(text))._replace(adopted=number)
        case SetAside(name, number):
            return state.with_content(Color(name), Content.of_deployment(number))._replace(
                adopted=number
            )
        case PutBack(name):
            return state.with_content(Color(name), Content(name))._replace(adopted=None)
        case Replace(name, text):
            return state.showing(name, Content(text))


def lies_between(now: State, before: State, after: State) -> bool:
    """Say whether ``now`` is a state that the change can have passed through."""
    return any(
        now in states_along(before, plan(before, after, exchange=exchange))
        for exchange in (True, False)
    )
