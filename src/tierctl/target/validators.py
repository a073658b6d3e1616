"""What has to be true of links and paths; each check can be used by itself."""

from __future__ import annotations

import errno
import os

from tierctl.errors import InvalidLink, InvalidTargetPath, SameColor
from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import Entry, FileSystem, Kind
from tierctl.rotation.names import (
    DEPLOYMENTS,
    HIGHEST_NUMBER,
    INFRASTRUCTURE,
    LONGEST_NAME,
    is_deployment_number,
)
from tierctl.rotation.state import Color, Content, State
from tierctl.text import shown

# conda writes its prefix over a placeholder of 255 bytes in every binary file.
LONGEST_PREFIX = 255
# The longest that comes below a target: a six-digit deployment, an environment
# with a name of 24 characters.
_LONGEST_BELOW = (
    f"/{INFRASTRUCTURE}/{DEPLOYMENTS}/{HIGHEST_NUMBER}/conda/envs/" + LONGEST_NAME * "x"
)


def validate_symlink_target(path: str, fs: FileSystem | None = None) -> Color:
    """Return the color that a tier's symlink points to.

    Any spelling is accepted that names ``blue`` or ``green`` in the directory
    where the symlink itself stands, absolute ones included. Raises
    ``InvalidLink`` if the symlink is missing, no symlink, dangling, a loop, or
    points to anything else, or out of its directory.
    """
    fs = fs or OsFileSystem()
    target = _link_text(path, fs)
    _require_directory(path, target, fs)
    infrastructure = os.path.dirname(path) or "."
    name = _name_within(fs, infrastructure, infrastructure, target)
    if name is None:
        raise InvalidLink(path, f"points to {shown(target)}, outside {shown(infrastructure)}")
    if name not in tuple(Color):
        raise InvalidLink(
            path, f"points to {shown(target)}, which is neither blue nor green", _relink(path)
        )
    return Color(name)


def validate_color(path: str, fs: FileSystem | None = None) -> Content:
    """Return the content of the color at ``path``.

    A color is a plain directory, or a symlink to a numbered deployment beside
    it. Raises ``InvalidLink`` for anything else.
    """
    fs = fs or OsFileSystem()
    kind = _entry(path, fs).kind
    if kind is Kind.DIRECTORY:
        return Content(path.rpartition("/")[2])
    if kind is not Kind.LINK:
        raise InvalidLink(path, f"is a {kind.value}; a color is a directory or a symlink")
    target = fs.read_link(path)
    infrastructure = os.path.dirname(path) or "."
    deployments = f"{infrastructure}/{DEPLOYMENTS}"
    head, _, number = target.partition("/")
    if head != DEPLOYMENTS or not is_deployment_number(number):  # not as tierctl writes it
        _require_directory(path, target, fs)
        number = _name_within(fs, infrastructure, deployments, target) or ""
        if not is_deployment_number(number):
            raise InvalidLink(
                path, f"points to {shown(target)}, which is no deployment of this target"
            )
    _require_deployment(path, target, f"{deployments}/{number}", fs)
    return Content.of_deployment(int(number))


def validate_rotation(state: State) -> None:
    """Raise ``SameColor`` if production and staging point to one color."""
    if state.production is state.staging:
        raise SameColor(state.staging)


def validate_target_path(target: str) -> None:
    """Raise ``InvalidTargetPath`` if no target can live at an absolute path."""
    if not target:
        raise InvalidTargetPath("the target's path is empty", "Name a directory.")
    validate_target_characters(target)
    length = len(os.fsencode(target + _LONGEST_BELOW))
    if length > LONGEST_PREFIX:
        raise InvalidTargetPath(
            f"the path is {length - LONGEST_PREFIX} bytes too long: {shown(target)}",
            f"conda environments below it would be beyond the {LONGEST_PREFIX} bytes that their "
            "programs have room for: choose a shorter path.",
        )


def validate_target_characters(target: str) -> None:
    """Raise ``InvalidTargetPath`` if shells cannot have a path on PATH, or people read it."""
    if not target.isprintable() and any(ord(char) < 32 or ord(char) == 127 for char in target):
        raise InvalidTargetPath(
            f"a target's path cannot hold control characters: {shown(target)}",
            "Choose another directory.",
        )
    if ":" in target:
        raise InvalidTargetPath(
            f"a target's path cannot hold a colon, it separates the directories of PATH: "
            f"{shown(target)}",
            "Choose another directory.",
        )


def _require_deployment(path: str, target: str, deployment: str, fs: FileSystem) -> None:
    try:
        kind = fs.entry(deployment).kind
    except (FileNotFoundError, NotADirectoryError):
        kind = None
    if kind is not Kind.DIRECTORY:
        _require_directory(path, target, fs)
        raise InvalidLink(path, f"points to {shown(target)}, which is itself a symlink")


def _link_text(path: str, fs: FileSystem) -> str:
    try:
        return fs.read_link(path)
    except OSError as error:
        kind = _entry(path, fs).kind
        if kind is Kind.LINK:
            raise
        raise InvalidLink(path, f"is a {kind.value}, not a symlink") from error


def _entry(path: str, fs: FileSystem) -> Entry:
    try:
        return fs.entry(path)
    except FileNotFoundError as error:
        raise InvalidLink(path, "is missing") from error


def _name_within(fs: FileSystem, infrastructure: str, directory: str, target: str) -> str | None:
    """Return the name that ``target`` has in ``directory``, or None if it is not in there."""
    head, name = os.path.split(target.rstrip("/"))
    if name in ("", ".", ".."):
        return None
    holder = os.path.join(infrastructure, head)
    if os.path.join(holder, "") == os.path.join(directory, ""):
        return name  # the spelling that tierctl writes
    try:
        inside = fs.entry(holder, follow=True).is_same(fs.entry(directory, follow=True))
    except OSError:
        return None
    return name if inside else None


def _require_directory(path: str, target: str, fs: FileSystem) -> None:
    try:
        kind = fs.entry(path, follow=True).kind
    except (FileNotFoundError, NotADirectoryError) as error:
        chain = " -> ".join(map(shown, _chain(path, fs)))
        raise InvalidLink(path, f"is dangling: {chain}, which does not exist") from error
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise InvalidLink(path, f"is a loop: it points to {shown(target)}") from error
    if kind is not Kind.DIRECTORY:
        raise InvalidLink(path, f"points to {shown(target)}, which is a {kind.value}")


def _relink(path: str) -> str:
    name = os.path.basename(path)
    return f"Point {name} to blue or green, whichever is not the other tier's color."


def _is_link(path: str, fs: FileSystem) -> bool:
    try:
        return fs.entry(path).kind is Kind.LINK
    except OSError:
        return False


def _chain(path: str, fs: FileSystem) -> list[str]:
    """Return the names that a dangling symlink leads through, the missing one last."""
    chain = [os.path.basename(path)]
    while _is_link(path, fs):
        chain.append(fs.read_link(path))
        path = os.path.join(os.path.dirname(path), chain[-1])
    return chain
