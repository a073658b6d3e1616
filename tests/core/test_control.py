"""``.tierctl``: made when it is first needed, open to whoever may promote."""

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from targets import make_target
from tierctl.errors import InvalidLink, NotWritable, Untrusted
from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import Kind, exists
from tierctl.journal import store
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.testing import MemoryFileSystem
from tools import require_root

FS = OsFileSystem()


@pytest.fixture(params=[0o000, 0o077], ids=["umask 000", "umask 077"], autouse=True)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """The most and the least generous umask that people have."""
    old = os.umask(request.param)
    yield
    os.umask(old)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A target made by hand, without ``.tierctl``."""
    return make_target(tmp_path)


def share(layout: Layout, gid: int = -1) -> None:
    os.chown(layout.infrastructure, -1, gid)
    os.chmod(layout.infrastructure, 0o2775)


def test_it_is_made_where_there_is_none(layout: Layout) -> None:
    store.ensure(Target(FS, layout))
    found = FS.entry(layout.control)
    assert (Kind.DIRECTORY, 0o755) == (found.kind, found.mode)


def test_it_is_not_made_where_staging_is_no_link(layout: Layout) -> None:
    staging = Path(layout.within("staging"))
    staging.unlink()
    staging.mkdir()
    with pytest.raises(InvalidLink, match="staging is a directory, not a symlink"):
        store.ensure(Target(FS, layout))
    assert not exists(FS, layout.control)


def test_in_a_shared_infrastructure_it_is_shared(layout: Layout) -> None:
    share(layout)
    store.ensure(Target(FS, layout))
    found, parent = FS.entry(layout.control), FS.entry(layout.infrastructure)
    assert (0o2775, parent.gid) == (found.mode, found.gid)


def test_who_may_write_is_not_told_that_only_others_may(layout: Layout) -> None:
    assert "the filesystem refuses it" == store.why_not_writable(FS, layout.infrastructure)


def test_it_belongs_to_the_infrastructure_s_group_though_that_is_not_the_caller_s(
    layout: Layout,
) -> None:
    require_root()
    share(layout, 54321)
    os.chmod(layout.infrastructure, 0o775)  # without setgid nothing else hands it on
    store.ensure(Target(FS, layout))
    assert 54321 == FS.entry(layout.control).gid


def test_an_infrastructure_behind_a_link_is_no_more_open_than_it_is(layout: Layout) -> None:
    os.rename(layout.infrastructure, layout.infrastructure + ".real")
    os.chmod(layout.infrastructure + ".real", 0o755)
    os.symlink("infrastructure.real", layout.infrastructure)
    store.ensure(Target(FS, layout))
    assert 0o755 == FS.entry(layout.control).mode


def test_one_that_cannot_be_given_to_the_group_does_not_stay(
    layout: Layout, mocker: MockerFixture
) -> None:
    share(layout)
    mocker.patch("os.chown", side_effect=PermissionError(errno.EPERM, "not in that group"))
    with suppress(PermissionError):
        store.ensure(Target(FS, layout))
    assert not exists(FS, layout.control) or 0o755 == FS.entry(layout.control).mode & 0o755


def test_one_that_is_there_stays_as_it_is(layout: Layout) -> None:
    os.mkdir(layout.control)
    os.chmod(layout.control, 0o700)
    Path(layout.history).write_text("kept\n")
    store.ensure(Target(FS, layout))
    assert 0o700 == FS.entry(layout.control).mode
    assert "kept\n" == Path(layout.history).read_text()


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_is_no_directory_is_not_trusted(layout: Layout, tmp_path: Path, kind: str) -> None:
    if kind == "link":
        (tmp_path / "elsewhere").mkdir()
        os.symlink(tmp_path / "elsewhere", layout.control)
    else:
        Path(layout.control).touch()
    with pytest.raises(Untrusted, match="not a directory"):
        store.require_writable(Target(FS, layout))


def test_that_somebody_else_makes_it_meanwhile_is_no_failure(
    layout: Layout, mocker: MockerFixture
) -> None:
    fs = OsFileSystem()
    mocker.patch.object(fs, "make_directory", side_effect=FileExistsError)
    store.ensure(Target(fs, layout))


def test_it_outlives_a_power_cut() -> None:
    fs = MemoryFileSystem()
    fs.make_directory("/lab", 0o755)
    layout = make_target("/lab", fs=fs)
    for directory in ("/", "/lab"):
        fs.sync(directory)
    store.ensure(Target(fs, layout))
    fs.cut_power()
    assert [".tierctl"] == [name for name in fs.names(layout.infrastructure) if name[0] == "."]


def test_doctor_knows_the_mode_that_a_lock_is_made_with(layout: Layout) -> None:
    for directory in (0o755, 0o2775):
        os.mkdir(layout.control)
        os.chmod(layout.control, directory)
        with FS.lock(layout.lock, timeout=0):
            assert FS.entry(layout.lock).mode == store.lock_mode(Target(FS, layout))
        os.remove(layout.lock)
        os.rmdir(layout.control)


@pytest.mark.parametrize("shared", [True, False])
def test_nothing_is_open_to_everybody(shared: bool) -> None:
    assert 0 == store.directory_mode(shared=shared) & 0o002


class TestRequireWritable:
    def test_it_is_silent_where_the_caller_may_write(self, layout: Layout) -> None:
        store.require_writable(Target(FS, layout))
        store.ensure(Target(FS, layout))
        store.require_writable(Target(FS, layout))

    @pytest.mark.parametrize("closed", ["infrastructure", "control"])
    def test_the_directory_that_is_closed_is_named(self, closed: str) -> None:
        fs = MemoryFileSystem()
        fs.make_directory("/lab", 0o755)
        layout = Layout.of_target("/lab")
        path = getattr(layout, closed)
        for directory in (layout.infrastructure, layout.control):
            fs.make_directory(directory, 0o555 if directory == path else 0o755)
        with pytest.raises(NotWritable) as caught:
            store.require_writable(Target(fs, layout))
        assert path == caught.value.path


def test_what_somebody_makes_just_then_is_no_obstacle(
    tmp_path: Path, mocker: MockerFixture
) -> None:
    fs, layout = OsFileSystem(), make_target(tmp_path / "lab")
    fs.make_directory(layout.control, 0o755)
    fs.write(layout.history, b"")
    asked: list[str] = []

    def is_writable(path: str) -> bool:
        asked.append(path)
        return path != layout.history or asked.count(path) > 1

    mocker.patch.object(fs, "is_writable", side_effect=is_writable)
    store.require_writable(Target(fs, layout))
    assert 2 == asked.count(layout.history)
