"""What uv keeps of wheels in the package cache: each unpacked, in a directory of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from os import path as paths

from tierctl.layout import WHEELS
from tierctl.packages import normal_name

_DIST_INFO = ".dist-info"


def unpacked(cache: str) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield each wheel's name, as PEP 503 compares it, its version, and its directory."""
    for archive in _inside(paths.join(cache, WHEELS), "archive-"):
        for content in _inside(archive):
            for name in map(paths.basename, _inside(content)):
                if name.endswith(_DIST_INFO):
                    distribution, _, version = name.removesuffix(_DIST_INFO).rpartition("-")
                    yield (normal_name(distribution), version), content


def _inside(place: str, begin: str = "") -> list[str]:
    with suppress(OSError):
        return [paths.join(place, name) for name in os.listdir(place) if name.startswith(begin)]
    return []
