"""Whether what a tier shows is just what would be built again."""

from __future__ import annotations

from tierctl.deploy.definitions import Definitions
from tierctl.deploy.wanted import Build, digest
from tierctl.errors import BadFile, Untrusted
from tierctl.report import verify
from tierctl.report.verify import Difference
from tierctl.rotation.state import Content
from tierctl.target import packages, record
from tierctl.target.packages import Packages
from tierctl.target.target import Target
from tierctl.text import shown


class Shown:
    """What a tier shows, None for nothing that counts, held against what is to be built."""

    def __init__(self, target: Target, content: Content | None) -> None:
        self._target = target
        self.content = content
        self._is_of_definitions = False
        self.damage: tuple[Difference, ...] = ()

    def look(self, definitions: Definitions) -> None:
        """Find out whether it was built from these definitions, and is as it was built.

        The contents of files are not read. Meanwhile the packages may be solved.
        Raises ``OSError``.
        """
        if self.content is None:
            return
        said = record.read(self._target, self.content.directory)
        self._is_of_definitions = said.get("digest") == digest(definitions)
        if self._is_of_definitions:
            found = verify.verify(self._target, self.content, quick=True)
            self.damage = found.differences

    def was_built_from(self, wanted: Build) -> bool:
        """Say whether the definitions and the packages are the same; one without records is not."""
        if self.content is None or not self._is_of_definitions:
            return False
        there = packages_of(self._target, self.content)
        return there == packages.from_document(packages.to_document(wanted.packages))


def warnings_of(target: Target, content: Content) -> list[str]:
    """Return what was said of a deployment when it was built."""
    listed = record.read(target, content.directory).get("warnings")
    return (
        [shown(text) for text in listed if isinstance(text, str)]
        if isinstance(listed, list)
        else []
    )


def packages_of(target: Target, content: Content) -> Packages | None:
    """Return the packages of what a tier shows, None where that is not known."""
    try:
        return packages.read(target, content.directory)
    except (OSError, Untrusted, BadFile):
        return None
