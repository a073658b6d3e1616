"""Which target is meant: ``--target``, else ``IAC_TIER_DIR``, else the nearest ``tierctl.toml``."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from os import path as paths

from tierctl.errors import AmbiguousTarget, BadFile, NoTarget, NotATarget, Untrusted
from tierctl.layout import CONTROL, DEPLOYMENTS, INFRASTRUCTURE, LINKS, Layout
from tierctl.text import shown

TIER_DIR = "IAC_TIER_DIR"
DEFINITIONS = "tierctl.toml"


def find(given: str | None, environment: Mapping[str, str]) -> Layout:
    """Return the layout of the target that is meant.

    Raises ``NoTarget``, ``NotATarget`` or ``AmbiguousTarget`` where nothing
    says which, where there is none, and where two are named; ``BadFile`` or
    ``Untrusted`` if a ``tierctl.toml`` is in the way.
    """
    here = working_directory(environment)
    if given == "":
        raise NotATarget("--target", given, "is empty")
    if given is not None:
        return _of_target("--target", paths.normpath(paths.join(here, given)))
    loaded = _of_environment(environment)
    configured = _of_definitions(here)
    if loaded is not None and configured is not None and not _same(loaded, configured):
        raise AmbiguousTarget(loaded.target, configured.target)
    found = loaded or configured
    if found is None:
        raise NoTarget("empty" if TIER_DIR in environment else "not set")
    return found


def absolute(path: str, environment: Mapping[str, str]) -> str:
    """Return a path as it was given, made absolute but not resolved."""
    return paths.normpath(paths.join(working_directory(environment), path))


def working_directory(environment: Mapping[str, str]) -> str:
    """Return the working directory as the shell spells it, symlinks and all.

    Raises ``OSError`` if it has been removed.
    """
    spelled = environment.get("PWD", "")
    if paths.isabs(spelled):
        try:
            if paths.samefile(spelled, "."):
                return spelled
        except OSError:
            pass
    return os.getcwd()


def _of_environment(environment: Mapping[str, str]) -> Layout | None:
    tier = environment.get(TIER_DIR, "")
    if not tier:
        return None
    if not paths.isabs(tier):
        raise NotATarget(TIER_DIR, tier, "is not an absolute path")
    for spelling in (paths.normpath(tier), paths.realpath(tier)):
        infrastructure = paths.dirname(spelling)
        if paths.basename(infrastructure) == DEPLOYMENTS:
            infrastructure = paths.dirname(infrastructure)
        if _is_infrastructure(infrastructure):
            return Layout(infrastructure)
    raise NotATarget(TIER_DIR, tier, "is not in an infrastructure")


def _of_target(source: str, target: str) -> Layout:
    layout = Layout.of_target(target)
    if _is_infrastructure(layout.infrastructure):
        return layout
    if _is_infrastructure(target):
        raise NotATarget(source, target, "is an infrastructure: its parent is the target")
    if not paths.isdir(target):
        raise NotATarget(source, target, "is not a directory")
    raise NotATarget(source, target, f"holds no {INFRASTRUCTURE}")


def _is_infrastructure(directory: str) -> bool:
    return any(paths.lexists(paths.join(directory, name)) for name in (*LINKS, CONTROL))


def _same(one: Layout, other: Layout) -> bool:
    return paths.samefile(one.infrastructure, other.infrastructure)


def _of_definitions(directory: str) -> Layout | None:
    """Return the target that the nearest ``tierctl.toml`` upwards names, if it names one."""
    while True:
        file = paths.join(directory, DEFINITIONS)
        if paths.lexists(file):
            break
        if directory == (parent := paths.dirname(directory)):
            return None
        directory = parent
    target = _read_target(file)
    if target is None:
        return None
    return _of_target(shown(file), paths.normpath(paths.join(directory, target)))


def _read_target(file: str) -> str | None:
    import tomllib

    try:
        target = tomllib.loads(_read_trusted(file).decode()).get("target")
    except (ValueError, RecursionError) as error:
        raise BadFile(file, f"no valid TOML: {error}") from error
    if target is not None and not (isinstance(target, str) and target):
        raise BadFile(file, "target has to be a path in quotes")
    return target


def _read_trusted(file: str) -> bytes:
    """Read a file, unless somebody else may have put it in the way of whoever works below it.

    The owner of the target that it names is not trusted here: whoever lays a
    trap owns both.
    """
    hint = "It has to belong to root or to you. To go on without it: --target DIR"
    # O_NONBLOCK: opening a FIFO that somebody left here must not hang.
    with open(os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise Untrusted(file, "is not a file", hint)
        if found.st_uid not in (0, os.geteuid()):
            raise Untrusted(file, f"belongs to user {found.st_uid}", hint)
        if found.st_mode & stat.S_IWOTH:
            raise Untrusted(file, "can be written by everybody", hint)
        return stream.read()
