"""File trees: held, copied, flushed, removed."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from open_files import OpenFiles
from targets import listing
from tierctl.deploy.definitions import overlay
from tierctl.deploy.definitions.problems import Problems
from tierctl.fs import tree
from tools import as_user, require_root
from trees import modes, seal


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An overlay with one of each kind."""
    top = tmp_path / "tier"
    (top / "bin").mkdir(parents=True)
    (top / "bin" / "run").write_text("#!/bin/sh\n")
    (top / "bin" / "run").chmod(0o700)
    (top / "bin" / "again").symlink_to("run")
    (top / "notes").write_bytes(b"\0\xff")
    (top / "notes").chmod(0o600)
    return top


def items(source: Path) -> list[overlay.Item]:
    problems = Problems(str(source.parent))
    found = list(overlay.read(str(source), problems))
    assert not problems
    return found


def test_a_copy_holds_the_same_and_everyone_may_read_it(source: Path, tmp_path: Path) -> None:
    destination = tmp_path / "41"
    (destination / "bin").mkdir(parents=True)
    old = os.umask(0o077)
    overlay.copy(items(source), str(destination))
    os.umask(old)
    assert b"\0\xff" == (destination / "notes").read_bytes()
    assert "run" == os.readlink(destination / "bin" / "again")
    assert {"bin/run": 0o755, "notes": 0o644}.items() <= modes(destination).items()


def test_what_became_a_link_meanwhile_is_not_copied(source: Path, tmp_path: Path) -> None:
    found = items(source)
    (source / "notes").unlink()
    (source / "notes").symlink_to("/etc/passwd")
    (tmp_path / "41").mkdir()
    with pytest.raises(OSError, match="Too many levels"):
        overlay.copy(found, str(tmp_path / "41"))


def test_nothing_is_copied_over_what_is_there(source: Path, tmp_path: Path) -> None:
    (tmp_path / "41").mkdir()
    (tmp_path / "41" / "notes").write_text("mine")
    with pytest.raises(FileExistsError):
        overlay.copy(items(source), str(tmp_path / "41"))


def test_what_another_user_put_into_a_tree_keeps_nobody_from_going_on(tmp_path: Path) -> None:
    """The tree has lost its name; what is left of it a prune of root's or of theirs removes."""
    require_root()
    tmp_path.chmod(0o755)
    home = tmp_path / "home"
    theirs = home / "41" / "theirs"
    theirs.mkdir(parents=True)
    (theirs / "file").touch()
    os.chown(home, 10041, 10041)
    os.chown(home / "41", 10041, 10041)
    script = "import sys; from tierctl.fs import tree; tree.remove(sys.argv[1])"
    subprocess.run([*as_user(10041), sys.executable, "-c", script, f"{home}/41"], check=True)
    assert [".41.going"] == os.listdir(home)
    assert (home / ".41.going" / "theirs" / "file").exists()


