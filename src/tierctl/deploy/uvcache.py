"""What uv keeps of wheels in the package cache: each unpacked, in a directory of its own."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from contextlib import suppress
from os import path as paths

from tierctl.rotation.names import WHEELS
from tierctl.target.packages import normal_name

_DIST_INFO = ".dist-info"


def unpacked(cache: str) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield each wheel's name, as PEP 503 compares it, its version, and its directory."""
    for archive in _buckets(cache, "archive-"):
        for content in _inside(archive):
            for name in map(paths.basename, _inside(content)):
                if name.endswith(_DIST_INFO):
                    distribution, _, version = name.removesuffix(_DIST_INFO).rpartition("-")
                    yield (normal_name(distribution), version), content


def referring(cache: str, going: Container[str]) -> Iterator[str]:
    """Yield the paths of all by which uv finds unpacked wheels that are going, or gone already.

    It has a symlink to each of their directories, and beside that files with the same name and
    an ending, which say what it was unpacked from.
    """
    for bucket in _buckets(cache, "wheels-"):
        for place, directories, files in os.walk(bucket):
            names = [*directories, *files]
            stale = [name for name in names if _leads_nowhere(paths.join(place, name), going)]
            found = [n for n in names if any(n == s or n.startswith(f"{s}.") for s in stale)]
            if len(found) < len(names):
                yield from (paths.join(place, name) for name in found)
            elif found:
                yield place


def _leads_nowhere(path: str, going: Container[str]) -> bool:
    try:
        content = paths.normpath(paths.join(paths.dirname(path), os.readlink(path)))
    except OSError:  # no link
        return False
    return content in going or not paths.lexists(content)


def _buckets(cache: str, begin: str) -> Iterator[str]:
    for path in _inside(paths.join(cache, WHEELS)):
        # Whoever shares the target could have a link lead out of it.
        if paths.basename(path).startswith(begin) and not paths.islink(path):
            yield path


def _inside(place: str) -> list[str]:
    with suppress(OSError):
        return [paths.join(place, name) for name in os.listdir(place)]
    return []
