"""What a finished deployment consists of, as ``meta/manifest`` lists it.

The format is that of mtree(5), so a deployment can be checked without tierctl:
``mtree -p deployments/4 -f deployments/4/meta/manifest``.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping

from tierctl.errors import BadFile
from tierctl.fs import tree
from tierctl.fs.listing import Directory, Entry, Tree, Whole
from tierctl.fs.tree import Held
from tierctl.rotation.names import MANIFEST, META, RECORD
from tierctl.target import trust
from tierctl.target.target import Target

_HEAD = "#mtree"
_OUTLINE = "#outline sha256="
# Their sizes and contents are not in it: they are written when it is, and after it.
_WRITTEN_LAST = (MANIFEST, RECORD)
# What is so unless a line says otherwise.
_DEFAULTS = "/set type=file mode=0444"
_READ = 0o444
_PLAIN = stat.S_IFREG | _READ
_UP = ".."
# What mtree(5) has as octal numbers of bytes: blanks, control characters, patterns, its comments.
_ODD = re.compile(r"[^!-~]|[\\#*?\[]")
_OCTAL = re.compile(rb"\\([0-7]{3})")
_KINDS = {"file": stat.S_IFREG, "dir": stat.S_IFDIR, "link": stat.S_IFLNK}
_LINK_MODE = 0o777


def to_text(whole: Whole) -> bytes:
    """Return a manifest: the same bytes for the same tree and the same contents."""
    tree, sha256s = whole
    lines = [_HEAD, f"{_OUTLINE}{outline(tree)}", _DEFAULTS]
    depth = 0
    for parts, path in sorted((tuple(filter(None, path.split("/"))), path) for path in tree):
        lines += [_UP] * (depth - len(parts))
        depth = len(parts) + 1
        mode, names = tree[path]
        lines.append(f"{_encoded(parts[-1]) if parts else '.'} type=dir mode={_octal(mode)}")
        above = f"{path}/" if path else ""
        encoded = _encoded if _ODD.search("".join(names)) else str
        for name in sorted(names):
            entry, sha256 = names[name], sha256s.get(above + name, "")
            if sha256 and entry.mode == _PLAIN:  # as most are
                lines.append(f"{encoded(name)} size={entry.size} sha256={sha256}")
            else:
                lines.append(f"{encoded(name)}{_told(entry, sha256)}")
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def _told(entry: Entry, sha256: str) -> str:
    mode, size, link = entry
    if stat.S_ISLNK(mode):
        return f" type=link mode={_octal(_LINK_MODE)} link={_encoded(link)}"
    told = "" if mode == _PLAIN else f" mode={_octal(mode)}"
    return f"{told} size={size} sha256={sha256}" if sha256 else told


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


def from_text(data: bytes) -> Whole:
    """Return what a manifest lists; raises ``ValueError`` where it is none."""
    head, _, defaults, *lines = (*data.decode("ascii").split("\n"), "", "")
    if (head, defaults) != (_HEAD, _DEFAULTS):
        raise ValueError("it begins with something else")
    whole = Whole({}, sha256s := {})
    place: list[str] = []
    here: Directory | None = None
    for line in filter(None, lines):
        name, _, told = line.partition(" ")
        if name == _UP:
            place.pop()
            continue
        words = dict(word.split("=", 1) for word in told.split(" ")) if told else {}
        mode, name = _mode(words), _decoded(name)
        if stat.S_ISDIR(mode):
            place.append(name)
            whole.tree["/".join(place[1:])] = here = Directory(mode, {})
            continue
        if here is None:
            raise ValueError("it begins with no directory")
        here.names[name] = Entry(mode, int(words.get("size", 0)), _decoded(words.get("link", "")))
        if "sha256" in words:
            sha256s["/".join((*place[1:], name))] = words["sha256"]
    return whole


def _mode(words: Mapping[str, str]) -> int:
    kind = _KINDS[words["type"]] if "type" in words else stat.S_IFREG
    return kind | (int(words["mode"], 8) if "mode" in words else _READ)


def outline(tree: Tree) -> str:
    """Return a sha256 of all in a tree but what files hold.

    It is in the manifest: to compare it takes a fraction of the time that all names take.
    """
    digest = hashlib.sha256()
    for path in sorted(tree):
        mode, names = tree[path]
        unsized = _WRITTEN_LAST if path == META else ()
        entries = sorted(
            f"{name}\0{entry.mode}\0{0 if name in unsized else entry.size}\0{entry.link}\0"
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


def digest(data: bytes) -> str:
    """Return the sha256 of a manifest, as a deploy's event has it."""
    return hashlib.sha256(data).hexdigest()


def read(target: Target, directory: str) -> bytes:
    """Return the manifest of a deployment; raises ``Untrusted`` or ``OSError``."""
    return trust.read(target, target.manifest(directory))


def whole_in(data: bytes, path: str) -> Whole:
    """Return what a manifest lists that was read from a path; raises ``BadFile``."""
    try:
        return from_text(data)
    except (ValueError, LookupError) as error:
        raise BadFile(path, f"is no manifest: {error}") from error


def with_itself(whole: Whole) -> Whole:
    """Return a tree with the manifest and the deployment's record, which are written after it."""
    meta = whole.tree[META]
    written = {name: Entry(stat.S_IFREG | _READ) for name in _WRITTEN_LAST}
    tree = {**whole.tree, META: meta._replace(names={**meta.names, **written})}
    return whole._replace(tree=tree)


def write(held: Held, whole: Whole) -> str:
    """Write the manifest of a deployment that is held, and consists of that; return its sha256."""
    text = to_text(with_itself(whole))
    tree.write_new(f"{held.place}/{META}/{MANIFEST}", text)
    return digest(text)
