"""The story: what is typed, in which order, with the real engine and without network."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from tierctl.demo.channel import NOARCH, write_package
from tierctl.deploy.engine import client
from tierctl.errors import Exists, TierctlError
from tierctl.fs import tree
from tierctl.target.find import TIER_DIR
from tierctl.text import shown

_VERSIONS = ("1.0", "2.0")

Say = Callable[[str], None]


class StoryBroken(TierctlError):
    """A step of the demo did not end as it should."""

    code = "demo-broken"


def tell(directory: str | None, say: Say) -> None:
    """Play the story in a new directory, or in one that is removed afterwards.

    ``say`` gets what is typed and what is to be known about it. Raises
    ``EngineMissing``, ``Exists`` or ``StoryBroken``.
    """
    client.require_installed()
    with tree.scratch() if directory is None else nullcontext(_new(directory)) as place:
        _Story(Path(place), say).play()


def _new(directory: str) -> str:
    try:
        os.mkdir(directory)
    except FileExistsError as error:
        raise Exists(
            f"there is something already: {shown(directory)}", "Name a directory that is new."
        ) from error
    return os.path.abspath(directory)


class _Story:
    def __init__(self, place: Path, say: Say) -> None:
        self._place = place
        self._say = say

    def play(self) -> None:
        """Play it from the first build to the way back."""
        self._write_channel()
        self._tell("A small conda channel is written, with two versions of a package: greet.")
        self._type("bootstrap", "lab")
        self._define("1.0")
        self._type("deploy", "staging", "-m", "greet 1.0")
        self._type("run", "staging", "greet")
        self._type("promote-staging", "-m", "greet 1.0")
        self._define("2.0")
        self._type("deploy", "staging", "-m", "greet 2.0")
        self._type("diff")
        self._type("promote-staging", "-m", "greet 2.0")
        self._type("run", "production", "greet")
        self._tell("Somebody does not like it: back to what production served before.")
        self._type("rollback", "-m", "too loud")
        self._type("run", "production", "greet")
        self._type("status")

    def _write_channel(self) -> None:
        for version, text in zip(_VERSIONS, ("hello", "HELLO!"), strict=True):
            command = {"bin/greet": f"#!/bin/sh\necho '{text} (greet {version})'\n"}
            write_package(self._place / "channel", "greet", version, command, subdir=NOARCH)

    def _define(self, version: str) -> None:
        self._tell(f"The definitions ask for greet {version}:")
        text = (
            f"channels: [{(self._place / 'channel').as_uri()}]\ndependencies: [greet={version}]\n"
        )
        file = self._place / "environments" / "tools.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        (self._place / "tierctl.toml").write_text('target = "lab"\n')
        self._say(f"$ cat environments/{file.name}\n{text.rstrip()}")

    def _tell(self, text: str) -> None:
        self._say(f"# {text}")

    def _type(self, *words: str) -> None:
        self._say(f"$ {shlex.join(('tierctl', *words))}")
        environment = {name: value for name, value in os.environ.items() if name != TIER_DIR}
        done = subprocess.run(  # noqa: S603 (this program itself)
            [sys.executable, "-m", "tierctl", *words],
            cwd=self._place,
            env={**environment, "PWD": str(self._place)},
            check=False,
        )
        if done.returncode:
            raise StoryBroken(
                f"the demo stopped: tierctl {words[0]} exited with {done.returncode}",
                "Its reason is above.",
            )
