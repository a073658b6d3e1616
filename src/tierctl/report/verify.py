"""Whether a deployment is what its manifest says, name by name."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from os import path as paths
from typing import NamedTuple

from tierctl.errors import BadFile, NewerVersion, TierctlError, Untrusted, cause_of
from tierctl.fs import listing
from tierctl.fs.listing import Entry, Tree
from tierctl.journal import history
from tierctl.report import compare
from tierctl.report.origins import Origins
from tierctl.rotation.names import MANIFEST, META, PRODUCTION, STAGING
from tierctl.rotation.state import Content
from tierctl.target import manifest, record, tiers
from tierctl.target.target import Target

_MANIFEST = f"{META}/{MANIFEST}"
# By path below the top, directories too.
_Flat = dict[str, Entry]
_BYTECODE = re.compile(r"(?:^|/)__pycache__(?:/[^/]+\.pyc)?$")
_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}


class What(StrEnum):
    """What is wrong with a name."""

    MISSING = "missing"
    EXTRA = "extra"
    KIND = "kind"
    MODE = "mode"
    SIZE = "size"
    CONTENT = "content"
    UNREADABLE = "unreadable"


_WORDS = {
    What.MISSING: "is missing",
    What.EXTRA: "was not built: a {found}",
    What.KIND: "is a {found} instead of a {wanted}",
    What.MODE: "has {found} instead of {wanted}",
    What.SIZE: "has {found} instead of {wanted}",
    What.CONTENT: "was changed: {found} instead of {wanted}",
    What.UNREADABLE: "cannot be read: {found}",
}


class Difference(NamedTuple):
    """A name that is not as the manifest has it; what is wanted and found, as text for people.

    ``package`` is the one that brought it, as conda calls it or as ``NAME VERSION`` of a wheel;
    it is empty where none did.
    """

    path: str
    what: What
    wanted: str = ""
    found: str = ""
    package: str = ""

    def __str__(self) -> str:
        """Say it in a line."""
        told = _WORDS[self.what].format(wanted=self.wanted, found=self.found)
        source = f" (from {self.package})" if self.package else ""
        return f"{self.path}{source} {told}"


class Verification(NamedTuple):
    """What was found of a deployment.

    ``unknown`` says why there is nothing to compare it with, and is empty where there is;
    ``names`` is how many names were compared. ``is_witnessed`` says whether history
    has the manifest's sha256: without, who owns the deployment could have written another manifest.
    """

    content: Content
    names: int
    differences: tuple[Difference, ...]
    unknown: str = ""
    is_witnessed: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether everything is as the manifest has it."""
        return not (self.unknown or self.differences)


def contents_of(target: Target, names: Sequence[str]) -> dict[Content, list[str]]:
    """Return what tiers and numbers of deployments stand for, each with its names.

    Without any: what production and staging show. Raises as ``comparing.content_of``.
    """
    contents: dict[Content, list[str]] = {}
    for name in names or _shown(target):
        contents.setdefault(compare.content_of(target, name), []).append(name)
    return contents


def _shown(target: Target) -> list[str]:
    there = tiers.names(target)
    return [name for name in (PRODUCTION, STAGING) if name in there or name == STAGING]


def verify(target: Target, content: Content, *, quick: bool = False) -> Verification:
    """Compare a deployment with its manifest; ``quick`` reads no contents of files.

    Raises ``OSError`` where the deployment itself cannot be opened.
    """
    try:
        data = manifest.read(target, content.directory)
        witness, digest = _witness(target, content, quick=quick), manifest.digest(data)
        if witness not in ("", digest):
            changed = Difference(_MANIFEST, What.CONTENT, f"sha256 {witness}", f"sha256 {digest}")
            return Verification(content, 0, (changed,), is_witnessed=True)
        found = listing.read(target.within(content.directory))
        if quick and not found.errors and manifest.outline(found.tree) == manifest.outline_in(data):
            return Verification(content, _count(found.tree), (), is_witnessed=bool(witness))
        wanted = manifest.whole_in(data, target.manifest(content.directory))
    except FileNotFoundError:
        return _without_manifest(target, content)
    except (OSError, Untrusted, BadFile) as error:
        cause = cause_of(error) if isinstance(error, OSError) else error.message
        return Verification(content, 0, (Difference(_MANIFEST, What.UNREADABLE, found=cause),))
    top = target.within(content.directory)
    expected, there = _flat(wanted.tree), _flat(found.tree)
    differences = list(_compared(expected, there, wanted.sha256s, found.errors))
    if not quick:
        differences += _contents(top, expected, there, wanted.sha256s)
    differences = [each for each in differences if not _is_bytecode_of_root(top, each)]
    origins = Origins(top)
    named = (
        each if each.what is What.EXTRA else each._replace(package=origins.of(each.path))
        for each in sorted(differences)
    )
    return Verification(content, _count(wanted.tree), tuple(named), is_witnessed=bool(witness))


