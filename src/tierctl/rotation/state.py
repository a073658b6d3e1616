"""The states of a target's links: what each tier shows."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from tierctl.rotation.names import BLUE, DEPLOYMENTS, GREEN


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

    def showing(self, tier: str, content: Content) -> State:
        """Return this state with another content behind a color or a private tier."""
        if tier in dict(self.private):
            return self._replace(private=tuple({**dict(self.private), tier: content}.items()))
        return self.with_content(Color(tier), content)

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
    after = state.showing(tier, content)
    shown = state.behind(tier)
    is_plain = shown is not None and shown.deployment is None
    return after._replace(adopted=spare if is_plain else None)
