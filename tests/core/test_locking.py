"""The target's lock: one change at a time, and who holds it."""

import errno
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from places import FILESYSTEMS, place_on
from tierctl.errors import Locked, LocksUnsupported
from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import FileSystem, LockUnavailable
from tierctl.journal import lock
from tierctl.journal.lock import Holder, locked, read_holder
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import Author

ADA = Author("ada", "lab7", "why")


@pytest.fixture(params=FILESYSTEMS)
def fs(request: pytest.FixtureRequest, tmp_path: Path) -> FileSystem:
    """A filesystem with a target's ``.tierctl``."""
    return place_on(request.param, tmp_path).fs


@pytest.fixture
def layout(fs: FileSystem, tmp_path: Path) -> Layout:
    """The layout of that target."""
    layout = Layout(str(tmp_path) if isinstance(fs, OsFileSystem) else "/place")
    fs.make_directory(layout.control, 0o755)
    return layout


def write_holder(fs: FileSystem, layout: Layout, data: bytes) -> None:
    fs.write(layout.holder, data, mode=0o644)


HOLDER = {
    "user": "ada",
    "host": "lab7",
    "pid": 12,
    "command": "promotion",
    "time": "2024-01-01T00:00:00Z",
}


def test_who_is_kept_out_is_told_by_whom(fs: FileSystem, layout: Layout) -> None:
    with (
        locked(Target(fs, layout), ADA, "rollback", 0),
        pytest.raises(Locked) as caught,
        locked(Target(fs, layout), Author("bob", "lab8"), "promotion", 0),
    ):
        pytest.fail("both hold it")
    assert f"locked by ada on lab7 (rollback, process {os.getpid()}, since" in str(caught.value)
    assert "waited 0 s" in str(caught.value)
    assert "until ada makes a change there, or until that host has booted" in caught.value.hint


def test_who_is_kept_out_by_a_stopped_process_is_told_how_it_goes_on(
    fs: FileSystem, layout: Layout
) -> None:
    with (
        subprocess.Popen(["sleep", "60"]) as stopped,
        locked(Target(fs, layout), ADA, "promotion", 0),
    ):
        os.kill(stopped.pid, signal.SIGSTOP)
        os.waitpid(stopped.pid, os.WUNTRACED)
        for host, hint in (("lab7", f"kill -CONT {stopped.pid}"), ("lab8", "Try again")):
            holder = HOLDER | {"pid": stopped.pid, "host": host}
            write_holder(fs, layout, json.dumps(holder).encode())
            with pytest.raises(Locked) as caught, locked(Target(fs, layout), ADA, "rollback", 0):
                pytest.fail("both hold it")
            assert (host == "lab7") == ("which is stopped" in caught.value.message)
            assert hint in caught.value.hint
        stopped.kill()


def test_the_holder_can_be_read_meanwhile(fs: FileSystem, layout: Layout) -> None:
    with locked(Target(fs, layout), ADA, "rollback", 0):
        holder = read_holder(Target(fs, layout))
    assert holder is not None
    assert ("ada", "lab7", os.getpid(), "rollback") == holder[:4]


def test_the_newest_holder_is_the_one_that_is_named(fs: FileSystem, layout: Layout) -> None:
    with locked(Target(fs, layout), Author("somebody with a long name", "lab7"), "promotion", 0):
        pass
    with locked(Target(fs, layout), ADA, "rollback", 0):
        holder = read_holder(Target(fs, layout))
    assert holder is not None
    assert ("ada", "rollback") == (holder.user, holder.command)


def test_the_lock_is_free_when_its_holder_leaves_or_fails(fs: FileSystem, layout: Layout) -> None:
    with locked(Target(fs, layout), ADA, "promotion", 0):
        pass
    with pytest.raises(ZeroDivisionError), locked(Target(fs, layout), ADA, "promotion", 0):
        raise ZeroDivisionError
    with locked(Target(fs, layout), ADA, "promotion", 0):
        pass


