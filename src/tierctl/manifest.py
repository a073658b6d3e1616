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
    lines = [_HEAD, _DEFAULTS]
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
    head, defaults, *lines = data.decode("ascii").split("\n")
    if (head, defaults, lines.pop() if lines else None) != (_HEAD, _DEFAULTS, ""):
        raise ValueError("no manifest")
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


def digest(data: bytes) -> str:
    """Return the sha256 of a manifest, as a deploy's event has it."""
    return hashlib.sha256(data).hexdigest()


def read(fs: FileSystem, layout: Layout, directory: str) -> tuple[Tree, str]:
    """Return what the manifest of a deployment lists, and its own sha256.

    Raises ``Untrusted``, ``BadFile`` or ``OSError``.
    """
    path = layout.manifest(directory)
    data = trust.read(fs, layout, path)
    try:
        return from_text(data), digest(data)
    except (ValueError, LookupError) as error:
        raise BadFile(path, f"is no manifest: {error}") from error


def with_itself(tree: Tree) -> Tree:
    """Return a tree with the manifest and the deployment's record, which are written after it."""
    meta = tree[META]
    written = {name: Entry(stat.S_IFREG | _READ) for name in (MANIFEST, RECORD)}
    return {**tree, META: meta._replace(names={**meta.names, **written})}
