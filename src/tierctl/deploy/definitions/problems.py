"""What is wrong with definitions, with file and line, all of it at once."""

from __future__ import annotations

from collections.abc import Iterator
from os import path as paths
from typing import NamedTuple

from tierctl.errors import TierctlError
from tierctl.text import shown


class Place(NamedTuple):
    """A place in a file; lines count from 1, 0 is the file as a whole."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return shown(self.file) + (f":{self.line}" if self.line else "")


class Problems:
    """A growing list of what is wrong, with paths relative to the definitions."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._found: list[str] = []

    def add(self, place: Place, text: str) -> None:
        """Note a problem."""
        file = paths.relpath(place.file, self._directory) if paths.isabs(place.file) else place.file
        line = f"{place._replace(file=file)}: {text}"
        if line not in self._found:
            self._found.append(line)

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


class BadDefinitions(TierctlError):
    """Definitions cannot be built as they are."""

    code = "bad-definitions"

    def __init__(self, directory: str, problems: tuple[str, ...]) -> None:
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(
            "\n  ".join((f"{count} in the definitions, {shown(directory)}:", *problems)),
            "Nothing was built. Fix that and try again.",
        )
        self.problems = problems
