"""Packages that differ, as lines for people and as JSON values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tierctl.text import shown, size

if TYPE_CHECKING:
    from tierctl.report.difference import Change
    from tierctl.target.packages import Package


def lines(changes: Iterable[Change], *, sizes: bool = False) -> Iterator[str]:
    """Yield a line for each package, in columns; with ``sizes`` what its archive weighs."""
    return _aligned([_row(change, sizes=sizes) for change in changes])


def members(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """Return the packages as JSON values."""
    return [
        {
            "environment": change.environment,
            "kind": str(change.kind),
            "name": change.name,
            "before": None if change.before is None else change.before._asdict(),
            "after": None if change.after is None else change.after._asdict(),
        }
        for change in changes
    ]


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells)}".rstrip()


def _row(change: Change, *, sizes: bool) -> tuple[str, ...]:
    old, new = change.before, change.after
    versions = " -> ".join(_version(package, change) for package in (old, new) if package)
    weight = size(new.size) if sizes and new and new.size else ""
    return shown(change.environment), str(change.kind), shown(change.name), shown(versions), weight


def _version(package: Package, change: Change) -> str:
    """Return a version; with the build where that is all that differs."""
    same = change.before and change.after and change.before.version == change.after.version
    return f"{package.version} {package.build}".rstrip() if same else package.version
