"""Whose definitions are built, and in whose target."""

import os
from pathlib import Path

import pytest

from targets import make_target
from tierctl.deploy import definitions, ownership
from tierctl.errors import Refused, Untrusted
from tierctl.fs.local import OsFileSystem
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tools import require_root

FS = OsFileSystem()
STRANGER = 10071


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A target of root's, and definitions beside it."""
    require_root()
    environments = tmp_path / "definitions" / "environments"
    environments.mkdir(parents=True)
    (environments / "tools.yaml").write_text("channels: [a]\ndependencies: [b]\n")
    (tmp_path / "definitions" / "tierctl.toml").write_text('path = ["tools"]\n')
    return make_target(tmp_path / "lab")


def read(layout: Layout) -> definitions.Definitions:
    directory = str(Path(layout.top).parent / "definitions")
    return definitions.read(directory, "linux-64", lambda spec: "")


@pytest.mark.parametrize("name", ["environments/tools.yaml", "tierctl.toml"])
def test_it_counts_whose_a_file_was_when_it_was_read(layout: Layout, name: str) -> None:
    """Whoever may write to the directory can have something else there a moment later."""
    file = Path(layout.top).parent / "definitions" / name
    ownership.require_trusted(Target(FS, layout), read(layout))
    os.chown(file, STRANGER, STRANGER)
    found = read(layout)
    os.chown(file, 0, 0)
    with pytest.raises(Untrusted, match=f"belongs to user {STRANGER}"):
        ownership.require_trusted(Target(FS, layout), found)


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_root_takes_only_the_lock_file_that_root_wrote(layout: Layout, mode: int) -> None:
    file = Path(layout.top, "tools.lock")
    file.touch(0o644)
    ownership.require_trusted_file(Target(FS, layout), str(file))
    os.chown(file, 0, STRANGER)
    file.chmod(mode)
    with pytest.raises(Untrusted, match="can be written by"):
        ownership.require_trusted_file(Target(FS, layout), str(file))


def test_root_builds_nothing_where_a_group_could_swap_it(layout: Layout) -> None:
    ownership.require_own_target(Target(FS, layout))
    os.chown(layout.infrastructure, 0, STRANGER)
    os.chmod(layout.infrastructure, 0o2775)
    with pytest.raises(Refused, match=f"belongs to the group {STRANGER} too"):
        ownership.require_own_target(Target(FS, layout))
