"""The packages of a deployment, as ``meta/packages.json`` lists them.

Written once, when the deployment is built, and read by whatever compares or
shows deployments: with the standard library alone.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from tierctl.errors import BadFile, NewerVersion
from tierctl.target import record, trust
from tierctl.target.target import Target

SCHEMA = 1


class Package(NamedTuple):
    """A package that an environment holds. ``size`` is the archive's, in bytes.

    ``channel`` is empty for one that pip installed, and then ``build`` and
    ``subdir`` are too.
    """

    name: str
    version: str
    build: str = ""
    subdir: str = ""
    channel: str = ""
    sha256: str = ""
    size: int = 0

    @property
    def name_in_cache(self) -> str:
        """What the package cache calls it, if a channel has it."""
        return f"{self.name}-{self.version}-{self.build}"


Packages = dict[str, tuple[Package, ...]]


def normal_name(name: str) -> str:
    """Return a name of pip's as PEP 503 compares it."""
    return re.sub("[-_.]+", "-", name).lower()


def to_document(environments: Packages) -> dict[str, Any]:
    """Return the packages of each environment as JSON values."""
    return {
        "schema": SCHEMA,
        "environments": {
            name: [package._asdict() for package in sorted(packages)]
            for name, packages in environments.items()
        },
    }


def from_document(document: Any) -> Packages:  # noqa: ANN401 (whatever a file holds)
    """Return the packages that JSON values tell of; raises ``ValueError``."""
    try:
        if document["schema"] != SCHEMA:
            raise ValueError(f"schema {document['schema']!r}")
        return {
            str(name): tuple(_package(values) for values in packages)
            for name, packages in document["environments"].items()
        }
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"no packages: {error}") from error


def read(target: Target, directory: str) -> Packages:
    """Return the packages of a deployment.

    Raises ``Untrusted``, ``NewerVersion``, ``BadFile`` or ``OSError``.
    """
    path = target.packages_record(directory)
    try:
        document = json.loads(trust.read(target, path))
        if record.is_newer(document, SCHEMA):
            raise NewerVersion(path, f"schema {document['schema']}", stops_changes=False)
        return from_document(document)
    except (ValueError, RecursionError) as error:
        raise BadFile(path, str(error)) from error


def _package(values: dict[str, Any]) -> Package:
    package = Package(**values)
    if not all(isinstance(text, str) for text in package[:-1]) or type(package.size) is not int:
        raise ValueError(f"{values!r} is no package")
    return package