@pytest.mark.parametrize(("directory", "expected"), [(0o755, 0o600), (0o2775, 0o660)])
def test_only_who_may_promote_can_hold_it(tmp_path: Path, directory: int, expected: int) -> None:
    layout = Layout(str(tmp_path))
    OsFileSystem().make_directory(layout.control, directory)
    with locked(Target(OsFileSystem(), layout), ADA, "promotion", 0):
        assert expected == OsFileSystem().entry(layout.lock).mode


def test_a_disk_too_full_to_write_down_the_holder_is_no_hindrance(
    fs: FileSystem, layout: Layout, mocker: MockerFixture
) -> None:
    with locked(Target(fs, layout), ADA, "promotion", 0):
        pass
    mocker.patch.object(fs, "write", side_effect=OSError(errno.ENOSPC, "full"))
    with locked(Target(fs, layout), ADA, "rollback", 0):
        pass


def test_without_a_holder_written_down_somebody_is_named(fs: FileSystem, layout: Layout) -> None:
    with (
        fs.lock(layout.lock, mode=0o600, timeout=0),
        pytest.raises(Locked, match="locked by somebody"),
        locked(Target(fs, layout), ADA, "promotion", 0),
    ):
        pytest.fail("both hold it")


def test_a_filesystem_without_locks_is_refused_with_what_to_do(
    fs: FileSystem, layout: Layout, mocker: MockerFixture
) -> None:
    mocker.patch.object(fs, "lock", side_effect=LockUnavailable(errno.ENOLCK, "No locks available"))
    with (
        pytest.raises(LocksUnsupported, match="No locks available") as caught,
        locked(Target(fs, layout), ADA, "promotion", 0),
    ):
        pytest.fail("locked without locks")
    assert layout.lock in caught.value.message
    assert "Mount it with locks" in caught.value.hint


class TestReadHolder:
    def test_what_was_written_is_read(self, fs: FileSystem, layout: Layout) -> None:
        write_holder(fs, layout, json.dumps(HOLDER).encode())
        assert Holder("ada", "lab7", 12, "promotion", "2024-01-01T00:00:00Z") == read_holder(
            Target(fs, layout)
        )

    def test_without_a_file_there_is_none(self, fs: FileSystem, layout: Layout) -> None:
        assert read_holder(Target(fs, layout)) is None

    @pytest.mark.parametrize(
        "data",
        [b"", b"{", b"[]", b"null", b"1", b'"text"', b"\xff", b"{}", b'{"pid": 1}'],
    )
    def test_what_is_no_holder_is_none(self, fs: FileSystem, layout: Layout, data: bytes) -> None:
        write_holder(fs, layout, data)
        assert read_holder(Target(fs, layout)) is None

    @pytest.mark.parametrize("pid", ["x", None, [], {}, float("nan")])
    def test_a_holder_whose_process_is_no_number_is_none(
        self, fs: FileSystem, layout: Layout, pid: object
    ) -> None:
        write_holder(fs, layout, json.dumps(HOLDER | {"pid": pid}).encode())
        assert read_holder(Target(fs, layout)) is None

    @pytest.mark.parametrize(
        "data",
        [json.dumps(HOLDER | {"pid": float("inf")}).encode(), b"[" * 100_000],
        ids=["infinite", "endless"],
    )
    def test_nothing_that_can_be_written_there_stops_anybody(
        self, fs: FileSystem, layout: Layout, data: bytes
    ) -> None:
        write_holder(fs, layout, data)
        assert read_holder(Target(fs, layout)) is None

    def test_a_link_is_not_followed(self, fs: FileSystem, layout: Layout) -> None:
        fs.write(layout.holder + ".real", json.dumps(HOLDER).encode(), mode=0o644)
        fs.make_link(layout.holder, "holder.json.real")
        assert read_holder(Target(fs, layout)) is None

    def test_a_holder_cannot_forge_a_line(self) -> None:
        holder = Holder("a\nb", "\x1b[2J", 1, "c\rd", "e\udcff")
        assert str(holder).isprintable()


def test_only_the_lock_of_the_filesystem_is_proof(fs: FileSystem, layout: Layout) -> None:
    write_holder(fs, layout, json.dumps(HOLDER).encode())
    with lock.locked(Target(fs, layout), ADA, "promotion", 0):
        pass
