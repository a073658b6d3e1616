"""Wheels, as they are found and installed."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Iterator
from os import path as paths
from typing import NamedTuple


class Wheel(NamedTuple):
    """A wheel, and where it is; ``size`` in bytes, 0 where nobody says it."""

    name: str
    version: str
    url: str
    sha256: str
    size: int = 0

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class WheelsFailed(Exception):
    """No wheels were found, or they could not be installed; the text is for people."""


class Listed(NamedTuple):
    """A file of a wheel, by its path below the prefix; digest and size where they are told."""

    path: str
    digest: str
    size: int | None


def hexadecimal(digest: str) -> str:
    """Return a sha256 of a wheel's list as packages have theirs, "" for any other digest."""
    kind, _, value = digest.partition("=")
    return urlsafe_b64decode(f"{value}==").hex() if kind == "sha256" else ""


def listed(prefix: str, dist_info: str) -> Iterator[Listed]:
    """Yield the files that a wheel has brought, by its own list; ``dist_info`` is below the prefix.

    Raises ``OSError``, or ``ValueError`` where that is none.
    """
    import csv  # which most environments do not need

    top = paths.dirname(dist_info)
    with open(f"{prefix}/{dist_info}/RECORD", encoding="utf-8", newline="") as file:
        # A script's name leads out of the directory of modules: ../../../bin/name.
        for name, digest, size in csv.reader(file):
            path = paths.normpath(paths.join(top, name))
            yield Listed(path, digest, int(size) if size else None)
