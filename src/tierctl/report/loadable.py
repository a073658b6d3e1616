"""Whether sourcing a tier's profile loads that tier."""

from __future__ import annotations

from collections.abc import Iterable
from os import path as paths

from tierctl.errors import InvalidLink, cause_of
from tierctl.fs.protocol import FileSystem, Kind, exists, read
from tierctl.rotation.names import DEPLOYMENTS, PROFILE
from tierctl.rotation.state import Content
from tierctl.target.target import Target
from tierctl.text import shown

# As tierctl writes it, and not a profile of somebody's own that looks where it is.
_MARK = "export IAC_TIER_DIR='/"
# The line is near the beginning; who wrote more than that wrote another profile.
_LONGEST_PROFILE_BYTES = 1 << 16


def hindrance(target: Target, directory: str) -> str:
    """Return what a directory has instead of a profile that loads it; empty if it has one.

    The words follow "has". ``directory`` is relative to the infrastructure.
    """
    trouble, text = _profile(target, directory)
    if trouble:
        return trouble
    elsewhere = _other_directory(target, directory, text)
    return "" if elsewhere is None else f"an {PROFILE} that leads to {shown(elsewhere)}"


def no_profile(target: Target, directory: str) -> str:
    """Return what a directory has in the place of a profile that can be read; as ``hindrance``."""
    return _profile(target, directory)[0]


def _profile(target: Target, directory: str) -> tuple[str, str]:
    """Return what is wrong with a directory's profile, or nothing and how the profile begins."""
    path = f"{target.within(directory)}/{PROFILE}"
    try:
        kind = target.fs.entry(path, follow=True).kind
        if kind is not Kind.FILE:
            return f"an {PROFILE} that is a {kind.value}", ""
        if target.fs.entry(path).kind is not Kind.FILE:  # what a link leads to is not read
            return "", ""
        return "", read(target.fs, path, 0, _LONGEST_PROFILE_BYTES).decode(
            "utf-8", "surrogateescape"
        )
    except FileNotFoundError:
        return f"no {PROFILE}", ""
    except OSError as error:
        return f"an {PROFILE} that cannot be read: {cause_of(error)}", ""


def is_meant_to_be(target: Target, content: Content) -> bool:
    """Say whether a content was made to be loaded; a directory made by hand need not be."""
    try:
        return content.deployment is not None or exists(
            target.fs, f"{target.within(content.directory)}/etc"
        )
    except OSError:
        return True


def leads_to(target: Target, directory: str) -> str | None:
    """Return the other directory that a profile loads, as in a target that was moved or copied.

    None if it loads its own, or is not one that tierctl has written.
    """
    return _other_directory(target, directory, _profile(target, directory)[1])


def require_own(target: Target, directory: str) -> None:
    """Raise ``InvalidLink`` if a profile loads another directory than its own."""
    elsewhere = leads_to(target, directory)
    if elsewhere is not None:
        raise InvalidLink(
            f"{target.within(directory)}/{PROFILE}",
            f"leads to {shown(elsewhere)}: the target was moved or copied, and is not loaded",
        )


def require_in_place(target: Target, directories: Iterable[str]) -> None:
    """Raise ``InvalidLink`` if a target was moved or copied: all these profiles lead out of it."""
    written = [
        directory
        for directory in directories
        if _written_directory(_profile(target, directory)[1]) is not None
    ]
    if written and all(_leads_out(target, directory) for directory in written):
        require_own(target, written[0])


def _leads_out(target: Target, directory: str) -> bool:
    """Say whether a profile leads to another infrastructure, and not only elsewhere in this one."""
    written = leads_to(target, directory)
    if written is None:
        return False
    above = paths.dirname(written)
    inside = paths.dirname(above) if paths.basename(above) == DEPLOYMENTS else above
    return not is_same(target.fs, inside, target.infrastructure)


def _other_directory(target: Target, directory: str, text: str) -> str | None:
    own = target.within(directory)
    written = _written_directory(text)
    return None if written is None or is_same(target.fs, written, own) else written


def _written_directory(text: str) -> str | None:
    import shlex

    try:
        line = next(line for line in text.splitlines() if line.startswith(_MARK))
        return shlex.split(line)[1].partition("=")[2]
    except (StopIteration, ValueError, IndexError):
        return None


def is_same(fs: FileSystem, one: str, other: str) -> bool:
    """Say whether two paths lead to one object, and are there."""
    try:
        return fs.entry(one, follow=True).is_same(fs.entry(other, follow=True))
    except OSError:
        return False
