"""Reading the state of an infrastructure from its links."""

from __future__ import annotations

from tierctl.errors import InvalidLink
from tierctl.filesystem import FileSystem, exists
from tierctl.layout import BLUE, GREEN, PRODUCTION, STAGING, Layout
from tierctl.rotation import Color, State
from tierctl.validators import validate_color, validate_symlink_target


def observe(fs: FileSystem, layout: Layout) -> State:
    """Return where the links point to now; both tiers may show one color.

    Raises ``InvalidLink`` where a tier or color is not what it has to be.
    """
    return State(
        production=_production(fs, layout),
        staging=validate_symlink_target(layout.within(STAGING), fs),
        blue=validate_color(layout.within(BLUE), fs),
        green=validate_color(layout.within(GREEN), fs),
    )


def _production(fs: FileSystem, layout: Layout) -> Color | None:
    try:
        return validate_symlink_target(layout.within(PRODUCTION), fs)
    except InvalidLink:
        if exists(fs, layout.within(PRODUCTION)):
            raise
        return None
