"""The picture of the house in docs/design.md: ``python tests/house.py > docs/house.svg``."""

import sys
from collections import Counter
from html import escape
from itertools import groupby

from rooms import KNOWN, ROOMS, Module, imported_modules, modules, room

WIDTH, LEFT, BOX, ROW, GAP = 960, 10, 640, 34, 6
_LONGEST = 126


def draw() -> str:
    """Return the SVG: a floor for each room, with its modules, and what imports what below it."""
    floors = [each for each in reversed(ROOMS) if each != "__main__"]
    tops = {name: GAP + number * (ROW + GAP) for number, name in enumerate(floors)}
    height = len(floors) * (ROW + GAP) + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for (above, below), number in sorted(_imports().items()):
        parts.append(_curve(tops[above], tops[below], number))
    parts += [_floor(name, tops[name]) for name in floors]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _imports() -> Counter[tuple[str, str]]:
    """Return how often modules of a room import ones of another room."""
    found = Counter[tuple[str, str]]()
    for module in modules():
        own = room(module.name)
        for other in map(room, imported_modules(module) & KNOWN):
            if own not in ("", "__main__") and other not in ("", own):
                found[own, other] += 1
    return found


def _floor(name: str, top: int) -> str:
    inside = [module for module in modules() if room(module.name) == name]
    told = escape(_shortened(", ".join(_names(name, inside))))
    return (
        f'<rect x="{LEFT}" y="{top}" width="{BOX}" height="{ROW}" rx="4" fill="#eef2f6" '
        'stroke="#8496a8"/>'
        f'<text x="{LEFT + 8}" y="{top + 14}" font-size="12" font-weight="bold">{name}</text>'
        f'<text x="{LEFT + 8}" y="{top + 28}" font-size="10" fill="#44525f">{told}</text>'
    )


def _names(name: str, inside: list[Module]) -> list[str]:
    """Return the modules of a room, and the rooms in it with the number of theirs."""
    below = sorted(module.name.split(".")[2:] for module in inside if module.name.count(".") > 1)
    return [
        first if len(found) == 1 and len(found[0]) == 1 else f"{first}/ ({len(found)})"
        for first, group in groupby(below, key=lambda parts: parts[0])
        if (found := list(group))
    ] or [f"{name}.py"]


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3].rpartition(', ')[0]}, ..."


def _curve(top: int, bottom: int, number: int) -> str:
    start, end, edge = top + ROW // 2, bottom + ROW // 2, LEFT + BOX
    far = edge + 30 + (bottom - top) * 0.45
    return (
        f'<path d="M{edge} {start} C{far:.0f} {start} {far:.0f} {end} {edge} {end}" fill="none" '
        f'stroke="#5b7fa6" stroke-opacity="0.6" stroke-width="{min(0.6 + number / 12, 5):.1f}"/>'
    )


if __name__ == "__main__":
    sys.stdout.write(draw())