def test_a_removal_that_was_killed_is_finished_by_the_next(
    tmp_path: Path, mocker: MockerFixture
) -> None:
    (tmp_path / "41" / "a").mkdir(parents=True)
    killed = mocker.patch("os.rmdir", side_effect=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        tree.remove(str(tmp_path / "41"))
    assert [".41.going"] == os.listdir(tmp_path)
    mocker.stop(killed)
    tree.remove(str(tmp_path / "41"))
    assert [] == os.listdir(tmp_path)
    tree.remove(str(tmp_path / "41"))


def made(top: Path) -> Path:
    """A tree of three files, one of them below a closed directory."""
    (top / "lib" / "deep").mkdir(parents=True)
    for name in ("one", "lib/two", "lib/deep/three"):
        (top / name).write_text("x")
    seal(top)
    return top


def make_deep(top: Path, levels: int) -> None:
    """Make a tree of that many directories, one in the other, with a file in each; then seal it."""
    here = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(os.open("file", os.O_CREAT, 0o444, dir_fd=below))
        os.fchmod(here, 0o555)
        os.close(here)
        here = below
    os.close(here)


class TestTakingApart:
    @pytest.mark.parametrize("uid", [0, 10041])
    def test_a_tree_of_any_depth_is_removed(self, tmp_path: Path, uid: int) -> None:
        require_root()
        place = tmp_path / "deployments"
        (place / "41").mkdir(parents=True)
        make_deep(place / "41", 1500)
        os.chown(place, uid, uid)
        subprocess.run(["chown", "-R", str(uid), str(place)], check=True)
        assert 1500 < tree.own_bytes([str(place / "41")]) // 512
        script = f"from tierctl.fs import tree; tree.remove({str(place / '41')!r})"
        who = as_user(uid) if uid else []
        subprocess.run([*who, sys.executable, "-c", script], check=True)
        assert [] == os.listdir(place)

    def test_a_file_that_is_open_keeps_its_directories_only(
        self, tmp_path: Path, mocker: MockerFixture
    ) -> None:
        OpenFiles(mocker, "two")
        top = made(tmp_path / "41")
        with pytest.raises(OSError, match="not empty") as caught:
            tree.take_apart(str(top))
        assert (str(top / "lib"), True) == (caught.value.filename, tree.is_busy(caught.value))
        assert [top / "lib", top / "lib" / ".nfs1"] == sorted(top.rglob("*"))
        with pytest.raises(OSError, match="busy") as caught:
            tree.take_apart(str(top))
        assert tree.is_busy(caught.value)

    @pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EROFS])
    def test_an_error_in_one_place_leaves_no_other(
        self, tmp_path: Path, mocker: MockerFixture, number: int
    ) -> None:
        failing(mocker, "two", number)
        top = made(tmp_path / "41")
        with pytest.raises(OSError, match=os.strerror(number)) as caught:
            tree.take_apart(str(top))
        assert (str(top / "lib" / "two"), False) == (
            caught.value.filename,
            tree.is_busy(caught.value),
        )
        assert [top / "lib", top / "lib" / "two"] == sorted(top.rglob("*"))

    @pytest.mark.parametrize("backwards", [False, True])
    def test_an_error_counts_more_than_what_is_open(
        self, tmp_path: Path, mocker: MockerFixture, *, backwards: bool
    ) -> None:
        listdir = os.listdir
        mocker.patch("os.listdir", lambda place: sorted(listdir(place), reverse=backwards))
        OpenFiles(mocker)
        failing(mocker, "two", errno.EIO)
        top = tmp_path / "41"
        top.mkdir()
        (top / ".nfs1").touch()
        (top / "two").touch()
        with pytest.raises(OSError, match="Input/output error"):
            tree.take_apart(str(top))

    @pytest.mark.parametrize("number", [errno.ENOENT, errno.ESTALE])
    def test_what_another_client_removes_meanwhile_is_removed(
        self, tmp_path: Path, mocker: MockerFixture, number: int
    ) -> None:
        failing(mocker, "two", number, remove=True)
        tree.take_apart(str(made(tmp_path / "41")))
        assert [] == os.listdir(tmp_path)

    def test_a_name_that_is_taken_again_while_something_is_open_gets_out_of_the_way_too(
        self, tmp_path: Path, mocker: MockerFixture
    ) -> None:
        opened = OpenFiles(mocker, "one")
        for _ in range(3):
            tree.remove(str(made(tmp_path / "41")))
        assert [".41.going", ".41~2.going", ".41~3.going"] == sorted(os.listdir(tmp_path))
        assert {"41"} == {tree.name_before(name) for name in os.listdir(tmp_path)}
        opened.close()
        tree.remove(str(tmp_path / "41"))
        assert [] == os.listdir(tmp_path)

    def test_there_is_an_end_to_names_for_what_goes(self, tmp_path: Path) -> None:
        names = [".41.going", *(f".41~{number}.going" for number in range(2, 100))]
        for name in names:
            (tmp_path / name / "file").mkdir(parents=True)
        (tmp_path / "41").mkdir()
        with pytest.raises(FileExistsError, match="still in use"):
            tree.retire(str(tmp_path / "41"))


def failing(mocker: MockerFixture, name: str, number: int, *, remove: bool = False) -> None:
    """Have the removal of a file fail; with ``remove`` it has gone all the same."""
    unlink = os.unlink

    def fail(path: str, *, dir_fd: int | None = None) -> None:
        if path != name or remove:
            unlink(path, dir_fd=dir_fd)
        if path == name:
            raise OSError(number, os.strerror(number), path)

    mocker.patch("os.unlink", fail)


