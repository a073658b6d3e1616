"""Running a command inside a tier, as a shell that has sourced its profile would."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from os import path as paths
from typing import NoReturn

from tierctl.errors import CannotRun, InvalidLink
from tierctl.fs.protocol import FileSystem, exists
from tierctl.journal import freshness
from tierctl.report import loadable
from tierctl.rotation.names import PRODUCTION, PROFILE, STAGING
from tierctl.target import tiers, trust
from tierctl.target.find import TIER_DIR
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.validators import validate_color, validate_symlink_target
from tierctl.text import typed

# The words of the command are parameters: no shell ever reads them as text. "-p" keeps
# BASH_ENV and functions from the environment out.
_SOURCE_AND_BECOME = (
    "-p",
    "-c",
    "trap 'echo \"tierctl: the tier was not loaded, nothing is run\" >&2; exit 126' EXIT; "
    '. "$0" && trap - EXIT || exit; '
    'if [[ $1 != */* ]] && ! type -P -- "$1" >/dev/null; then '
    'printf "tierctl: no command %q in the tier, nor on PATH\\n" "$1" >&2; '
    '[[ $1 != -* ]] || echo "Options of tierctl stand before TIER." >&2; exit 127; fi; '
    'exec -- "$@"',
)


def run(target: Target, tier: str, command: Sequence[str]) -> NoReturn:
    """Become a command in the environment of a tier.

    The process stays the same one, so signals and the exit code are the
    command's. bash sources the profile, since scripts in it (``profile.d``,
    an environment's ``activate.d``) are written for a shell; it exits with 127
    if there is no such command, with 126 if it cannot be executed or if the
    profile fails, or ends the shell. Raises
    ``NoSuchTier``, ``CannotRun``, ``InvalidLink`` or ``Untrusted``.
    """
    profile = _profile(target, tier)
    # Python ignores them, and what a process ignores its successor does too.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(  # noqa: S606
            "bash",  # noqa: S607
            ["bash", *_SOURCE_AND_BECOME, profile, *command],
            _environment(),
        )
    except FileNotFoundError as error:
        raise CannotRun("bash is not installed, which loads the tier", "Install bash.") from error


def _environment() -> dict[str, str]:
    """Return the caller's environment; root's without the tier that is loaded.

    A profile runs what that tier has for its end, and it may be anybody's.
    """
    left_out = {TIER_DIR} if os.geteuid() == 0 else set()
    return {name: value for name, value in os.environ.items() if name not in left_out}


def _profile(target: Target, tier: str) -> str:
    """Return the profile by the tier's name, which it takes for its own."""
    freshness.refresh_by_reading(target)
    path = target.within(tier)
    tiers.require(target, tier)
    if tier in (PRODUCTION, STAGING):
        path = target.within(validate_symlink_target(path, target.fs).value)
    content = validate_color(path, target.fs)
    directory = target.within(content.directory)
    _require_trusted(target, f"{directory}/{PROFILE}")
    if os.geteuid() == 0:
        _require_roots(target, directory)
    loadable.require_own(target, content.directory)
    return f"{target.within(tier)}/{PROFILE}"


def _require_trusted(target: Target, profile: str) -> None:
    try:
        trust.require(target, profile)
    except FileNotFoundError as error:
        raise InvalidLink(profile, "is missing: the tier cannot be loaded") from error


def _require_roots(target: Target, directory: str) -> None:
    """Raise ``Untrusted`` unless root alone can have written what is sourced, and put it there."""
    profile = f"{directory}/{PROFILE}"
    hint = f"Run it as somebody else; or, if you know what is in the tier: source {typed(profile)}"
    for path in (profile, *_on_the_way(target, directory), *_sourced(target.fs, directory)):
        with suppress(FileNotFoundError):
            entry = target.fs.entry(path, follow=True)
            trust.require_roots(path, entry, "root runs only what root wrote", hint)


def _on_the_way(layout: Layout, directory: str) -> Iterator[str]:
    """Yield the directories in which others could put something else in the place of it."""
    yield layout.top
    while len(directory) > len(layout.infrastructure):
        yield directory
        directory = paths.dirname(directory)
    yield layout.infrastructure


def _sourced(fs: FileSystem, directory: str) -> Iterator[str]:
    """Yield what a profile reads or finds commands in, and where that is kept."""
    yield from (f"{directory}/{below}" for below in ("etc", "conda", "conda/envs"))
    yield from _with_content(fs, directory, "etc/profile.d", "bin")
    for environment in _inside(fs, f"{directory}/conda/envs"):
        yield from (f"{environment}{below}" for below in ("", "/etc", "/etc/conda"))
        scripts = "etc/conda/activate.d", "etc/conda/deactivate.d"
        yield from _with_content(fs, environment, "bin", *scripts)


def _with_content(fs: FileSystem, top: str, *names: str) -> Iterator[str]:
    for directory in (f"{top}/{name}" for name in names):
        yield directory
        yield from _inside(fs, directory)


def _inside(fs: FileSystem, directory: str) -> list[str]:
    names = fs.names(directory) if exists(fs, directory) else []
    return [f"{directory}/{name}" for name in names]
