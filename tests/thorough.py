"""How much a test does: a sample in every run, all of it in ``nox -s torture`` and ``-s nfs``."""

import os
from collections.abc import Sequence
from typing import TypeVar

_Item = TypeVar("_Item")

THOROUGH = "TIERCTL_THOROUGH" in os.environ


def every(items: Sequence[_Item], sample: int = 6) -> list[_Item]:
    """Return all items, or some of them with the same distance between them."""
    if THOROUGH or len(items) <= sample:
        return list(items)
    return [items[round(n * (len(items) - 1) / (sample - 1))] for n in range(sample)]


def times(sample: int, thorough: int) -> int:
    """Return how often something is done."""
    return thorough if THOROUGH else sample
