"""Members that no package is to have: they would be written where nothing of it belongs.

The engine joins a member's path to the prefix and writes there, whatever that
leads to. So all members of an environment are looked at before any is linked:
each path by itself, and whether a symlink of any package leads it out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from os import path as paths
from typing import NamedTuple

from tierctl.deploy.engine.worker.members import FILES, PATHS, Contents, Kind, Kinds, kinds_in
from tierctl.rotation.names import PACKAGE_RECORDS
from tierctl.text import shown

# Where wheels are unpacked before they are moved into their environment.
STAGE = ".tierctl-wheels"
# What the engine writes itself: its records, and what two packages bring.
_OF_THE_ENGINE = (PACKAGE_RECORDS, "__clobbers__", STAGE)
_IN_WORDS = {Kind.FILE: "a file", Kind.LINK: "a symlink", Kind.DIRECTORY: "a directory"}
_MISSING = "it is not there"
_BYTECODE = "__pycache__"
_LONGEST_NAME, _LONGEST_PATH = 255, 4095
_MOST_LINKS = 40  # as many as the kernel follows
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# What stands in the text of paths, a line each with one before and behind, if one of them is odd.
_ODD = (
    *("//", "/./", "/../", "\n/", "/\n", "\n\n"),
    *("\n./", "\n../", "/.\n", "/..\n", "\n.\n", "\n..\n"),
    *(f"\n{name}" for name in _OF_THE_ENGINE),
)
# A character has up to four bytes, and there is a prefix before a path.
_SURELY_SHORT = _LONGEST_NAME // 4


class Wrong(NamedTuple):
    """A member that must not be linked, and why."""

    package: str
    member: str
    reason: str

    def __str__(self) -> str:
        return f"it brings '{shown(self.member)}': {self.reason}"


class Link(NamedTuple):
    """A symlink that a package brings."""

    package: str
    path: str
    leads_to: str

    def __str__(self) -> str:
        return (
            f"the symlink {shown(self.path)} -> {shown(self.leads_to)} of {shown(self.package)} "
            "leads it out of the environment"
        )


Links = dict[str, list[Link]]


class _Way(NamedTuple):
    """How far a path was followed: what was reached, what is ahead, by which symlink."""

    reached: tuple[str, ...]
    ahead: tuple[str, ...]
    by: Link | None


def of_one(contents: Contents, prefix: str) -> Iterator[Wrong]:
    """Yield the members of a package that have no path of a package, for what ``prefix`` is."""
    own = [contents.sources] if contents.sources is not contents.targets else []
    for listed in (*own, contents.targets, contents.commands):
        if _are_suspect(listed):
            for path in listed:
                if reason := _wrong_with(path, prefix):
                    yield Wrong(contents.package, path, reason)


def of_all(environment: Sequence[Contents], prefix: str) -> Iterator[Wrong]:
    """Yield the members of the packages of one environment that must not be linked."""
    for contents in environment:
        yield from of_one(contents, prefix)
    links: Links = {}
    for contents in environment:
        for path, leads_to in contents.links.items():
            links.setdefault(path, []).append(Link(contents.package, path, leads_to))
    for contents in environment if links else ():
        yield from _led_out(contents, links)


def unlike_its_list(contents: Contents) -> Iterator[Wrong]:
    """Yield the members that are not in the extracted archive as the package lists them.

    The engine takes what is there for what is listed, and follows symlinks to it.
    """
    there = kinds_in(contents.place)
    yield from _unlike(contents, contents.sources, there)
    if not {PATHS, FILES} & there[Kind.FILE]:
        yield Wrong(contents.package, PATHS, "it is no file of the package")


def linked_otherwise(
    environment: Iterable[Contents], prefix: str, clashing: Collection[str]
) -> Iterator[tuple[Contents, Wrong]]:
    """Yield the members that have become something else in a prefix than packages list.

    The engine sees that a file in the cache has the wrong content, but not that it is a symlink
    to one with the right content. What several bring, ``clashing``, is that of one of them.
    """
    there = kinds_in(prefix)
    for contents in environment:
        for wrong in _unlike(contents, contents.targets, there):
            is_behind_a_link = wrong.reason is _MISSING and paths.lexists(
                f"{prefix}/{wrong.member}"
            )
            if wrong.member not in clashing and not is_behind_a_link:
                yield contents, wrong


def _unlike(contents: Contents, listed: Sequence[str], there: Kinds) -> Iterator[Wrong]:
    """Yield the members that are missing from what there is, or of another kind."""
    kinds = {entry["path_type"] for entry in contents.listed}
    if kinds == {Kind.FILE.value} and there[Kind.FILE].issuperset(listed):
        return  # as nearly always
    for path, entry in zip(listed, contents.listed, strict=True):
        kind = Kind(entry["path_type"])
        if path not in there[kind]:
            is_there = any(path in each for each in there.values())
            reason = f"it is listed as {_IN_WORDS[kind]}, which it is not"
            yield Wrong(contents.package, path, reason if is_there else _MISSING)


def _are_suspect(listed: Collection[str]) -> bool:
    """Say whether there may be an odd path among many.

    Nearly no package has one, so their text is searched as a whole: what is in no line of it is in
    no path.
    """
    if not listed:
        return False
    text = "\n".join(("", *listed, "")).casefold()
    return (
        text.count("\n") != len(listed) + 1
        or not text.replace("\n", "").isprintable()
        or any(odd in text for odd in _ODD)
        or any(len(path) >= _SURELY_SHORT and _may_be_long(path) for path in listed)
    )


def _may_be_long(path: str) -> bool:
    return len(path) >= _LONGEST_PATH // 16 or any(
        len(name) >= _SURELY_SHORT for name in path.split("/")
    )


def _wrong_with(path: str, prefix: str) -> str:
    """Say what is wrong with a path, or nothing."""
    names = path.split("/")
    try:
        longest = max(len(name.encode()) for name in names)
        length = len(os.fsencode(prefix)) + 1 + len(path.encode())
    except UnicodeEncodeError:
        return "its path is no text"
    wrong = {
        "it has no path": not path,
        "its path is absolute": path.startswith("/"),
        "its path has control characters": _CONTROL.search(path),
        "its path leads upwards": ".." in names,
        "its path has an empty part": "" in names or "." in names,
        f"{names[0]} is the engine's own": names[0].casefold() in _OF_THE_ENGINE,
        "its path is too long": longest > _LONGEST_NAME or length > _LONGEST_PATH,
    }
    return next((reason for reason, is_so in wrong.items() if is_so), "")


def _led_out(contents: Contents, links: Links) -> Iterator[Wrong]:
    """Yield the members that a symlink leads out of the prefix, whichever package brings it."""
    directories = {paths.dirname(path) for path in (*contents.targets, *contents.commands)}
    outside = {path: link for path in directories if (link := _way_out(path, links))}
    for member in contents.members():
        if member.kind is not Kind.LINK and member.path in links:
            link = _way_out(member.path, links)  # it can be written through that
        elif member.kind is Kind.LINK and paths.basename(member.path) == _BYTECODE:
            link = _way_out(member.path, links)  # Python will write there
        else:
            link = outside.get(paths.dirname(member.path))
        if link is not None:
            yield Wrong(contents.package, member.path, str(link))


def _way_out(path: str, links: Links) -> Link | None:
    """Return the symlink by which a path leaves the prefix, or gets to what is the engine's.

    Two packages may bring one link: either can be there in the end.
    """
    ways = [_Way((), tuple(path.split("/")), None)]
    followed = 0
    while ways:
        way = _as_far_as_a_link(ways.pop(), links)
        here = links.get("/".join(way.reached), ())
        followed += len(here)
        for link in here:
            if link.leads_to.startswith("/") or followed > _MOST_LINKS:
                return link
            ways.append(_Way(way.reached[:-1], (*link.leads_to.split("/"), *way.ahead), link))
        is_gone = ".." in way.reached or any(way.reached[:1] == (own,) for own in _OF_THE_ENGINE)
        if is_gone and not here:
            return way.by
    return None


def _as_far_as_a_link(way: _Way, links: Links) -> _Way:
    """Follow a path until there is a symlink, or to its end; ``..`` is reached outside."""
    reached = list(way.reached)
    for position, name in enumerate(way.ahead):
        if name == ".." and reached and reached[-1] != "..":
            reached.pop()
        elif name not in ("", "."):
            reached.append(name)
            if "/".join(reached) in links:
                return _Way(tuple(reached), way.ahead[position + 1 :], way.by)
    return _Way(tuple(reached), (), way.by)
