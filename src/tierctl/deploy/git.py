"""What git says of definitions.

A repository's settings can name programs (filters, monitors, hooks, ways to fetch what is
missing), and its owner need not be the caller. So git is told to read its objects and its index,
but settings that are ours; in the repository itself it only says which commit is checked out,
which starts nothing. Settings that change between two questions change nothing either.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from os import path as paths
from typing import Any, NamedTuple

from tierctl.deploy import ownership
from tierctl.deploy.engine.failures import LONGER
from tierctl.errors import TierctlError, cause_of
from tierctl.fs import tree
from tierctl.target.target import Target
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


class State(NamedTuple):
    """The commit and tree of definitions, and whether they differ from it, None if not known.

    All of it is None where there is no repository, or where it cannot be told; ``warning``
    says why.
    """

    told: dict[str, Any] | None
    warning: str = ""


class _CannotTell(Exception):
    """Git does not answer; the text is for people."""


def state(target: Target, directory: str, limit: float) -> State:
    """Return what git knows of a directory, in a repository that others cannot have written.

    An answer is waited for ``limit`` seconds.
    """
    directory = paths.realpath(directory)
    top = _repository(directory)
    if top is None:
        return State(None)
    try:
        for path in (top, f"{top}/.git"):
            ownership.require_trusted_entry(target, path, target.fs.entry(path))
        return State(_Repository(top, directory, limit).told())
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


class _Repository(NamedTuple):
    """A checkout, the directory in it that is asked about, and for how many seconds at most."""

    top: str
    directory: str
    limit: float

    def told(self) -> dict[str, Any]:
        """Return what ``State.told`` is; raises ``_CannotTell``."""
        questions = ("--git-path", "objects", "--git-path", "index", "HEAD")
        answers = self._ask("rev-parse", *questions, GIT_DIR=f"{self.top}/.git").split("\n")
        if len(answers) != 3:
            raise _CannotTell("its path has a line break")
        objects, index, commit = answers
        with tree.scratch() as own:
            _make_repository(own, commit)
            places = {
                "GIT_DIR": own,
                "GIT_INDEX_FILE": paths.join(self.directory, index),
                "GIT_OBJECT_DIRECTORY": paths.join(self.directory, objects),
                "GIT_WORK_TREE": self.top,
            }
            found = self._ask("rev-parse", f"{commit}^{{tree}}", **places)
            try:
                status = ("status", "--porcelain", "--ignore-submodules=all", "--", ".")
                dirty = self._ask(*status, **places) != ""
            except _CannotTell:
                dirty = None
        return {"commit": commit, "tree": found, "dirty": dirty}

    def _ask(self, *question: str, **places: str) -> str:
        try:
            process = subprocess.Popen(  # noqa: S603 (a fixed program, words it takes for paths)
                [*_GIT, "-C", self.directory, *question],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={"PATH": os.environ.get("PATH", os.defpath), **_ENVIRONMENT, **places},
                process_group=0,  # which ends as a whole
            )
        except FileNotFoundError as error:
            raise _CannotTell("git is not installed") from error
        with process:
            try:
                answer, said = process.communicate(timeout=self.limit)
            except subprocess.TimeoutExpired as error:
                raise _CannotTell(
                    f"git did not answer within {self.limit:g} s. {LONGER}"
                ) from error
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            first = os.fsdecode(said).strip().partition("\n")[0]
            raise _CannotTell(f"git says {shown(first) or 'nothing'}")
        return os.fsdecode(answer).strip()


def _make_repository(place: str, commit: str) -> None:
    """Make a repository that has nothing but settings, and a commit checked out."""
    tree.make_directories(place, ["objects", "refs"])
    tree.write_new(f"{place}/config", (_SETTINGS + _FORMATS.get(len(commit), "")).encode())
    tree.write_new(f"{place}/HEAD", f"{commit}\n".encode())
