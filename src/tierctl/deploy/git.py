"""What git says of definitions."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import Any, NamedTuple

# Nothing that the repository's own settings name is executed, and nothing is written.
_GIT = (
    "git",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    "--no-optional-locks",
)
# Nothing of the caller's settings counts, nor a repository that the caller is at work in.
_ENVIRONMENT = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
_FILTERS = r"^filter\..*\.(clean|smudge|process)$"


class TooLong(Exception):
    """git has not answered within the limit."""


class Repository(NamedTuple):
    """A directory to ask git about, and for how many seconds an answer is waited for."""

    directory: str
    limit: float

    def ask(self, *question: str) -> str | None:
        """Return git's answer, None where it has none; raises ``TooLong``."""
        try:
            process = subprocess.Popen(  # noqa: S603 (a fixed program, words it takes for a path)
                [*_GIT, "-C", self.directory, *question],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                errors="replace",
                env={"PATH": os.environ.get("PATH", os.defpath), **_ENVIRONMENT},
                process_group=0,  # which ends as a whole
            )
        except OSError:
            return None
        try:
            answer, _ = process.communicate(timeout=self.limit)
        except subprocess.TimeoutExpired as error:
            raise TooLong from error
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        return answer.strip() if process.returncode == 0 else None


def state(directory: str, limit: float) -> dict[str, Any] | None:
    """Return the commit and tree of a directory, and whether it differs from them.

    None where git knows of none, or there is no git. Raises ``TooLong`` if an answer
    takes longer than ``limit``, in seconds.
    """
    repository = Repository(directory, limit)
    commit, tree = repository.ask("rev-parse", "HEAD"), repository.ask("rev-parse", "HEAD^{tree}")
    if commit is None or tree is None:
        return None
    named = repository.ask("config", "--name-only", "--get-regexp", _FILTERS) or ""
    without = [word for name in filter(None, named.split("\n")) for word in ("-c", f"{name}=")]
    status = ("status", "--porcelain", "--ignore-submodules=all", "--", ".")
    return {"commit": commit, "tree": tree, "dirty": repository.ask(*without, *status) != ""}
