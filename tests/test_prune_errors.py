"""A prune that cannot see what is needed."""

import errno
import os
from itertools import count
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from program import Program
from targets import make_target
from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import Entry

SHOWN = ["deployments/2/meta/deployment.json", "production", "dev1"]


@pytest.mark.parametrize("name", SHOWN)
@pytest.mark.parametrize("number", range(1, 5))
def test_what_cannot_be_looked_at_is_not_taken_for_unneeded(
    tmp_path: Path, tierctl: Program, mocker: MockerFixture, name: str, number: int
) -> None:
    layout = make_target(tmp_path, green=2, blue=3, deployments=(1, 4))
    os.symlink("deployments/4", layout.within("dev1"))
    entry, looks = OsFileSystem.entry, count(1)

    def failing(fs: OsFileSystem, path: str, *, follow: bool = False) -> Entry:
        if path == layout.within(name) and next(looks) == number:
            raise OSError(errno.ESTALE, "Stale file handle", path)
        return entry(fs, path, follow=follow)

    mocker.patch.object(OsFileSystem, "entry", failing)
    tierctl("prune", "-t", layout.top, "--keep", "0", "--older-than", "0d")
    assert {"2", "3", "4"} <= set(os.listdir(layout.deployments))