def _count(tree: Tree) -> int:
    return sum(1 + len(directory.names) for directory in tree.values())


def _without_manifest(target: Target, content: Content) -> Verification:
    if _witness(target, content, quick=True):
        gone = Difference(_MANIFEST, What.MISSING, "file", "nothing")
        return Verification(content, 0, (gone,), is_witnessed=True)
    reason = "was made by hand"
    if record.read(target, content.directory):
        reason = "was built by a tierctl that wrote no manifests"
    return Verification(content, 0, (), f"it has no manifest: it {reason}")


def _witness(target: Target, content: Content, *, quick: bool) -> str:
    """Return the sha256 of the manifest that history has, nothing where it has none.

    The oldest event counts, since one could be added to go with another manifest. A
    ``quick`` look takes the newest, and does not read all of history for it.
    """
    try:
        newer: list[NewerVersion] = []  # which change nothing of what was built before
        built = (event.built for event in history.newest_first(target, newer))
        told = (
            each.manifest
            for each in built
            if each is not None and each.deployment == content.deployment
        )
        return next(told, "") if quick else ["", *told][-1]
    except (OSError, TierctlError):  # doctor tells of a damaged history
        return ""


def _compared(
    expected: _Flat, there: _Flat, sha256s: Container[str], errors: Mapping[str, OSError]
) -> Iterator[Difference]:
    """Yield what differs in names, kinds, modes, sizes and links.

    A size is told of what has one of the ``sha256s``; ``errors`` are of directories.
    """
    closed = set(errors)
    for path, error in errors.items():
        yield Difference(path or ".", What.UNREADABLE, found=error.strerror or str(error))
    for path in expected.keys() | there.keys():
        if not _is_within(path, closed):
            yield from _compared_name(path, expected.get(path), there.get(path))
            if path in sha256s and path in there:
                yield from _compared_size(path, expected[path], there[path])


def _flat(tree: Tree) -> _Flat:
    """Return all names of a tree by their path, directories too."""
    return {path: Entry(directory.mode) for path, directory in tree.items()} | listing.flat(tree)


def _is_within(path: str, directories: set[str]) -> bool:
    """Say whether a path is one of some directories, or below one of them."""
    return bool(directories) and any(
        not each or path == each or path.startswith(f"{each}/") for each in directories
    )


def _is_bytecode_of_root(top: str, difference: Difference) -> bool:
    """Say whether a name was added by root's Python, which keeps what it compiles where it may.

    Nobody else could have added it as root's: who owns the deployment could as theirs.
    """
    if difference.what is not What.EXTRA or not _BYTECODE.search(difference.path):
        return False
    with suppress(OSError):  # it is gone again
        found = os.lstat(paths.join(top, difference.path))
        return found.st_uid == 0 and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return False


def _compared_name(path: str, wanted: Entry | None, found: Entry | None) -> Iterator[Difference]:
    path = path or "."
    if wanted is None:
        assert found is not None  # noqa: S101 (it is in one of the two)
        yield Difference(path, What.EXTRA, "nothing", _kind(found))
    elif found is None:
        yield Difference(path, What.MISSING, _kind(wanted), "nothing")
    elif stat.S_IFMT(wanted.mode) != stat.S_IFMT(found.mode):
        yield Difference(path, What.KIND, _kind(wanted), _kind(found))
    elif stat.S_ISLNK(wanted.mode):
        if wanted.link != found.link:
            yield Difference(path, What.CONTENT, f"-> {wanted.link}", f"-> {found.link}")
    elif wanted.mode != found.mode:
        yield Difference(path, What.MODE, _rights(wanted), _rights(found))


def _compared_size(path: str, wanted: Entry, found: Entry) -> Iterator[Difference]:
    if wanted.is_file and found.is_file and wanted.size != found.size:
        yield Difference(path, What.SIZE, f"{wanted.size} bytes", f"{found.size} bytes")


def _kind(entry: Entry) -> str:
    return _KINDS.get(stat.S_IFMT(entry.mode), "special file")


def _rights(entry: Entry) -> str:
    return f"mode {stat.S_IMODE(entry.mode):04o}"


def _contents(
    top: str, expected: _Flat, there: _Flat, sha256s: Mapping[str, str]
) -> Iterator[Difference]:
    """Yield the files that are there with the right size, and hold something else."""
    readable = [path for path in sha256s if _alike(expected[path], there.get(path))]
    for path, sha256 in listing.sha256s(top, readable):
        if isinstance(sha256, OSError):
            yield Difference(path, What.UNREADABLE, found=sha256.strerror or str(sha256))
        elif sha256 != sha256s[path]:
            yield Difference(path, What.CONTENT, f"sha256 {sha256s[path]}", f"sha256 {sha256}")


def _alike(wanted: Entry, found: Entry | None) -> bool:
    return found is not None and found.is_file and found.size == wanted.size
