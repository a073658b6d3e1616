"""What git says of definitions."""

from __future__ import annotations

import os
import subprocess
from typing import Any

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
_TIMEOUT_S = 30


def state(directory: str) -> dict[str, Any] | None:
    """Return the commit and tree of a directory, and whether it differs from them.

    None where git knows of none, or there is no git.
    """
    commit, tree = _ask(directory, "rev-parse", "HEAD"), _ask(directory, "rev-parse", "HEAD^{tree}")
    if commit is None or tree is None:
        return None
    filters = (_ask(directory, "config", "--name-only", "--get-regexp", _FILTERS) or "").split("\n")
    without = [word for name in filter(None, filters) for word in ("-c", f"{name}=")]
    status = ("status", "--porcelain", "--ignore-submodules=all", "--", ".")
    dirty = _ask(directory, *without, *status)
    return {"commit": commit, "tree": tree, "dirty": dirty != ""}


def _ask(directory: str, *question: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 (a fixed program, and words that it takes for a path)
            [*_GIT, "-C", directory, *question],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
            env={"PATH": os.environ.get("PATH", os.defpath), **_ENVIRONMENT},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
