"""File trees: copied, sealed, flushed, removed."""

import errno
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from open_files import OpenFiles
from targets import listing
from tierctl.deploy import overlay, tree
from tierctl.deploy.problems import Problems
from tierctl.deploy.tree import Sizes
from tools import as_user, missing, require_root


def modes(top: Path) -> dict[str, int]:
    """Return the modes of a tree, symlinks apart."""
    found = [top, *top.rglob("*")]
    return {
        str(path.relative_to(top)): path.stat().st_mode & 0o7777
        for path in found
        if not path.is_symlink()
    }


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
    tree.copy(items(source), str(destination))
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
        tree.copy(found, str(tmp_path / "41"))


def test_nothing_is_copied_over_what_is_there(source: Path, tmp_path: Path) -> None:
    (tmp_path / "41").mkdir()
    (tmp_path / "41" / "notes").write_text("mine")
    with pytest.raises(FileExistsError):
        tree.copy(items(source), str(tmp_path / "41"))


def seal(top: Path | str, path: str = "", **options: str) -> Sizes:
    with tree.held(str(top)) as held:
        return tree.seal(held, path, **options)


def test_a_sealed_tree_can_be_read_and_not_changed(tmp_path: Path) -> None:
    require_root()
    top = tmp_path / "41"
    (top / "a" / "b").mkdir(parents=True, mode=0o700)
    (top / "a" / "data").write_text("x")
    (top / "a" / "data").chmod(0o600)
    (top / "a" / "command").write_text("x")
    (top / "a" / "command").chmod(0o700)
    (top / "a" / "out").symlink_to("/etc/shadow")
    before = os.stat("/etc/shadow").st_mode
    for path in [top, *top.rglob("*")]:
        os.lchown(path, 10041, 10041)
    seal(top)
    found = modes(top)
    assert {"a/data": 0o444, "a/command": 0o555}.items() <= found.items()
    assert {0o555} == {found[name] for name in (".", "a", "a/b")}
    assert before == os.stat("/etc/shadow").st_mode
    touch = ["sh", "-c", 'cd "$0" && touch a/new || rm a/data', str(top)]
    reachable = [*as_user(10041), *touch]
    assert 0 != subprocess.run(reachable, capture_output=True).returncode
    assert (top / "a" / "data").exists()


@pytest.mark.parametrize("mode", [0o644, 0o664, 0o666, 0o600, 0o775, 0o777, 0o4755, 0o6777, 0])
def test_nobody_can_write_a_sealed_file_nor_what_it_is_linked_to(tmp_path: Path, mode: int) -> None:
    (tmp_path / "cache").write_text("x")
    (tmp_path / "cache").chmod(mode)
    (tmp_path / "41").mkdir()
    (tmp_path / "41" / "file").hardlink_to(tmp_path / "cache")
    seal(tmp_path / "41")
    expected = 0o555 if mode & 0o100 else 0o444
    assert expected == (tmp_path / "41" / "file").stat().st_mode & 0o7777
    assert (tmp_path / "cache").stat().st_ino == (tmp_path / "41" / "file").stat().st_ino


def acl(*entries: tuple[int, int, int]) -> bytes:
    """Return an access control list as Linux keeps it: tag, rights and id of each entry."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


USER_OBJ, USER, GROUP_OBJ, MASK, OTHER, NOBODY = 1, 2, 4, 16, 32, 0xFFFFFFFF


def test_an_access_control_list_lets_nobody_write_what_is_sealed(tmp_path: Path) -> None:
    """One that the target's directory hands down, to whatever is made in it."""
    require_root()
    tmp_path.chmod(0o755)
    top = tmp_path / "41"
    top.mkdir()
    everything = acl(
        (USER_OBJ, 7, NOBODY), (USER, 7, 10041), (GROUP_OBJ, 7, NOBODY), (MASK, 7, NOBODY),
        (OTHER, 7, NOBODY),
    )  # fmt: skip
    for name in ("system.posix_acl_default", "system.posix_acl_access"):
        try:
            os.setxattr(top, name, everything)
        except OSError as error:
            missing(f"no access control lists here: {error}")
    (top / "etc").mkdir()
    (top / "etc" / "file").write_text("x")
    write = ["sh", "-c", 'echo y >> "$0/etc/file" || touch "$0/etc/new" "$0/new"', str(top)]
    assert 0 == subprocess.run([*as_user(10041), *write]).returncode
    seal(top)
    done = subprocess.run([*as_user(10041), *write], capture_output=True)
    assert 0 != done.returncode
    assert (["file"], "xy\n") == (os.listdir(top / "etc"), (top / "etc" / "file").read_text())


@pytest.mark.parametrize("mode", [0o444, 0o664])
def test_another_user_s_file_is_copied_since_they_could_write_it_at_any_time(
    tmp_path: Path, mode: int
) -> None:
    require_root()
    theirs, file = tmp_path / "cache", tmp_path / "41" / "file"
    theirs.write_text("x")
    os.chown(theirs, 10041, 10041)
    theirs.chmod(mode)
    os.utime(theirs, ns=(1, 2))
    file.parent.mkdir()
    file.hardlink_to(theirs)
    seal(tmp_path / "41")
    found = file.stat()
    assert (0, 0o444, 2) == (found.st_uid, found.st_mode & 0o7777, found.st_mtime_ns)
    assert ("x", ["file"]) == (file.read_text(), os.listdir(file.parent))
    assert (10041, mode) == (theirs.stat().st_uid, theirs.stat().st_mode & 0o7777)


