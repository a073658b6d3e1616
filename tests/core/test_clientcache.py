"""What is asked of a server, and of whom, tried out on a local filesystem.

That it shows what another host has changed can be seen on a network filesystem
only: see ``tests/nfs``.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

from tierctl.fs import clientcache, syscalls
from tierctl.fs.local import OsFileSystem
from tierctl.fs.mounts import Mount

NFS = Mount("nfs4", "/mnt", ("rw", "vers=4.2"))
WITHOUT_OBJECTS = Mount("nfs", "/mnt", ("rw", "vers=3", "nordirplus"))
WITHOUT_OPENING = Mount("nfs4", "/mnt", ("rw", "nocto"))
SSHFS = Mount("fuse.sshfs", "/mnt", ("rw",))
LONG_AGO = 10**9


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a file, a directory and two links, that was last changed long ago."""
    (tmp_path / "file").write_text("text")
    (tmp_path / "directory").mkdir()
    for name in ("production", "staging"):
        (tmp_path / name).symlink_to("directory")
    os.utime(tmp_path, (LONG_AGO, LONG_AGO))
    return tmp_path


@pytest.fixture
def opened(place: Path) -> Iterator[int]:
    fd = os.open(place, os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.fixture
def asked(mocker: MockerFixture) -> list[str]:
    """The names that the server is asked for; the directory itself is the empty one."""
    names: list[str] = []
    real = syscalls.ask_server

    def ask(fd: int, name: str = "") -> None:
        names.append(name)
        real(fd, name)

    mocker.patch("tierctl.fs.syscalls.ask_server", ask)
    return names


class TestRefresh:
    def test_by_writing_only_the_time_is_changed(self, place: Path, opened: int) -> None:
        before = sorted(os.listdir(place))
        clientcache.refresh(opened, NFS, write=True, is_new=True)
        assert before == sorted(os.listdir(place))
        assert place.stat().st_mtime > LONG_AGO

    def test_by_reading_nothing_is_changed(self, place: Path, opened: int) -> None:
        clientcache.refresh(opened, NFS, write=False, is_new=True)
        assert LONG_AGO == place.stat().st_mtime

    def test_by_reading_each_link_is_asked_for(self, opened: int, asked: list[str]) -> None:
        clientcache.refresh(opened, NFS, write=False, is_new=True)
        assert ["production", "staging"] == sorted(asked)

    def test_a_directory_that_was_opened_before_is_asked_for_itself(
        self, opened: int, asked: list[str]
    ) -> None:
        clientcache.refresh(opened, NFS, write=False, is_new=False)
        assert "" in asked

    def test_so_is_one_whose_mount_does_not_ask_when_it_is_opened(
        self, opened: int, asked: list[str]
    ) -> None:
        clientcache.refresh(opened, WITHOUT_OPENING, write=False, is_new=True)
        assert "" in asked

    def test_a_listing_that_brings_the_objects_makes_other_questions_needless(
        self, opened: int, asked: list[str]
    ) -> None:
        clientcache.refresh(opened, NFS, write=True, is_new=False)
        assert [] == asked

    @pytest.mark.parametrize("mount", [WITHOUT_OBJECTS, SSHFS])
    def test_where_it_does_not_each_name_is_asked_for(
        self, opened: int, asked: list[str], mount: Mount
    ) -> None:
        clientcache.refresh(opened, mount, write=True, is_new=False)
        assert ["directory", "file", "production", "staging"] == sorted(asked)

    def test_on_sshfs_an_open_directory_is_opened_again_to_be_listed(
        self, opened: int, asked: list[str], mocker: MockerFixture
    ) -> None:
        """A second listing by one descriptor has no names there."""
        real = os.scandir

        def scandir(place: Any) -> Any:
            return nullcontext(()) if place == opened else real(place)

        mocker.patch("os.scandir", scandir)
        clientcache.refresh(opened, SSHFS, ["staging"], write=True, is_new=False)
        assert "staging" in asked

    @pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT])
    def test_who_cannot_write_reads(
        self, opened: int, asked: list[str], mocker: MockerFixture, number: int
    ) -> None:
        mocker.patch("os.utime", side_effect=OSError(number, "no"))
        clientcache.refresh(opened, NFS, write=True, is_new=False)
        assert ["", "production", "staging"] == sorted(asked)

    def test_any_other_error_is_one(self, opened: int, mocker: MockerFixture) -> None:
        mocker.patch("os.utime", side_effect=OSError(errno.EIO, "broken"))
        with pytest.raises(OSError, match="broken"):
            clientcache.refresh(opened, NFS, write=True, is_new=False)

    @pytest.mark.parametrize("mount", [NFS, WITHOUT_OBJECTS])
    def test_a_listed_name_that_the_cache_does_not_have_is_one_that_cannot_be_made(
        self, place: Path, opened: int, mocker: MockerFixture, mount: Mount
    ) -> None:
        mocker.patch("os.stat", side_effect=FileNotFoundError)
        made = mocker.patch("os.mkdir", side_effect=FileExistsError)
        names = ["production", "staging"]
        clientcache.refresh(opened, mount, names, write=True, is_new=False)
        assert set(names) == {call.args[0] for call in made.call_args_list}

    def test_a_listed_name_that_was_removed_meanwhile_stays_removed(
        self, place: Path, opened: int, mocker: MockerFixture
    ) -> None:
        def remove(fd: int, name: str) -> None:
            if name == "file":
                (place / name).unlink()
            raise FileNotFoundError

        mocker.patch("tierctl.fs.syscalls.ask_server", side_effect=remove)
        clientcache.refresh(opened, WITHOUT_OBJECTS, write=True, is_new=False)
        assert ["directory", "production", "staging"] == sorted(os.listdir(place))

    @pytest.mark.parametrize("name", ["production", "directory", "file"])
    def test_a_name_of_another_object_than_the_listed_one_is_an_error(
        self, place: Path, opened: int, mocker: MockerFixture, name: str
    ) -> None:
        other = (place / "staging").lstat()
        mocker.patch("os.stat", return_value=other)
        with pytest.raises(OSError, match="does not show what the server has") as caught:
            clientcache.refresh(opened, NFS, [name], write=True, is_new=False)
        assert errno.ESTALE == caught.value.errno

    def test_where_something_is_mounted_the_listing_tells_of_what_that_hides(
        self, place: Path, opened: int, mocker: MockerFixture
    ) -> None:
        mocker.patch("os.stat", return_value=os.stat("/proc"))
        clientcache.refresh(opened, NFS, ["directory"], write=True, is_new=False)

    def test_names_that_others_may_change_meanwhile_are_no_error(
        self, place: Path, opened: int, mocker: MockerFixture
    ) -> None:
        """They belong to another lock than the one that is held."""
        mocker.patch("os.stat", side_effect=FileNotFoundError)
        made = mocker.patch("os.mkdir")
        clientcache.refresh(opened, NFS, write=True, is_new=False)
        made.assert_not_called()

    def test_a_name_that_matters_may_be_missing(self, opened: int) -> None:
        clientcache.refresh(opened, NFS, ["missing", "staging"], write=True, is_new=False)

    def test_one_that_the_cache_has_and_the_server_does_not_is_asked_for(
        self, place: Path, opened: int, mocker: MockerFixture
    ) -> None:
        real, kept = os.stat, (place / "staging").lstat()
        mocker.patch("os.stat", lambda name, **how: kept if name == "old" else real(name, **how))
        ask = mocker.patch("tierctl.fs.syscalls.ask_server", side_effect=FileNotFoundError)
        clientcache.refresh(opened, NFS, ["old"], write=True, is_new=False)
        ask.assert_called_once_with(opened, "old")

    def test_one_that_the_cache_keeps_is_an_error(
        self, place: Path, opened: int, mocker: MockerFixture
    ) -> None:
        real, kept = os.stat, (place / "staging").lstat()
        mocker.patch("os.stat", lambda name, **how: kept if name == "old" else real(name, **how))
        mocker.patch("tierctl.fs.syscalls.ask_server")
        with pytest.raises(OSError, match="does not show what the server has") as caught:
            clientcache.refresh(opened, NFS, ["old"], write=True, is_new=False)
        assert (errno.ESTALE, "old") == (caught.value.errno, caught.value.filename)

    def test_where_listings_have_numbers_of_their_own_it_is_none(
        self, place: Path, opened: int, mocker: MockerFixture
    ) -> None:
        mocker.patch("os.stat", return_value=(place / "staging").lstat())
        clientcache.refresh(opened, SSHFS, ["production"], write=True, is_new=False)


