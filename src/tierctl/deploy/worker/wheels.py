"""Wheels, as they are found and installed."""

from __future__ import annotations

from typing import NamedTuple


class Wheel(NamedTuple):
    """A wheel, and where it is; ``size`` in bytes, 0 where nobody says it."""

    name: str
    version: str
    url: str
    sha256: str
    size: int = 0


class WheelsFailed(Exception):
    """No wheels were found, or they could not be installed; the text is for people."""
