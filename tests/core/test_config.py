"""The target's policy: ``.tierctl/config.toml``."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from places import FILESYSTEMS, place_on
from tierctl.errors import BadFile, Untrusted
from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import FileSystem
from tierctl.target import policy
from tierctl.target.paths import Layout
from tierctl.target.policy import Config
from tierctl.target.target import Target
from tierctl.testing import MemoryFileSystem
from tools import require_root

OWNERS = frozenset({os.geteuid()})


@pytest.fixture(params=FILESYSTEMS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[FileSystem, Layout]:
    """A filesystem, and an infrastructure with an empty ``.tierctl`` on it."""
    fs, root = place_on(request.param, tmp_path)
    layout = Layout(root)
    fs.make_directory(layout.control, 0o755)
    return fs, layout


def load(target: tuple[FileSystem, Layout], text: bytes) -> Config:
    fs, layout = target
    fs.write(layout.config, text, mode=0o644)
    return policy.load(Target(fs, layout))


def test_without_a_file_there_are_the_defaults(target: tuple[FileSystem, Layout]) -> None:
    assert Config(group=None) == policy.load(Target(*target))


def test_an_empty_file_says_the_defaults(target: tuple[FileSystem, Layout]) -> None:
    assert Config() == load(target, b"# nothing but this\n")


def test_the_group_is_what_the_file_says(target: tuple[FileSystem, Layout]) -> None:
    assert Config(group="lab") == load(target, b'group = "lab"\n')


@pytest.mark.parametrize(
    "text",
    [b"group = ", b"group = lab", b"\xff", b"group = 'a'\ngroup = 'b'", b"[group", b"\0"],
)
def test_what_is_no_toml_is_said_to_be_none(target: tuple[FileSystem, Layout], text: bytes) -> None:
    with pytest.raises(BadFile, match="no valid TOML") as caught:
        load(target, text)
    assert target[1].config == caught.value.path


def test_toml_without_end_is_said_to_be_none(target: tuple[FileSystem, Layout]) -> None:
    with pytest.raises(BadFile, match="no valid TOML"):
        load(target, b"group = " + b"[" * 100_000)


def test_a_setting_that_is_unknown_is_named(target: tuple[FileSystem, Layout]) -> None:
    with pytest.raises(BadFile, match="unknown setting: gruop, owner"):
        load(target, b'owner = "ada"\ngruop = "lab"\n')


@pytest.mark.parametrize("value", [b"1", b"true", b'["lab"]', b"{}", b"2024-01-01"])
def test_a_group_is_a_name(target: tuple[FileSystem, Layout], value: bytes) -> None:
    with pytest.raises(BadFile, match="group"):
        load(target, b"group = " + value)


def test_a_policy_that_everybody_may_set_is_refused(target: tuple[FileSystem, Layout]) -> None:
    fs, layout = target
    fs.write(layout.config, b'group = "lab"\n', mode=0o646)
    with pytest.raises(Untrusted):
        policy.load(Target(fs, layout))


def test_a_policy_behind_a_link_is_refused(target: tuple[FileSystem, Layout]) -> None:
    fs, layout = target
    fs.write(layout.config + ".real", b'group = "lab"\n', mode=0o644)
    fs.make_link(layout.config, "config.toml.real")
    with pytest.raises(Untrusted):
        policy.load(Target(fs, layout))


def test_a_policy_that_is_a_directory_is_refused(target: tuple[FileSystem, Layout]) -> None:
    fs, layout = target
    fs.make_directory(layout.config, 0o755)
    with pytest.raises(Untrusted):
        policy.load(Target(fs, layout))


def test_a_policy_of_a_real_stranger_is_refused(tmp_path: Path) -> None:
    require_root()
    layout = Layout(str(tmp_path))
    os.mkdir(layout.control)
    Path(layout.config).write_text('group = "lab"\n')
    os.chown(layout.config, 65534, -1)
    with pytest.raises(Untrusted):
        policy.load(Target(OsFileSystem(), layout))


# DEL apart, which no group's name has
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"))


@given(st.none() | NAMES)
def test_a_rendered_policy_is_loaded_as_it_was(group: str | None) -> None:
    fs, layout = MemoryFileSystem(), Layout("/infrastructure")
    fs.make_directory(layout.infrastructure, 0o755)
    fs.make_directory(layout.control, 0o755)
    text = policy.render(Config(group)).encode()
    assert Config(group) == load((fs, layout), text)
