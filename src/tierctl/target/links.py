"""Reading the state of an infrastructure from its links."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from tierctl.fs.protocol import Kind, exists
from tierctl.rotation.names import BLUE, DEPLOYMENTS, GREEN, PRODUCTION, STAGING
from tierctl.rotation.state import COLORS, Color, Content, State
from tierctl.target.target import Target
from tierctl.target.validators import validate_color, validate_symlink_target


def observe(target: Target, private: Iterable[str] = (), *, adopting: int | None = None) -> State:
    """Return where the links point to now, those of ``private`` tiers too.

    Both tiers may show one color. ``adopting`` is the number that a color's
    plain directory is to get, if a change to that end may have begun. Raises
    ``InvalidLink`` where a tier or color is not what it has to be.
    """
    staging = color_of(target, STAGING)
    adopted = None if adopting is None else _adopted(target, adopting)
    return State(
        production=color_of(target, PRODUCTION),
        staging=staging or validate_symlink_target(target.within(STAGING), target.fs),
        blue=_content(target, BLUE, adopted),
        green=_content(target, GREEN, adopted),
        private=tuple((name, private_tier(target, name)) for name in private),
        adopted=adopted,
    )


def is_as(target: Target, state: State) -> bool:
    """Say whether the links are, word for word, what a state without private tiers makes them.

    Where they are not it takes ``observe`` to say what they mean.
    """
    if state.production is None or state.private or state.adopted is not None:
        return False
    texts: dict[str, str] = {PRODUCTION: state.production, STAGING: state.staging}
    texts |= {BLUE: state.blue.directory, GREEN: state.green.directory}
    try:
        return all(
            name == text or text == target.fs.read_link(target.within(name))  # or a plain directory
            for name, text in texts.items()
        )
    except OSError:
        return False


def observe_for(target: Target, state: State) -> State:
    """Return where the links point to now, those that a state speaks of."""
    return observe(target, dict(state.private), adopting=state.adopted)


def _adopted(target: Target, number: int) -> int | None:
    """Return the number if a directory has it, and not only the link that is to make way."""
    path = target.within(f"{DEPLOYMENTS}/{number}")
    return (
        number if exists(target.fs, path) and target.fs.entry(path).kind is Kind.DIRECTORY else None
    )


def _content(target: Target, color: str, adopted: int | None) -> Content:
    path = target.within(color)
    if adopted is not None and not exists(target.fs, path):
        return Content.of_deployment(adopted)
    return validate_color(path, target.fs)


def private_tier(target: Target, name: str) -> Content | None:
    """Return what a private tier shows, or None where there is none; raises ``InvalidLink``."""
    path = target.within(name)
    return validate_color(path, target.fs) if exists(target.fs, path) else None


def color_of(target: Target, tier: str) -> Color | None:
    """Return the color that production or staging points to, None if there is nothing at all.

    Raises ``InvalidLink`` for anything else.
    """
    path = target.within(tier)
    try:
        text = target.fs.read_link(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return validate_symlink_target(path, target.fs)  # it is no symlink, and is told so
    # What is behind a color's own name is looked at as that color.
    return COLORS.get(text) or validate_symlink_target(path, target.fs)
