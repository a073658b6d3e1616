"""The members of packages: what each brings into a prefix, as its extracted archive tells it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import partial
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
COMMANDS = "bin"
_AS_IT_IS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class Kind(Enum):
    """What a member is, in the words of ``paths.json``."""

    FILE = "hardlink"
    LINK = "softlink"
    DIRECTORY = "directory"


# The paths in a directory, by what they are.
Kinds = dict[Kind, set[str]]

_KINDS = {kind.value for kind in Kind}
_LINK = Kind.LINK.value


class Member(NamedTuple):
    """A path that a package brings, below the prefix; its digest and size if they are told."""

    path: str
    kind: Kind
    sha256: str = ""
    size: int | None = None


class Contents(NamedTuple):
    """What a package brings that is called ``package`` and extracted to ``place``.

    ``sources`` are the paths in its extracted archive, and ``targets`` the same
    ones below the prefix, in the order of ``listed``, which is what the package
    says of each. ``links`` are the texts of those that are symlinks, by target.
    ``commands`` are the scripts that the engine makes for entry points: by path
    what each calls. ``told`` is all that was read for this.
    """

    package: str
    place: str
    sources: Sequence[str]
    targets: Sequence[str]
    listed: Sequence[Mapping[str, Any]]
    links: Mapping[str, str]
    commands: Mapping[str, str]
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


def of_extracted(package: str, place: str, modules: str) -> Contents:
    """Return what a package brings, from the directory ``place`` that it was extracted to.

    Raises as ``read``.
    """
    found = read(package, partial(_content, place), partial(_text_of_link, place), modules)
    return found._replace(place=place)


def read(
    package: str, content: Callable[[str], bytes | None], link: Callable[[str], str], modules: str
) -> Contents:
    """Return what a package brings, by the ``content`` of its files and what its links lead to.

    ``modules`` is what ``modules_of`` says of its environment. Raises ``OSError``, and
    ``ValueError`` if the package describes itself in a way that nobody can read.
    """
    text, listed = _listed(content, link)
    try:
        sources = [entry["_path"] for entry in listed]
        kinds = {entry["path_type"] for entry in listed}
        if not (kinds <= _KINDS and {*map(type, sources)} <= {str}):
            raise ValueError(f"{PATHS} lists something that is no path of a package")
    except (LookupError, TypeError) as error:
        raise ValueError(f"{PATHS} lists no paths: {error}") from error
    told, targets, commands = [text], sources, dict[str, str]()
    entry_points = content(LINK)
    if entry_points is not None or _are_for_any_python(sources):
        index = content(INDEX) or b"{}"
        told += [index, entry_points or b""]
        if _document(index).get("noarch") == "python":
            targets = [_target(path, modules) for path in sources]
            points = _entry_points(entry_points or b"{}")
            commands = {f"{COMMANDS}/{name}": called for name, called in points}
    links = {
        target: link(source)
        for entry, source, target in zip(listed, sources, targets, strict=True)
        if entry["path_type"] == _LINK
    }
    told += [text.encode("utf-8", "surrogateescape") for text in links.values()]
    return Contents(package, "", sources, targets, listed, links, commands, told)


def kinds_in(place: str) -> Kinds:
    """Return all that there is in a directory, without following a symlink."""
    files, directories, links = set[str](), set[str](), set[str]()
    ahead = [""]
    while ahead:
        above = ahead.pop()
        before = f"{above}/" if above else ""
        with os.scandir(f"{place}/{above}") as entries:
            for entry in entries:
                path = before + entry.name
                if entry.is_file(follow_symlinks=False):
                    files.add(path)
                elif entry.is_dir(follow_symlinks=False):
                    directories.add(path)
                    ahead.append(path)
                elif entry.is_symlink():
                    links.add(path)
    return {Kind.FILE: files, Kind.DIRECTORY: directories, Kind.LINK: links}


def _listed(
    content: Callable[[str], bytes | None], link: Callable[[str], str]
) -> tuple[bytes, Sequence[Mapping[str, Any]]]:
    """Return the text of a package's list of its paths, and what that says of each."""
    text = content(PATHS)
    if text is not None:
        return text, _document(text).get("paths", (None,))
    text = content(FILES)
    if text is None:
        raise FileNotFoundError(f"there is neither {PATHS} nor {FILES}")
    return text, [
        {"_path": name, "path_type": (Kind.LINK if link(name) else Kind.FILE).value}
        for name in filter(None, text.decode().splitlines())
    ]


def _document(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("what it says of itself has no end") from error
    if not isinstance(found, dict):
        raise ValueError("what it says of itself is no JSON object")
    return found


def _are_for_any_python(sources: Iterable[str]) -> bool:
    return any(path.startswith((_MODULES, _SCRIPTS)) for path in sources)


def _entry_points(link: bytes) -> Iterator[tuple[str, str]]:
    """Yield the commands that a package wants, and what each calls: ``name = module:function``."""
    noarch = _document(link).get("noarch")
    points = noarch.get("entry_points") if isinstance(noarch, dict) else None
    for point in points if isinstance(points, list) else ():
        name, _, called = str(point).partition("=")
        yield name.strip(), called.strip()


def _target(path: str, modules: str) -> str:
    """Return where a path goes in an environment, of a package that is for any Python."""
    first, slash, rest = path.partition("/")
    return f"{ {_MODULES: modules, _SCRIPTS: COMMANDS}.get(first, first) }{slash}{rest}"


def _content(place: str, name: str) -> bytes | None:
    """Return the content of a file in a directory, None if there is none."""
    try:
        file = os.open(f"{place}/{name}", _AS_IT_IS)
    except FileNotFoundError:
        return None
    with open(file, "rb") as opened:
        return opened.read()


def _text_of_link(place: str, name: str) -> str:
    """Return what a symlink in a directory leads to, "" for what is none."""
    try:
        return os.readlink(f"{place}/{name}")
    except (OSError, ValueError):
        return ""