def test_what_cannot_be_looked_into_is_not_left_unsealed(
    tmp_path: Path, mocker: MockerFixture
) -> None:
    (tmp_path / "41" / "etc").mkdir(parents=True)
    os_open = os.open

    def failing(path: str, *arguments: int, **options: int) -> int:
        if path == "etc":
            raise OSError(errno.EIO, "Input/output error", path)
        return os_open(path, *arguments, **options)

    mocker.patch("os.open", side_effect=failing)
    with pytest.raises(OSError, match="Input/output error") as caught:
        seal(tmp_path / "41")
    assert str(tmp_path / "41" / "etc") == caught.value.filename


def test_a_sealed_tree_s_sizes_are_known(tmp_path: Path) -> None:
    top = tmp_path / "41"
    (top / "envs" / "main" / "bin").mkdir(parents=True)
    (top / "notes").write_text("text")
    (top / "envs" / "file").write_text("1")
    (top / "envs" / "main" / "bin" / "tool").write_text("22")
    (top / "envs" / "main" / "link").symlink_to("bin")
    sizes = seal(top)
    assert {
        "": {"notes": 4},
        "envs": {"file": 1},
        "envs/main": {"link": None},
        "envs/main/bin": {"tool": 2},
    } == sizes


def test_what_somebody_else_seals_is_left_out(tmp_path: Path) -> None:
    top = tmp_path / "41"
    (top / "envs" / "main").mkdir(parents=True, mode=0o700)
    (top / "envs" / "main" / "file").touch(0o600)
    (top / "envs" / "other").mkdir()
    sizes = seal(top, left_out="envs/main")
    assert {"": {}, "envs": {}, "envs/other": {}} == sizes
    found = modes(top)
    assert {"envs/main": 0o700, "envs/main/file": 0o600, "envs": 0o555}.items() <= found.items()


def test_a_file_that_cannot_be_looked_at_is_an_error(tmp_path: Path, mocker: MockerFixture) -> None:
    (tmp_path / "41" / "lib").mkdir(parents=True)
    entry = mocker.Mock()
    entry.is_dir.return_value = False
    entry.stat.side_effect = OSError(errno.EIO, "failing disk")
    listing = mocker.MagicMock()
    listing.__enter__.return_value = [entry]
    mocker.patch("os.scandir", return_value=listing)
    with pytest.raises(OSError, match="failing disk") as caught:
        seal(tmp_path / "41" / "lib")
    assert f"{tmp_path}/41/lib" == caught.value.filename


def test_a_directory_that_cannot_be_read_stays_as_it_is(
    tmp_path: Path, mocker: MockerFixture
) -> None:
    """A deploy that is done does not fail because others will have to fetch the lists again."""
    mocker.patch("os.listdir", side_effect=OSError(errno.EIO, os.strerror(errno.EIO)))
    tree.open_to_readers(str(tmp_path))


def test_a_sealed_tree_can_be_removed_by_its_owner(tmp_path: Path) -> None:
    require_root()
    outside = tmp_path / "outside"
    outside.write_text("x")
    tmp_path.chmod(0o755)
    home = tmp_path / "home"
    top = home / "41"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "file").write_text("x")
    (top / "a" / "out").symlink_to(outside)
    for path in [home, top, *top.rglob("*")]:
        os.lchown(path, 10041, 10041)
    seal(top)
    tree.remove(str(top))
    assert [] == os.listdir(home)
    assert outside.exists()


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
    script = "import sys; from tierctl.deploy import tree; tree.remove(sys.argv[1])"
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


class TestTakingApart:
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


def test_a_link_on_the_way_to_what_is_sealed_is_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "elsewhere" / "envs"
    kept.mkdir(parents=True, mode=0o700)
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "conda").symlink_to(tmp_path / "elsewhere")
    for act in (tree.seal, tree.keep_to_owner):
        with pytest.raises(NotADirectoryError), tree.held(f"{tmp_path}/3") as held:
            act(held, "conda/envs")
    assert 0o700 == kept.stat().st_mode & 0o777


def test_what_takes_the_place_of_a_file_that_is_sealed_is_not_changed(
    tmp_path: Path, mocker: MockerFixture
) -> None:
    """Between a look at the file and the change of its mode."""
    key = tmp_path / "key"
    key.touch(0o600)
    (tmp_path / "41").mkdir()
    file = tmp_path / "41" / "file"
    file.touch(0o600)

    def replace(mode: int) -> int:
        file.unlink(missing_ok=True)
        file.symlink_to(key)
        return 0o444

    mocker.patch("tierctl.deploy.rights.sealed", side_effect=replace)
    seal(tmp_path / "41")
    assert 0o600 == key.stat().st_mode & 0o777


def test_what_is_kept_to_its_owner_keeps_the_group_of_what_is_made_there(tmp_path: Path) -> None:
    envs = tmp_path / "41" / "envs"
    envs.mkdir(parents=True)
    envs.chmod(0o2775)
    with tree.held(str(tmp_path / "41")) as held:
        tree.keep_to_owner(held, "envs")
    assert 0o2700 == envs.stat().st_mode & 0o7777


def test_somebody_else_s_scratch_directory_is_passed_over(tmp_path: Path) -> None:
    """Of a process that had the same number, or put there on purpose."""
    require_root()
    theirs = tmp_path / "tierctl-7-theirs"
    theirs.mkdir()
    tmp_path.chmod(0o1777)
    script = "from tierctl.deploy import tree; tree.remove_scratch(7)"
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
