"""How far a deploy is."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple


class Step(Enum):
    """A step of a deploy that takes its time; they come in this order."""

    SOLVE = "Solving"
    BUILD = "Building"
    CHECK = "Checking"


class Progress(NamedTuple):
    """How far an install is: ``fetched`` of ``to_fetch`` bytes, ``linked`` of ``to_link`` packages.

    What is to be fetched is what the cache does not hold.
    """

    fetched: int
    to_fetch: int
    linked: int
    to_link: int


Watch = Callable[[Progress], None]