def test_a_whole_filesystem_is_flushed(tmp_path: Path) -> None:
    tree.flush(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        tree.flush(str(tmp_path / "missing"))


def test_a_flush_that_fails_is_an_error(tmp_path: Path, mocker: MockerFixture) -> None:
    mocker.patch("ctypes.CDLL").return_value.syncfs.return_value = -1
    mocker.patch("ctypes.get_errno", return_value=errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        tree.flush(str(tmp_path))


def test_free_space_is_what_the_system_says(tmp_path: Path) -> None:
    free = int(
        subprocess.run(
            ["df", "-B1", "--output=avail", str(tmp_path)], capture_output=True, text=True
        ).stdout.split()[1]
    )
    assert abs(free - tree.free_bytes(str(tmp_path))) < 1 << 30


@pytest.mark.parametrize("act", [tree.remove, tree.take_apart, tree.retire, seal])
def test_a_tree_is_not_reached_by_a_link_in_the_place_of_its_directory(
    tmp_path: Path, act: Callable[[str], object]
) -> None:
    kept = tmp_path / "elsewhere" / "3"
    kept.mkdir(parents=True)
    (kept / "file").touch(0o600)
    (tmp_path / "deployments").symlink_to("elsewhere")
    before = listing(tmp_path / "elsewhere")
    with pytest.raises(NotADirectoryError):
        act(f"{tmp_path}/deployments/3")
    assert before == listing(tmp_path / "elsewhere")


def test_a_held_tree_is_written_whatever_takes_its_place(tmp_path: Path) -> None:
    top = tmp_path / "deployments" / "3"
    top.mkdir(parents=True)
    with tree.held(str(top)) as held:
        (tmp_path / "deployments").rename(tmp_path / "moved")
        (tmp_path / "elsewhere" / "3").mkdir(parents=True)
        (tmp_path / "deployments").symlink_to("elsewhere")
        tree.write_new(f"{held.place}/file", b"text")
    assert b"text" == (tmp_path / "moved" / "3" / "file").read_bytes()
    assert [] == os.listdir(tmp_path / "elsewhere" / "3")
    with pytest.raises(NotADirectoryError), tree.held(str(top)):
        pytest.fail("held through a link")


def test_another_tree_in_the_place_of_a_held_one_is_told(tmp_path: Path) -> None:
    top = tmp_path / "tree"
    top.mkdir()
    with tree.held(str(top)) as held:
        tree.require_in_place(held)
        top.rename(tmp_path / "aside")
        top.mkdir()
        with pytest.raises(OSError, match="Replaced by something else") as caught:
            tree.require_in_place(held)
    assert str(top) == caught.value.filename


def test_another_tree_than_the_one_that_is_meant_is_not_held(tmp_path: Path) -> None:
    with tree.held(str(tmp_path)) as held:
        identity = held.identity
    with tree.held(str(tmp_path), identity):
        pass
    (tmp_path / "other").mkdir()
    with (
        pytest.raises(OSError, match="Replaced by something else"),
        tree.held(str(tmp_path / "other"), identity),
    ):
        pytest.fail("held another tree")


def test_somebody_else_s_scratch_directory_is_passed_over(tmp_path: Path) -> None:
    """Of a process that had the same number, or put there on purpose."""
    require_root()
    theirs = tmp_path / "tierctl-7-theirs"
    theirs.mkdir()
    tmp_path.chmod(0o1777)
    script = "from tierctl.fs import tree; tree.remove_scratch(7)"
    subprocess.run(
        [*as_user(10061), sys.executable, "-c", script],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        check=True,
    )
    assert theirs.exists()


def test_what_fails_in_a_held_tree_is_told_of_its_own_path(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError) as caught,
        tree.held(str(tmp_path)) as held,
    ):
        tree.write_new(f"{held.place}/missing/file", b"text")
    assert f"{tmp_path}/missing/file" == caught.value.filename


def test_files_behind_a_link_are_not_opened_to_readers(tmp_path: Path) -> None:
    key = tmp_path / "home" / "key"
    key.parent.mkdir()
    key.touch(0o600)
    (tmp_path / "cache" / "repodata").mkdir(parents=True)
    (tmp_path / "cache" / "repodata" / "key").symlink_to(key)
    (tmp_path / "cache" / "repodata" / "own").touch(0o600)
    (tmp_path / "cache" / "other").symlink_to(key.parent)
    for name in ("repodata", "other", "missing"):
        tree.open_to_readers(f"{tmp_path}/cache/{name}")
    assert 0o600 == key.stat().st_mode & 0o777
    assert 0o644 == (tmp_path / "cache" / "repodata" / "own").stat().st_mode & 0o777


def test_a_scratch_directory_holds_nothing_from_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "home" / "x").mkdir(parents=True)
    (tmp_path / "repodata").symlink_to("home")
    with tree.scratch(holding=[f"{tmp_path}/repodata"]) as place:
        assert [] == os.listdir(place)