class TestOsFileSystem:
    def test_on_a_disk_nothing_is_asked(
        self, place: Path, asked: list[str], mocker: MockerFixture
    ) -> None:
        mocker.patch("os.major", return_value=8)
        find = mocker.patch("tierctl.fs.mounts.find")
        OsFileSystem().refresh(str(place), write=True)
        assert LONG_AGO == place.stat().st_mtime
        find.assert_not_called()

    @pytest.mark.parametrize("kind", ["tmpfs", "btrfs", "overlay", "zfs"])
    def test_nor_on_a_filesystem_of_this_host_that_is_on_no_disk(
        self, place: Path, mocker: MockerFixture, kind: str
    ) -> None:
        mocker.patch("os.major", return_value=0)
        mocker.patch("tierctl.fs.mounts.find", return_value=Mount(kind, "/mnt", ()))
        OsFileSystem().refresh(str(place), write=True)
        assert LONG_AGO == place.stat().st_mtime

    @pytest.mark.parametrize(
        "kind", ["nfs", "nfs4", "lustre", "ceph", "9p", "fuse.sshfs", "fuse.gocryptfs"]
    )
    def test_on_any_other_it_is(self, place: Path, mocker: MockerFixture, kind: str) -> None:
        mocker.patch("os.major", return_value=0)
        mocker.patch("tierctl.fs.mounts.find", return_value=Mount(kind, "/mnt", ()))
        OsFileSystem().refresh(str(place), write=True)
        assert place.stat().st_mtime > LONG_AGO

    @pytest.mark.parametrize(("mount", "expected"), [(NFS, []), (WITHOUT_OPENING, [""])])
    def test_a_file_is_asked_for_that_would_be_opened_from_the_cache(
        self,
        place: Path,
        asked: list[str],
        mocker: MockerFixture,
        mount: Mount,
        expected: list[str],
    ) -> None:
        mocker.patch("os.major", return_value=0)
        mocker.patch("tierctl.fs.mounts.find", return_value=mount)
        assert b"text" == OsFileSystem().load(str(place / "file"))[1]
        assert expected == asked

    def test_once_a_lock_is_taken_its_file_is_asked_for_by_name(
        self, place: Path, asked: list[str], mocker: MockerFixture
    ) -> None:
        """Another host may have removed it, and made a new one, while this one waited."""
        mocker.patch("os.major", return_value=0)
        mocker.patch("tierctl.fs.mounts.find", return_value=NFS)
        with OsFileSystem().lock(str(place / "lock"), timeout=0):
            assert ["lock"] == asked

    def test_errors_tell_of_the_directory(self, place: Path, mocker: MockerFixture) -> None:
        mocker.patch("os.major", return_value=0)
        mocker.patch("tierctl.fs.mounts.find", return_value=NFS)
        mocker.patch("os.utime", side_effect=OSError(errno.EIO, "broken"))
        with pytest.raises(OSError, match="broken") as caught:
            OsFileSystem().refresh(str(place), write=True)
        assert str(place) == caught.value.filename


class TestAskServer:
    def test_a_symlink_is_not_followed(self, place: Path, opened: int) -> None:
        (place / "nowhere").symlink_to("missing")
        syscalls.ask_server(opened, "nowhere")

    def test_a_name_that_is_missing_is_an_error(self, opened: int) -> None:
        with pytest.raises(FileNotFoundError):
            syscalls.ask_server(opened, "missing")

    def test_a_libc_without_the_function_is_passed_by(
        self, opened: int, mocker: MockerFixture
    ) -> None:
        import ctypes

        syscalls._statx.cache_clear()
        libc = ctypes.CDLL(None, use_errno=True)
        old = mocker.Mock(spec=["syscall"], syscall=libc.syscall)
        mocker.patch("ctypes.CDLL", return_value=old)
        syscalls.ask_server(opened)
        with pytest.raises(FileNotFoundError):
            syscalls.ask_server(opened, "missing")
        syscalls._statx.cache_clear()
