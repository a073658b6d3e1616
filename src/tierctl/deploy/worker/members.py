"""The members of packages: what each brings into a prefix, as its extracted archive tells it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from os import path as paths
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rattler import RepoDataRecord

PATHS = "info/paths.json"
# What older packages have instead: a path a line.
FILES = "info/files"
LINK = "info/link.json"
INDEX = "info/index.json"
# What stands in packages that are for any Python in the place of that one's directories.
_MODULES, _SCRIPTS = "site-packages", "python-scripts"
_COMMANDS = "bin"
_AS_IT_IS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class Kind(Enum):
    """What a member is, in the words of ``paths.json``."""

    FILE = "hardlink"
    LINK = "softlink"
    DIRECTORY = "directory"


_KINDS = {kind.value for kind in Kind}


class Member(NamedTuple):
    """A path that a package brings, below the prefix; its digest and size if they are told."""

    path: str
    kind: Kind
    sha256: str = ""
    size: int | None = None


class Contents(NamedTuple):
    """What a package brings.

    ``sources`` are the paths in its extracted archive, and ``targets`` the same
    ones below the prefix, in the order of ``listed``, which is what the package
    says of each. ``links`` are the texts of those that are symlinks, by target.
    ``commands`` are the paths of the scripts that the engine makes for entry
    points. ``told`` is all that was read for this.
    """

    package: str
    sources: Sequence[str]
    targets: Sequence[str]
    listed: Sequence[Mapping[str, Any]]
    links: Mapping[str, str]
    commands: Sequence[str]
    told: Sequence[bytes]

    def members(self) -> Iterator[Member]:
        """Yield all of it."""
        for path, entry in zip(self.targets, self.listed, strict=True):
            yield Member(
                path,
                Kind(entry["path_type"]),
                entry.get("sha256") or "",
                entry.get("size_in_bytes"),
            )
        for path in self.commands:
            yield Member(path, Kind.FILE)


def modules_of(records: Iterable[RepoDataRecord]) -> str:
    """Return where an environment's Python has its modules, below the prefix; "" without Python."""
    for record in records:
        if record.name.normalized == "python":
            numbers = ".".join(str(record.version).split(".")[:2])
            return record.python_site_packages_path or f"lib/python{numbers}/site-packages"
    return ""


def read(package: str, place: str, modules: str) -> Contents:
    """Return what a package brings, from the directory ``place`` that it was extracted to.

    ``modules`` is what ``modules_of`` says of its environment. Raises ``OSError``, and
    ``ValueError`` if the package describes itself in a way that nobody can read.
    """
    text, listed = _listed(place)
    try:
        sources = [entry["_path"] for entry in listed]
        kinds = {entry["path_type"] for entry in listed}
        wrong = [kind for kind in kinds if kind not in _KINDS]
        if wrong or not all(isinstance(path, str) for path in sources):
            raise ValueError(f"{PATHS} lists something that is no path of a package")
    except (LookupError, TypeError) as error:
        raise ValueError(f"{PATHS} lists no paths: {error}") from error
    told, targets, commands = [text], sources, list[str]()
    if _may_be_for_any_python(place, sources):
        index, link = _content(place, INDEX), _content(place, LINK)
        told += [index or b"", link or b""]
        if json.loads(index or b"{}").get("noarch") == "python":
            targets = [_target(path, modules) for path in sources]
            commands = [f"{_COMMANDS}/{name}" for name in _entry_points(link)]
    links = {
        target: os.readlink(f"{place}/{source}")
        for entry, source, target in zip(listed, sources, targets, strict=True)
        if entry["path_type"] == Kind.LINK.value
    }
    told += map(os.fsencode, links.values())
    return Contents(package, sources, targets, listed, links, commands, told)


def _listed(place: str) -> tuple[bytes, list[Mapping[str, Any]]]:
    """Return the text of a package's list of paths, and what it says."""
    text = _content(place, PATHS)
    if text is None:
        return _listed_by_files(place)
    try:
        listed: list[Mapping[str, Any]] = json.loads(text)["paths"]
    except (LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"{PATHS} lists no paths: {error}") from error
    return text, listed


def _listed_by_files(place: str) -> tuple[bytes, list[Mapping[str, Any]]]:
    """Return the same for a package that has no ``paths.json``."""
    text = _content(place, FILES)
    if text is None:
        raise FileNotFoundError(f"there is neither {PATHS} nor {FILES}")
    names = filter(None, text.decode().splitlines())
    return text, [{"_path": name, "path_type": _kind_there(f"{place}/{name}")} for name in names]


def _kind_there(path: str) -> str:
    if paths.islink(path):
        return Kind.LINK.value
    return Kind.DIRECTORY.value if paths.isdir(path) else Kind.FILE.value


def _may_be_for_any_python(place: str, sources: Iterable[str]) -> bool:
    """Say whether it makes a difference to a package if it is for any Python."""
    return paths.lexists(f"{place}/{LINK}") or any(
        path.startswith((_MODULES, _SCRIPTS)) for path in sources
    )


def _entry_points(link: bytes | None) -> Iterator[str]:
    """Yield the names of the commands that a package wants: ``name = module:function``."""
    noarch = json.loads(link or b"{}").get("noarch") or {}
    for point in noarch.get("entry_points") or ():
        yield str(point).partition("=")[0].strip()


def _target(path: str, modules: str) -> str:
    """Return where a path goes in an environment, of a package that is for any Python."""
    first, slash, rest = path.partition("/")
    return f"{ {_MODULES: modules, _SCRIPTS: _COMMANDS}.get(first, first) }{slash}{rest}"


def _content(place: str, name: str) -> bytes | None:
    """Return the content of a file of an extracted archive, None if there is none."""
    try:
        file = os.open(f"{place}/{name}", _AS_IT_IS)
    except FileNotFoundError:
        return None
    with open(file, "rb") as opened:
        return opened.read()
