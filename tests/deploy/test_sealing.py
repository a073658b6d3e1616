"""A deployment is closed: everybody can read it, and nobody can change it."""

import errno
import os
import stat
import struct
import subprocess
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from tierctl.fs import listing, sealing, tree
from tierctl.fs.listing import Directory, Entry
from tools import as_user, missing, require_root
from trees import modes, seal


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


def test_what_a_sealed_tree_consists_of_is_known(tmp_path: Path) -> None:
    top = tmp_path / "41"
    (top / "envs" / "bin").mkdir(parents=True)
    (top / "notes").write_text("text")
    (top / "envs" / "bin" / "tool").write_text("22")
    (top / "envs" / "bin" / "tool").chmod(0o700)
    (top / "envs" / "link").symlink_to("bin")
    sealed = seal(top)
    directory = stat.S_IFDIR | 0o555
    assert {
        "": Directory(directory, {"notes": Entry(stat.S_IFREG | 0o444, 4)}),
        "envs": Directory(directory, {"link": Entry(stat.S_IFLNK | 0o777, 0, "bin")}),
        "envs/bin": Directory(directory, {"tool": Entry(stat.S_IFREG | 0o555, 2)}),
    } == sealed
    assert listing.read(str(top)) == (sealed, {})


def test_a_pipe_in_a_tree_is_refused(tmp_path: Path) -> None:
    """Who reads it would wait, and no manifest can tell what it holds."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="Neither a file nor a link") as caught:
        seal(tmp_path)
    assert f"{tmp_path}/pipe" == caught.value.filename


def test_a_tree_that_is_too_deep_is_refused(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*201 * "d")
    deep.mkdir(parents=True)
    with pytest.raises(OSError, match="More than 200 directories deep"):
        seal(tmp_path)


def test_what_somebody_else_seals_is_left_out(tmp_path: Path) -> None:
    top = tmp_path / "41"
    (top / "envs" / "main").mkdir(parents=True, mode=0o700)
    (top / "envs" / "main" / "file").touch(0o600)
    (top / "envs" / "other").mkdir()
    assert {"", "envs", "envs/other"} == seal(top, left_out="envs/main").keys()
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


def test_a_link_on_the_way_to_what_is_sealed_is_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "elsewhere" / "envs"
    kept.mkdir(parents=True, mode=0o700)
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "conda").symlink_to(tmp_path / "elsewhere")
    for act in (sealing.seal, sealing.keep_to_owner):
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

    mocker.patch("tierctl.fs.sealing.sealed", side_effect=replace)
    seal(tmp_path / "41")
    assert 0o600 == key.stat().st_mode & 0o777


def test_what_is_kept_to_its_owner_keeps_the_group_of_what_is_made_there(tmp_path: Path) -> None:
    envs = tmp_path / "41" / "envs"
    envs.mkdir(parents=True)
    envs.chmod(0o2775)
    with tree.held(str(tmp_path / "41")) as held:
        sealing.keep_to_owner(held, "envs")
    assert 0o2700 == envs.stat().st_mode & 0o7777


class TestClosing:
    @pytest.mark.parametrize(("top_mode", "mode"), [(0o755, 0o600), (0o775, 0o620)])
    def test_only_who_can_write_in_the_package_s_directory_can_write_below(
        self, tmp_path: Path, top_mode: int, mode: int
    ) -> None:
        package = tmp_path / "package"
        (package / "share").mkdir(parents=True)
        (package / "share" / "file").write_text("as it was")
        (package / "link").symlink_to(tmp_path)
        for path in (package / "share" / "file", package / "share"):
            path.chmod(0o777)
        for path, its in ((package, top_mode), (tmp_path, 0o777)):
            path.chmod(its)
        with open(package / "share" / "file", "a") as opened:
            sealing.close(str(package))
            opened.write("evil")
        assert mode & 0o022 == (package / "share").stat().st_mode & 0o022
        assert 0o555 == (package / "share" / "file").stat().st_mode & 0o777
        assert "as it was" == (package / "share" / "file").read_text()
        assert 0o777 == tmp_path.stat().st_mode & 0o777

    def test_what_somebody_else_has_put_there_is_refused(self, tmp_path: Path) -> None:
        require_root()
        (tmp_path / "share").mkdir()
        (tmp_path / "share" / "file").touch()
        os.chown(tmp_path / "share" / "file", 10091, -1)
        with pytest.raises(OSError, match="Somebody else has put it there") as caught:
            sealing.close(str(tmp_path))
        assert f"{tmp_path}/share/file" == caught.value.filename

    def test_another_user_s_package_stays_as_it_is(self, tmp_path: Path) -> None:
        require_root()
        (tmp_path / "file").touch()
        (tmp_path / "file").chmod(0o666)
        for path in (tmp_path, tmp_path / "file"):
            os.chown(path, 10091, -1)
        sealing.close(str(tmp_path))
        assert 0o666 == (tmp_path / "file").stat().st_mode & 0o777
