"""The modules of an environment, compiled: later nobody can write there, so each start would."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from glob import escape, iglob
from itertools import filterfalse
from os import path as paths

from tierctl.deploy.engine.worker.failures import Failed


def compile_modules(prefix: str, limit: float) -> None:
    """Compile, with the environment's own Python, the modules that came without bytecode.

    What a package brought stays as it is. A module that cannot be compiled does
    too: templates are no defect. Raises ``Failed`` if that takes longer than
    ``limit``, in seconds.
    """
    python = f"{prefix}/bin/python"
    if not os.access(python, os.X_OK):
        return
    if modules := _without_bytecode(prefix):
        try:
            _compile(python, modules, "0", limit)
            # Without semaphores one at a time.
            _compile(python, _without_bytecode(prefix), "1", limit)
        except subprocess.TimeoutExpired as error:
            wrong = f"{python} has not compiled its modules within {limit:g} s"
            raise Failed({"engine": wrong}) from error


def _without_bytecode(prefix: str) -> list[str]:
    """Return the modules to compile: in the environment, wherever its links lead."""
    own = paths.realpath(prefix)
    # Python's own packages bring a link, lib/python3.1, which shows the same modules again.
    pythons = filterfalse(paths.islink, iglob(f"{escape(prefix)}/lib/python*"))
    places = (f"{top}/site-packages" for top in pythons)
    inside = (top for top in places if paths.realpath(top).startswith(f"{own}/"))
    return [module for top in inside for module in _modules(top)]


def _modules(top: str) -> Iterator[str]:
    for place, directories, names in os.walk(top):
        compiled = set()
        if "__pycache__" in directories:
            directories.remove("__pycache__")
            compiled = {name.partition(".")[0] for name in os.listdir(f"{place}/__pycache__")}
        for name in names:
            stem, ending = paths.splitext(name)
            if ending == ".py" and stem not in compiled:
                yield f"{place}/{name}"


def _compile(python: str, modules: Iterable[str], jobs: str, limit: float) -> None:
    """Compile modules with a number of processes, 0 for all."""
    listed = "".join(f"{module}\n" for module in modules)
    if not listed:
        return
    subprocess.run(  # noqa: S603 (what was just installed, as whoever loads the tier runs it)
        # Neither settings nor what is in site-packages itself is executed.
        [python, "-I", "-S", "-m", "compileall", "-q", "-j", jobs, "-i", "-"],
        input=listed.encode("utf-8", "surrogateescape"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
        cwd="/",
        timeout=limit,
    )
