"""Reading the state of an infrastructure from its links."""

from __future__ import annotations

from tierctl.filesystem import FileSystem, exists
from tierctl.layout import BLUE, GREEN, PRODUCTION, STAGING, Layout
from tierctl.rotation import State
from tierctl.validators import validate_color, validate_symlink_target


def observe(fs: FileSystem, layout: Layout) -> State:
    """Return where the links point to now; both tiers may show one color.

    Raises ``InvalidLink`` where a tier or color is not what it has to be.
    """
    return State(
        production=(
            validate_symlink_target(layout.within(PRODUCTION), fs)
            if exists(fs, layout.within(PRODUCTION))
            else None
        ),
        staging=validate_symlink_target(layout.within(STAGING), fs),
        blue=validate_color(layout.within(BLUE), fs),
        green=validate_color(layout.within(GREEN), fs),
    )
