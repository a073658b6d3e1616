"""Reading the state of an infrastructure from its links."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from tierctl.filesystem import FileSystem, Kind, exists
from tierctl.layout import BLUE, DEPLOYMENTS, GREEN, PRODUCTION, STAGING, Layout
from tierctl.rotation import COLORS, Color, Content, State
from tierctl.validators import validate_color, validate_symlink_target


def observe(
    fs: FileSystem, layout: Layout, private: Iterable[str] = (), *, adopting: int | None = None
) -> State:
    """Return where the links point to now, those of ``private`` tiers too.

    Both tiers may show one color. ``adopting`` is the number that a color's
    plain directory is to get, if a change to that end may have begun. Raises
    ``InvalidLink`` where a tier or color is not what it has to be.
    """
    staging = color_of(fs, layout, STAGING)
    adopted = None if adopting is None else _adopted(fs, layout, adopting)
    return State(
        production=color_of(fs, layout, PRODUCTION),
        staging=staging or validate_symlink_target(layout.within(STAGING), fs),
        blue=_content(fs, layout, BLUE, adopted),
        green=_content(fs, layout, GREEN, adopted),
        private=tuple((name, private_tier(fs, layout, name)) for name in private),
        adopted=adopted,
    )


def is_as(fs: FileSystem, layout: Layout, state: State) -> bool:
    """Say whether the links are, word for word, what a state without private tiers makes them.

    Where they are not it takes ``observe`` to say what they mean.
    """
    if state.production is None or state.private or state.adopted is not None:
        return False
    texts: dict[str, str] = {PRODUCTION: state.production, STAGING: state.staging}
    texts |= {BLUE: state.blue.directory, GREEN: state.green.directory}
    try:
        return all(
            name == text or text == fs.read_link(layout.within(name))  # or a plain directory
            for name, text in texts.items()
        )
    except OSError:
        return False


def observe_for(fs: FileSystem, layout: Layout, state: State) -> State:
    """Return where the links point to now, those that a state speaks of."""
    return observe(fs, layout, dict(state.private), adopting=state.adopted)


def _adopted(fs: FileSystem, layout: Layout, number: int) -> int | None:
    """Return the number if a directory has it, and not only the link that is to make way."""
    path = layout.within(f"{DEPLOYMENTS}/{number}")
    return number if exists(fs, path) and fs.entry(path).kind is Kind.DIRECTORY else None


def _content(fs: FileSystem, layout: Layout, color: str, adopted: int | None) -> Content:
    path = layout.within(color)
    if adopted is not None and not exists(fs, path):
        return Content.of_deployment(adopted)
    return validate_color(path, fs)


def private_tier(fs: FileSystem, layout: Layout, name: str) -> Content | None:
    """Return what a private tier shows, or None where there is none; raises ``InvalidLink``."""
    path = layout.within(name)
    return validate_color(path, fs) if exists(fs, path) else None


def color_of(fs: FileSystem, layout: Layout, tier: str) -> Color | None:
    """Return the color that production or staging points to, None if there is nothing at all.

    Raises ``InvalidLink`` for anything else.
    """
    path = layout.within(tier)
    try:
        target = fs.read_link(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return validate_symlink_target(path, fs)  # it is no symlink, and is told so
    # What is behind a color's own name is looked at as that color.
    return COLORS.get(target) or validate_symlink_target(path, fs)
