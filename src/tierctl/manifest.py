"""What a finished deployment consists of, as ``meta/manifest`` lists it.

The format is that of mtree(5), so a deployment can be checked without tierctl:
``mtree -p deployments/4 -f deployments/4/meta/manifest``.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from typing import NamedTuple

from tierctl import trust
from tierctl.errors import BadFile
from tierctl.filesystem import FileSystem
from tierctl.layout import MANIFEST, META, RECORD, Layout

_HEAD = "#mtree"
_OUTLINE = "#outline sha256="
# These two are not in it, with their size and content: they are written when it is.
_WRITTEN_LAST = (MANIFEST, RECORD)
# What is so unless a line says otherwise.
_DEFAULTS = "/set type=file mode=0444"
_READ = 0o444
_UP = ".."
# What mtree(5) has as octal numbers of bytes: blanks, control characters, patterns, its comments.
_ODD = re.compile(r"[^!-~]|[\\#*?\[]")
_OCTAL = re.compile(rb"\\([0-7]{3})")
_KINDS = {"file": stat.S_IFREG, "dir": stat.S_IFDIR, "link": stat.S_IFLNK}
_LINK_MODE = 0o777


class Entry(NamedTuple):
    """A name in a tree that is no directory.

    ``mode`` is as ``st_mode`` has it, with the kind; ``size`` is in bytes. ``content`` is a
    file's sha256 or what a link says, and is empty where that is not known.
    """

    mode: int
    size: int = 0
    content: str = ""

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)


class Directory(NamedTuple):
    """A directory in a tree: its ``st_mode``, and the names in it that are no directories."""

    mode: int
    names: dict[str, Entry]


# The directories by their path below the top, which is "" itself.
Tree = dict[str, Directory]


def to_text(tree: Tree) -> bytes:
    """Return a manifest: the same bytes for the same tree."""
    lines = [_HEAD, f"{_OUTLINE}{outline(_without_contents(tree))}", _DEFAULTS]
    depth = 0
    for parts, path in sorted((tuple(filter(None, path.split("/"))), path) for path in tree):
        lines += [_UP] * (depth - len(parts))
        depth = len(parts) + 1
        mode, names = tree[path]
        lines.append(f"{_encoded(parts[-1]) if parts else '.'} type=dir mode={_octal(mode)}")
        lines += [f"{_encoded(name)}{_told(names[name])}" for name in sorted(names)]
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def _told(entry: Entry) -> str:
    if stat.S_ISLNK(entry.mode):
        return f" type=link mode={_octal(_LINK_MODE)} link={_encoded(entry.content)}"
    rights = stat.S_IMODE(entry.mode)
    told = "" if rights == _READ else f" mode={_octal(rights)}"
    return f"{told} size={entry.size} sha256={entry.content}" if entry.content else told


def _octal(mode: int) -> str:
    return f"{stat.S_IMODE(mode):04o}"


def _encoded(name: str) -> str:
    if not _ODD.search(name):
        return name
    return "".join(
        f"\\{byte:03o}" if _ODD.match(chr(byte)) else chr(byte) for byte in os.fsencode(name)
    )


def _decoded(text: str) -> str:
    if "\\" not in text:
        return text
    name = _OCTAL.sub(lambda found: bytes([int(found[1], 8) & 0xFF]), text.encode("ascii"))
    return os.fsdecode(name)


def from_text(data: bytes) -> Tree:
    """Return what a manifest lists; raises ``ValueError`` where it is none."""
    head, _, defaults, *lines = (*data.decode("ascii").split("\n"), "", "")
    if (head, defaults) != (_HEAD, _DEFAULTS):
        raise ValueError("it begins with something else")
    while lines and not lines[-1]:
        lines.pop()
    tree: Tree = {}
    place: list[str] = []
    here: Directory | None = None
    for line in lines:
        name, _, told = line.partition(" ")
        if name == _UP:
            place.pop()
            continue
        mode, size, content = _read_words(told)
        if stat.S_ISDIR(mode):
            place.append(_decoded(name))
            tree["/".join(place[1:])] = here = Directory(mode, {})
        elif here is None:
            raise ValueError("it begins with no directory")
        else:
            here.names[_decoded(name)] = Entry(mode, size, content)
    return tree


def _read_words(told: str) -> tuple[int, int, str]:
    """Return the mode, the size and the content that the words behind a name tell."""
    words = dict(word.split("=", 1) for word in told.split(" ")) if told else {}
    mode = _KINDS[words["type"]] if "type" in words else stat.S_IFREG
    mode |= int(words["mode"], 8) if "mode" in words else _READ
    return mode, int(words.get("size", 0)), words.get("sha256") or _decoded(words.get("link", ""))


def outline(tree: Tree) -> str:
    """Return a sha256 of all in a tree but what files hold, which ``tree`` must not tell.

    It is in the manifest: to compare it takes a fraction of the time that all names take.
    """
    digest = hashlib.sha256()
    for path in sorted(tree):
        mode, names = tree[path]
        unsized = _WRITTEN_LAST if path == META else ()
        entries = sorted(
            f"{name}\0{entry.mode}\0{0 if name in unsized else entry.size}\0{entry.content}\0"
            for name, entry in names.items()
        )
        text = f"{path}\0{mode}\0{''.join(entries)}\0"
        digest.update(text.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def outline_in(data: bytes) -> str:
    """Return the outline that a manifest tells, nothing where it tells none."""
    line = data.split(b"\n", 2)[1:2]
    told = line[0].decode("ascii", "replace") if line else ""
    return told.removeprefix(_OUTLINE) if told.startswith(_OUTLINE) else ""


def _without_contents(tree: Tree) -> Tree:
    return {
        path: directory._replace(
            names={
                name: entry._replace(content="") if entry.is_file else entry
                for name, entry in directory.names.items()
            }
        )
        for path, directory in tree.items()
    }


def digest(data: bytes) -> str:
    """Return the sha256 of a manifest, as a deploy's event has it."""
    return hashlib.sha256(data).hexdigest()


def read(fs: FileSystem, layout: Layout, directory: str) -> bytes:
    """Return the manifest of a deployment; raises ``Untrusted`` or ``OSError``."""
    return trust.read(fs, layout, layout.manifest(directory))


def tree_in(data: bytes, path: str) -> Tree:
    """Return what a manifest lists that was read from a path; raises ``BadFile``."""
    try:
        return from_text(data)
    except (ValueError, LookupError) as error:
        raise BadFile(path, f"is no manifest: {error}") from error


def with_itself(tree: Tree) -> Tree:
    """Return a tree with the manifest and the deployment's record, which are written after it."""
    meta = tree[META]
    written = {name: Entry(stat.S_IFREG | _READ) for name in _WRITTEN_LAST}
    return {**tree, META: meta._replace(names={**meta.names, **written})}
