"""What the mount under a path promises, read from a table as the kernel writes it."""

import os
import sys
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from tierctl.fs import mounts
from tierctl.fs.mounts import Limit, Mount
from tools import missing

ROOT = "25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A file for a table of mounts."""
    return tmp_path / "mountinfo"


def find(table: Path, path: str, *lines: str) -> Mount | None:
    table.write_bytes(b"".join(os.fsencode(line) + b"\n" for line in (ROOT, *lines)))
    return mounts.find(path, str(table))


def found(table: Path, path: str, *lines: str) -> Mount:
    mount = find(table, path, *lines)
    assert mount is not None
    return mount


def line(point: str, kind: str = "nfs4", options: str = "rw", of_filesystem: str = "rw") -> str:
    return f"30 25 0:40 / {point} {options} shared:2 - {kind} server:/x {of_filesystem}"


class TestFind:
    def test_it_says_type_point_and_all_options_once(self, table: Path) -> None:
        assert Mount("ext4", "/", ("rw", "relatime", "errors=remount-ro")) == find(table, "/etc")

    def test_the_mount_with_the_longest_point_holds_a_path(self, table: Path) -> None:
        lines = line("/nowhere"), line("/nowhere/lab", "lustre")
        assert "/nowhere/lab" == found(table, "/nowhere/lab/x", *lines).point
        assert "/nowhere" == found(table, "/nowhere/other", *lines).point

    def test_the_point_itself_is_held(self, table: Path) -> None:
        assert "/nowhere" == found(table, "/nowhere", line("/nowhere")).point

    def test_a_name_that_only_begins_like_the_point_is_not_held(self, table: Path) -> None:
        assert "/" == found(table, "/nowhere2/x", line("/nowhere")).point

    def test_of_two_mounts_on_one_point_the_later_hides_the_earlier(self, table: Path) -> None:
        lines = line("/nowhere", "nfs4"), line("/nowhere", "tmpfs")
        assert "tmpfs" == found(table, "/nowhere/x", *lines).type

    def test_the_kernel_says_which_it_is_whatever_the_order_of_the_table(self) -> None:
        """On some hosts the root filesystem is listed last."""
        if sys.platform != "linux":
            missing("only Linux numbers its mounts")
        for path in ("/proc", "/sys", "/proc/self/missing", "/dev/shm"):  # noqa: S108 (looked at)
            mount = mounts.find(path)
            assert mount is not None
            assert path.startswith(mount.point)
            assert mount.point != "/"

    def test_a_mount_that_a_later_one_hides_from_above_holds_nothing(self, table: Path) -> None:
        lines = line("/nowhere/lab", "nfs4"), line("/nowhere", "tmpfs")
        assert "tmpfs" == found(table, "/nowhere/lab/x", *lines).type

    @pytest.mark.parametrize(
        ("written", "point"),
        [
            (r"/no\040where", "/no where"),
            (r"/no\011where", "/no\twhere"),
            (r"/no\012where", "/no\nwhere"),
            (r"/no\134where", "/no\\where"),
            (r"/no\134040where", "/no\\040where"),
            ("/no\udcffwhere", "/no\udcffwhere"),
        ],
    )
    def test_names_are_unescaped(self, table: Path, written: str, point: str) -> None:
        assert point == found(table, f"{point}/x", line(written)).point

    def test_a_name_with_a_carriage_return_is_a_name(self, table: Path) -> None:
        assert "/" == found(table, "/etc", line("/no\rwhere")).point

    @pytest.mark.parametrize("optional", ["", "shared:1 ", "shared:1 master:2 unbindable "])
    def test_optional_fields_may_be_none_or_many(self, table: Path, optional: str) -> None:
        text = f"30 25 0:40 / /nowhere rw {optional}- fuse.sshfs host:/ rw,user_id=0"
        assert Mount("fuse.sshfs", "/nowhere", ("rw", "user_id=0")) == find(table, "/nowhere", text)

    def test_a_path_is_resolved(self, table: Path, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        point = os.path.realpath(tmp_path / "real")
        assert point == found(table, str(tmp_path / "link" / "x"), line(point)).point

    def test_a_relative_path_is_taken_from_the_working_directory(
        self, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        point = os.path.realpath(tmp_path)
        assert point == found(table, "x", line(point)).point

    def test_without_a_table_nothing_is_known(self, tmp_path: Path) -> None:
        assert mounts.find("/", str(tmp_path / "missing")) is None

    @pytest.mark.skipif(sys.platform != "linux", reason="Linux has such a table")
    def test_the_table_of_this_host_can_be_read(self, tmp_path: Path) -> None:
        mount = mounts.find(str(tmp_path))
        assert mount is not None
        assert os.path.realpath(tmp_path).startswith(mount.point)


class TestPromises:
    @pytest.mark.parametrize(
        "option", ["nolock", "localflock", "local_lock=all", "local_lock=posix"]
    )
    def test_locks_that_other_hosts_do_not_see_are_named(self, table: Path, option: str) -> None:
        mount = found(table, "/nowhere", line("/nowhere", of_filesystem=f"rw,{option},vers=3"))
        assert option == mount.locks_on_this_host_only

    @pytest.mark.parametrize("option", ["local_lock=none", "flock", "lock"])
    def test_locks_that_other_hosts_see_are_not(self, table: Path, option: str) -> None:
        mount = found(table, "/nowhere", line("/nowhere", of_filesystem=f"rw,{option}"))
        assert mount.locks_on_this_host_only is None

    @pytest.mark.parametrize(
        ("options", "of_filesystem", "expected"),
        [("ro", "rw", True), ("rw", "ro", True), ("rw,errors=remount-ro", "rw", False)],
    )
    def test_a_mount_is_read_only_if_it_or_its_filesystem_is(
        self, table: Path, options: str, of_filesystem: str, expected: bool
    ) -> None:
        mount = found(table, "/nowhere", line("/nowhere", "ext4", options, of_filesystem))
        assert expected is mount.is_read_only


# As Linux 6.1 writes it down, for what a mount was asked for; the first is without any option.
NFS_OPTIONS = {
    "": "rw,vers=4.2,rsize=65536,hard,proto=tcp,timeo=600,local_lock=none,addr=10.9.0.1",
    "actimeo=60": "rw,vers=4.2,rsize=65536,acregmin=60,acdirmin=60,hard,local_lock=none",
    "actimeo=600": "rw,vers=3,acregmin=600,acregmax=600,acdirmin=600,acdirmax=600,hard",
    "actimeo=0": "rw,vers=4.2,acregmin=0,acregmax=0,acdirmin=0,acdirmax=0,hard",
    "acdirmax=10": "rw,vers=4.2,acdirmax=10,hard",
    "acdirmin=5,acdirmax=10": "rw,vers=4.2,acdirmin=5,acdirmax=10,hard",
    "acregmin=100,acregmax=200": "rw,vers=4.2,acregmin=100,acregmax=200,hard",
    "noac": "rw,sync,vers=3,acregmin=0,acregmax=0,acdirmin=0,acdirmax=0,hard,noac",
    "lookupcache=none": "rw,vers=4.2,hard,lookupcache=none,local_lock=none",
    "lookupcache=positive": "rw,vers=4.2,hard,lookupcache=pos,local_lock=none",
    "nocto": "rw,vers=4.2,hard,nocto,proto=tcp",
}
NAME_CACHES = {
    "": Limit(60, "acdirmax=60, the default"),
    "actimeo=60": Limit(60, "acdirmin=60"),
    "actimeo=600": Limit(600, "acdirmin=600"),
    "actimeo=0": Limit(0, "acdirmin=0"),
    "acdirmax=10": Limit(30, "acdirmin=30, the default"),
    "acdirmin=5,acdirmax=10": Limit(10, "acdirmax=10"),
    "acregmin=100,acregmax=200": Limit(60, "acdirmax=60, the default"),
    "noac": Limit(0, "noac"),
    "lookupcache=none": Limit(0, "lookupcache=none"),
    "lookupcache=positive": Limit(60, "acdirmax=60, the default"),
    "nocto": Limit(60, "acdirmax=60, the default"),
}


class TestNfs:
    @pytest.mark.parametrize("asked_for", NFS_OPTIONS)
    def test_its_options_say_how_long_it_caches_names(self, table: Path, asked_for: str) -> None:
        mount = found(table, "/lab", line("/lab", of_filesystem=NFS_OPTIONS[asked_for]))
        assert NAME_CACHES[asked_for] == mount.name_cache

    @pytest.mark.parametrize(
        ("kind", "expected"), [("nfs", True), ("nfs4", True), ("nfsd", False), ("ext4", False)]
    )
    def test_both_of_its_types_are_known(self, table: Path, kind: str, expected: bool) -> None:
        assert expected is found(table, "/lab", line("/lab", kind)).is_nfs

    def test_an_option_has_a_value_or_none(self, table: Path) -> None:
        mount = found(table, "/lab", line("/lab", of_filesystem="rw,vers=4.2,nocto"))
        assert ("4.2", "", None) == (mount.value("vers"), mount.value("nocto"), mount.value("x"))


class TestCanExchange:
    @pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay"])
    def test_it_is_foretold_of_what_can(self, mocker: MockerFixture, kind: str) -> None:
        mocker.patch("tierctl.fs.mounts.find", return_value=Mount(kind, "/", ("rw",)))
        assert mounts.can_exchange("/")

    @pytest.mark.parametrize(
        ("version", "exchanges"),
        [("2.2.0-1", True), ("2.3.1", True), ("2.1.14-1ubuntu1", False), ("", False)],
    )
    def test_of_zfs_the_version_decides(
        self, mocker: MockerFixture, tmp_path: Path, version: str, exchanges: bool
    ) -> None:
        (tmp_path / "version").write_text(version + "\n")
        mocker.patch("tierctl.fs.mounts.find", return_value=Mount("zfs", "/", ("rw",)))
        mocker.patch("tierctl.fs.mounts._ZFS_VERSION", str(tmp_path / "version"))
        assert exchanges is mounts.can_exchange("/")

    def test_a_zfs_that_does_not_tell_its_version_is_an_old_one(
        self, mocker: MockerFixture, tmp_path: Path
    ) -> None:
        mocker.patch("tierctl.fs.mounts.find", return_value=Mount("zfs", "/", ("rw",)))
        mocker.patch("tierctl.fs.mounts._ZFS_VERSION", str(tmp_path / "missing"))
        assert not mounts.can_exchange("/")

    @pytest.mark.parametrize("kind", ["nfs", "nfs4", "lustre", "ceph", "beegfs", "9p", "fuse.x"])
    def test_it_is_not_foretold_of_what_cannot(self, mocker: MockerFixture, kind: str) -> None:
        mocker.patch("tierctl.fs.mounts.find", return_value=Mount(kind, "/", ("rw",)))
        assert not mounts.can_exchange("/")
