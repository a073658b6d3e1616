"""Whether a deployment is just what would be built again."""

from __future__ import annotations

from tierctl import packages, record
from tierctl.deploy.wanted import Build, digest
from tierctl.errors import BadFile, Untrusted
from tierctl.filesystem import FileSystem
from tierctl.layout import Layout
from tierctl.packages import Packages
from tierctl.rotation import Content


def is_built_from(fs: FileSystem, layout: Layout, content: Content, wanted: Build) -> bool:
    """Say whether a deployment was built from the same definitions and the same packages.

    One without readable records was not.
    """
    if record.read(fs, layout, content.directory).get("digest") != digest(wanted):
        return False
    try:
        there = packages.read(fs, layout, content.directory)
    except (OSError, Untrusted, BadFile):
        return False
    return there == packages.from_document(packages.to_document(wanted.packages))


def packages_of(fs: FileSystem, layout: Layout, content: Content) -> Packages:
    """Return the packages of what a tier shows, none where that is not known."""
    try:
        return packages.read(fs, layout, content.directory)
    except (OSError, Untrusted, BadFile):
        return {}
