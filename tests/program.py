"""Running tierctl: in this process, or as the program that is installed."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tierctl.cli.main import main


class Ended(NamedTuple):
    """How a call of the program ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        (line,) = self.out.splitlines()
        return json.loads(line)


class Program:
    """Calls ``main`` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Ended:
        self._capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Ended(code, *self._capsys.readouterr())


def installed() -> str:
    """Return the path of the console script that belongs to this interpreter."""
    return str(Path(sys.executable).with_name("tierctl"))


def run_installed(*arguments: object, **options: Any) -> Ended:
    """Run the installed console script, with nothing of a tier in its environment."""
    return run([installed(), *map(str, arguments)], **options)


def run(command: Sequence[str], **options: Any) -> Ended:
    """Run a command, with nothing of a tier in its environment."""
    environment = {**os.environ, **options.pop("env", {})}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=60,
        env=environment,
        **options,
    )
    return Ended(done.returncode, done.stdout, done.stderr)
