"""Reading the state of an infrastructure from its links."""

from __future__ import annotations

import errno

from tierctl.filesystem import FileSystem
from tierctl.layout import BLUE, GREEN, PRODUCTION, STAGING, Layout
from tierctl.rotation import Color, State
from tierctl.validators import validate_color, validate_symlink_target


def observe(fs: FileSystem, layout: Layout) -> State:
    """Return where the links point to now; both tiers may show one color.

    Raises ``InvalidLink`` where a tier or color is not what it has to be.
    """
    staging = _color(fs, layout.within(STAGING))
    return State(
        production=_color(fs, layout.within(PRODUCTION)),
        staging=staging or validate_symlink_target(layout.within(STAGING), fs),
        blue=validate_color(layout.within(BLUE), fs),
        green=validate_color(layout.within(GREEN), fs),
    )


def _color(fs: FileSystem, path: str) -> Color | None:
    """Return the color that a tier points to, or None if there is nothing at all."""
    try:
        target = fs.read_link(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return validate_symlink_target(path, fs)  # it is no symlink, and is told so
    # What is behind a color's own name is looked at as that color.
    return Color(target) if target in (BLUE, GREEN) else validate_symlink_target(path, fs)
