"""What git says of definitions.

A repository's settings can name programs (filters, monitors, hooks, ways to fetch what is
missing), and its owner need not be the caller. So git is told to read its objects and its index,
but settings that are ours; in the repository itself it only says which commit is checked out,
which starts nothing. Settings that change between two questions change nothing either.
"""

from __future__ import annotations

import os
import subprocess
from os import path as paths
from typing import Any, NamedTuple

from tierctl.deploy import ownership, tree
from tierctl.errors import TierctlError, cause_of
from tierctl.filesystem import FileSystem
from tierctl.layout import Layout
from tierctl.text import shown, typed

_GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
# Nothing of the caller's settings counts, nothing is written, and nothing is fetched.
_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "LC_ALL": "C",
}
_SETTINGS = "[core]\nrepositoryformatversion = 1\nbare = false\n"
# By the digits of a commit; what all versions of git take goes without saying.
_FORMATS = {64: "[extensions]\nobjectFormat = sha256\n"}
_TIMEOUT_S = 30


class State(NamedTuple):
    """The commit and tree of definitions, and whether they differ from it, None if not known.

    All of it is None where there is no repository, or where it cannot be told; ``warning``
    says why.
    """

    told: dict[str, Any] | None
    warning: str = ""


class _CannotTell(Exception):
    """Git does not answer; the text is for people."""


def state(fs: FileSystem, layout: Layout, directory: str) -> State:
    """Return what git knows of a directory, in a repository that others cannot have written."""
    directory = paths.realpath(directory)
    top = _repository(directory)
    if top is None:
        return State(None)
    try:
        for path in (top, f"{top}/.git"):
            ownership.require_trusted_entry(fs, layout, path, fs.entry(path))
        return State(_told(top, directory))
    except TierctlError as error:
        why = error.message
    except OSError as error:
        why = cause_of(error)
    except _CannotTell as error:
        why = str(error)
    asking = f"git -C {typed(directory)} rev-parse HEAD"
    return State(None, f"the commit of the definitions is not recorded: {why}; see: {asking}")


def _repository(directory: str) -> str | None:
    """Return the nearest directory upwards that is a checkout."""
    while not paths.lexists(paths.join(directory, ".git")):
        if directory == (parent := paths.dirname(directory)):
            return None
        directory = parent
    return directory


def _told(top: str, directory: str) -> dict[str, Any]:
    questions = ("--git-path", "objects", "--git-path", "index", "HEAD")
    answers = _ask(directory, ("rev-parse", *questions), GIT_DIR=f"{top}/.git").split("\n")
    if len(answers) != 3:
        raise _CannotTell("its path has a line break")
    objects, index, commit = answers
    with tree.scratch() as own:
        _make_repository(own, commit)
        places = {
            "GIT_DIR": own,
            "GIT_INDEX_FILE": paths.join(directory, index),
            "GIT_OBJECT_DIRECTORY": paths.join(directory, objects),
            "GIT_WORK_TREE": top,
        }
        found = _ask(directory, ("rev-parse", f"{commit}^{{tree}}"), **places)
        try:
            status = ("status", "--porcelain", "--ignore-submodules=all", "--", ".")
            dirty = _ask(directory, status, **places) != ""
        except _CannotTell:
            dirty = None
    return {"commit": commit, "tree": found, "dirty": dirty}


def _make_repository(place: str, commit: str) -> None:
    """Make a repository that has nothing but settings, and a commit checked out."""
    tree.make_directories(place, ["objects", "refs"])
    tree.write_new(f"{place}/config", (_SETTINGS + _FORMATS.get(len(commit), "")).encode())
    tree.write_new(f"{place}/HEAD", f"{commit}\n".encode())


def _ask(directory: str, question: tuple[str, ...], **places: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 (a fixed program, and words that it takes for a path)
            [*_GIT, "-C", directory, *question],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
            env={"PATH": os.environ.get("PATH", os.defpath), **_ENVIRONMENT, **places},
        )
    except FileNotFoundError as error:
        raise _CannotTell("git is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise _CannotTell(f"git does not answer within {_TIMEOUT_S} s") from error
    if done.returncode:
        said = os.fsdecode(done.stderr).strip().partition("\n")[0]
        raise _CannotTell(f"git says {shown(said) or 'nothing'}")
    return os.fsdecode(done.stdout).strip()
