"""The modules of an environment, compiled: later nobody can write there, so each start would."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from glob import escape, iglob


def compile_modules(prefix: str) -> None:
    """Compile, with the environment's own Python, the modules that came without bytecode.

    A module that cannot be compiled stays as it is: templates are no defect.
    """
    python = f"{prefix}/bin/python"
    modules = list(iglob(f"{escape(prefix)}/lib/python*/site-packages"))
    if not (modules and os.access(python, os.X_OK)):
        return
    if not _compile(python, modules, "0"):
        _compile(python, modules, "1")  # a system without semaphores can do one at a time


def _compile(python: str, modules: Sequence[str], jobs: str) -> bool:
    """Compile with a number of processes, 0 for all; say whether nothing was left out."""
    done = subprocess.run(  # noqa: S603 (what was just installed, as whoever loads the tier runs it)
        # Neither settings nor what is in site-packages itself is executed.
        [python, "-I", "-S", "-m", "compileall", "-q", "-j", jobs, *modules],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
        cwd="/",
    )
    return done.returncode == 0
