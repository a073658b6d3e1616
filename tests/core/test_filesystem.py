"""What ``FileSystem`` promises, held to by every implementation."""

import errno
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_mock import MockerFixture

from places import FILESYSTEMS, Place, place_on
from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import ExchangeUnsupported, FileSystem, Kind, LockTimeout, exists, read
from tierctl.testing import Fault, FaultyFileSystem, MemoryFileSystem
from tools import require_root

NEVER = Fault(at=0)

Tree = dict[str, tuple[object, ...]]


@pytest.fixture(params=[*FILESYSTEMS, "client", "faulty real", "faulty memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty directory, on every implementation."""
    kind = request.param.removeprefix("faulty ")
    place = place_on(kind, tmp_path)
    if kind != request.param:
        return place._replace(fs=FaultyFileSystem(place.fs, NEVER))
    return place


@pytest.fixture
def real(tmp_path: Path) -> Place:
    """An empty directory of this host."""
    return place_on("real", tmp_path)


@pytest.fixture(params=[0o000, 0o077], ids=["umask 000", "umask 077"])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """The most and the least generous umask that people have."""
    old = os.umask(request.param)
    yield
    os.umask(old)


def tree(fs: FileSystem, root: str) -> Tree:
    """Return everything below a directory that can be seen without following a link."""
    found: Tree = {}
    waiting = [root]
    while waiting:
        directory = waiting.pop()
        for name in fs.names(directory):
            path = os.path.join(directory, name)
            entry = fs.entry(path)
            shown = os.path.relpath(path, root)
            match entry.kind:
                case Kind.LINK:
                    found[shown] = (entry.kind, fs.read_link(path))
                case Kind.FILE:
                    found[shown] = (entry.kind, entry.mode, entry.size, read(fs, path))
                case _:
                    found[shown] = (entry.kind, entry.mode)
                    waiting.append(path)
    return found


@contextmanager
def refused(place: Place, *numbers: int) -> Iterator[None]:
    """Claim that what is done inside raises such an error and changes nothing."""
    before = tree(place.fs, place.root)
    with pytest.raises(OSError) as caught:  # noqa: PT011 (its number is looked at)
        yield
    assert caught.value.errno in numbers
    assert before == tree(place.fs, place.root)


def write(place: Place, name: str, data: bytes = b"text", mode: int = 0o644) -> str:
    place.fs.write(place.path(name), data, mode=mode)
    return place.path(name)


def directory(place: Place, name: str, mode: int = 0o755) -> str:
    place.fs.make_directory(place.path(name), mode)
    return place.path(name)


def link(place: Place, name: str, target: str) -> str:
    place.fs.make_link(place.path(name), target)
    return place.path(name)


class TestEntry:
    def test_it_tells_a_file_a_directory_and_a_symlink_apart(self, place: Place) -> None:
        write(place, "file")
        directory(place, "directory")
        link(place, "link", "directory")
        assert {"file": Kind.FILE, "directory": Kind.DIRECTORY, "link": Kind.LINK} == {
            name: place.fs.entry(place.path(name)).kind for name in place.fs.names(place.root)
        }

    def test_it_tells_of_the_link_itself_unless_told_to_follow(self, place: Place) -> None:
        file = place.fs.entry(write(place, "file"))
        path = link(place, "link", "file")
        assert not file.is_same(place.fs.entry(path))
        assert file.is_same(place.fs.entry(path, follow=True))

    def test_it_follows_links_on_the_way_in_any_case(self, place: Place) -> None:
        directory(place, "directory")
        file = write(place, "directory/file")
        link(place, "link", "directory")
        assert place.fs.entry(file).is_same(place.fs.entry(place.path("link/file")))

    def test_two_objects_are_not_the_same(self, place: Place) -> None:
        one, other = write(place, "one"), write(place, "other")
        assert not place.fs.entry(one).is_same(place.fs.entry(other))

    def test_an_object_stays_the_same_under_a_new_name(self, place: Place) -> None:
        before = place.fs.entry(write(place, "old"))
        place.fs.rename(place.path("old"), place.path("new"))
        assert before.is_same(place.fs.entry(place.path("new")))

    def test_sizes_are_in_bytes(self, place: Place) -> None:
        assert 5 == place.fs.entry(write(place, "file", b"12345")).size
        assert 6 == place.fs.entry(link(place, "link", "grün/")).size

    def test_the_mode_is_that_of_the_object(self, place: Place) -> None:
        assert 0o640 == place.fs.entry(write(place, "file", mode=0o640)).mode
        assert 0o2775 == place.fs.entry(directory(place, "shared", 0o2775)).mode

    def test_what_the_caller_made_belongs_to_the_caller(self, place: Place) -> None:
        assert os.geteuid() == place.fs.entry(write(place, "file")).uid

    def test_what_is_missing_is_not_found(self, place: Place) -> None:
        with refused(place, errno.ENOENT):
            place.fs.entry(place.path("missing"))

    def test_there_is_nothing_below_what_is_missing(self, place: Place) -> None:
        with refused(place, errno.ENOENT):
            place.fs.entry(place.path("missing/../missing"))

    def test_there_is_nothing_below_a_file(self, place: Place) -> None:
        write(place, "file")
        for path in ("file/x", "file/", "file/.", "file/../file"):
            with refused(place, errno.ENOTDIR):
                place.fs.entry(place.path(path))

    def test_a_dangling_link_is_there_but_nothing_is_behind_it(self, place: Place) -> None:
        path = link(place, "link", "missing")
        assert Kind.LINK is place.fs.entry(path).kind
        with refused(place, errno.ENOENT):
            place.fs.entry(path, follow=True)

    def test_a_loop_is_there_but_nothing_is_behind_it(self, place: Place) -> None:
        one = link(place, "one", "other")
        link(place, "other", "one")
        assert Kind.LINK is place.fs.entry(one).kind
        with refused(place, errno.ELOOP):
            place.fs.entry(one, follow=True)

    def test_a_slash_behind_a_link_follows_it(self, place: Place) -> None:
        directory(place, "directory")
        path = link(place, "link", "directory")
        assert Kind.DIRECTORY is place.fs.entry(path + "/").kind

    def test_no_path_is_the_path_of_nothing(self, place: Place) -> None:
        with refused(place, errno.ENOENT):
            place.fs.entry("")

    def test_a_fifo_is_a_special_file(self, real: Place) -> None:
        os.mkfifo(real.path("fifo"))
        assert Kind.OTHER is real.fs.entry(real.path("fifo")).kind

    def test_the_time_is_that_of_the_last_change(self, real: Place) -> None:
        path = write(real, "file")
        os.utime(path, (1, 1_000_000_000))
        assert 1_000_000_000 == real.fs.entry(path).modified


class TestExists:
    def test_a_dangling_link_exists(self, place: Place) -> None:
        assert exists(place.fs, link(place, "link", "missing"))

    def test_what_is_missing_does_not(self, place: Place) -> None:
        assert not exists(place.fs, place.path("missing"))

    def test_what_cannot_be_looked_at_is_an_error_and_not_an_answer(self, place: Place) -> None:
        link(place, "loop", "loop")
        with refused(place, errno.ELOOP):
            exists(place.fs, place.path("loop/x"))

    def test_below_a_file_there_is_nothing(self, place: Place) -> None:
        write(place, "file")
        assert not exists(place.fs, place.path("file/x"))


class TestReadLink:
    @pytest.mark.parametrize("text", ["blue", "./blue", "/no/where", "../..", "a b\n", "gr\udcfcn"])
    def test_the_text_is_as_it_was_written(self, place: Place, text: str) -> None:
        assert text == place.fs.read_link(link(place, "link", text))

    def test_only_a_link_has_one(self, place: Place) -> None:
        for path in (write(place, "file"), directory(place, "directory")):
            with refused(place, errno.EINVAL):
                place.fs.read_link(path)

    def test_a_missing_link_is_not_found(self, place: Place) -> None:
        with refused(place, errno.ENOENT):
            place.fs.read_link(place.path("missing"))


class TestNames:
    def test_they_are_sorted_and_dangling_links_are_among_them(self, place: Place) -> None:
        write(place, "c")
        directory(place, "b")
        link(place, "a", "missing")
        assert ["a", "b", "c"] == place.fs.names(place.root)

    def test_an_empty_directory_has_none(self, place: Place) -> None:
        assert [] == place.fs.names(place.root)

    def test_names_keep_bytes_that_are_no_text(self, place: Place) -> None:
        write(place, "\udcff\n")
        assert ["\udcff\n"] == place.fs.names(place.root)

    def test_those_behind_a_link_can_be_had(self, place: Place) -> None:
        directory(place, "directory")
        write(place, "directory/file")
        assert ["file"] == place.fs.names(link(place, "link", "directory"))

    def test_a_file_has_none(self, place: Place) -> None:
        path = write(place, "file")
        with refused(place, errno.ENOTDIR):
            place.fs.names(path)

    def test_a_missing_directory_is_not_found(self, place: Place) -> None:
        with refused(place, errno.ENOENT):
            place.fs.names(place.path("missing"))


class TestRead:
    @pytest.mark.parametrize(
        ("start", "length", "expected"),
        [
            (0, -1, b"0123456789"),
            (4, -1, b"456789"),
            (4, 3, b"456"),
            (0, 0, b""),
            (8, 100, b"89"),
            (10, 1, b""),
            (99, -1, b""),
            (99, 5, b""),
            (-4, -1, b"6789"),
            (-4, 2, b"67"),
            (-4, 100, b"6789"),
            (-99, -1, b"0123456789"),
            (-99, 3, b"012"),
        ],
    )
    def test_a_part_is_what_was_asked_for(
        self, place: Place, start: int, length: int, expected: bytes
    ) -> None:
        path = write(place, "file", b"0123456789")
        assert expected == read(place.fs, path, start, length)

    def test_what_the_file_is_is_told_with_its_bytes(self, place: Place) -> None:
        path = write(place, "file", b"0123456789")
        assert (place.fs.entry(path), b"89") == place.fs.load(path, -2)

    def test_it_never_follows_a_link(self, place: Place) -> None:
        write(place, "file")
        for path in (link(place, "link", "file"), link(place, "dangling", "missing")):
            with refused(place, errno.ELOOP):
                read(place.fs, path)

    def test_a_directory_cannot_be_read(self, place: Place) -> None:
        path = directory(place, "directory")
        with refused(place, errno.EISDIR):
            read(place.fs, path)

    def test_a_missing_file_is_not_found(self, place: Place) -> None:
        with refused(place, errno.ENOENT):
            read(place.fs, place.path("missing"))

    def test_a_fifo_is_refused_and_not_waited_for(self, real: Place) -> None:
        os.mkfifo(real.path("fifo"))
        done = threading.Event()

        def attempt() -> None:
            with pytest.raises(OSError):  # noqa: PT011 (which one is up to the kernel)
                read(real.fs, real.path("fifo"))
            done.set()

        threading.Thread(target=attempt, daemon=True).start()
        assert done.wait(5)

    def test_a_device_that_never_ends_is_refused(self, real: Place) -> None:
        require_root()
        os.mknod(real.path("zero"), 0o020644, os.makedev(1, 5))
        with pytest.raises(OSError, match="Not a regular file"):
            read(real.fs, real.path("zero"))

    def test_what_no_memory_could_hold_is_refused(self, real: Place) -> None:
        with open(real.path("file"), "wb") as file:
            file.truncate(1 << 40)
        with pytest.raises(OSError, match="File too large"):
            read(real.fs, real.path("file"))
        assert b"\0\0" == read(real.fs, real.path("file"), (1 << 40) - 2)


class TestWrite:
    def test_what_was_written_can_be_read(self, place: Place) -> None:
        assert b"text\0\xff" == read(place.fs, write(place, "file", b"text\0\xff"))

    @pytest.mark.usefixtures("umask")
    @pytest.mark.parametrize("mode", [0o600, 0o644, 0o664])
    def test_a_new_file_has_the_mode_whatever_the_umask(self, place: Place, mode: int) -> None:
        assert mode == place.fs.entry(write(place, "file", mode=mode)).mode

    @pytest.mark.usefixtures("umask")
    @pytest.mark.parametrize(
        ("holder", "record", "lock"), [(0o755, 0o644, 0o600), (0o2775, 0o664, 0o660)]
    )
    def test_by_default_who_may_write_to_the_directory_writes_a_new_file(
        self, place: Place, holder: int, record: int, lock: int
    ) -> None:
        directory(place, "records", holder)
        place.fs.write(place.path("records/record"), b"text")
        assert record == place.fs.entry(place.path("records/record")).mode
        with place.fs.lock(place.path("records/lock"), timeout=0):
            assert lock == place.fs.entry(place.path("records/lock")).mode

    def test_a_file_that_is_there_keeps_its_mode_and_stays_the_same(self, place: Place) -> None:
        before = place.fs.entry(write(place, "file", b"old", mode=0o600))
        after = place.fs.entry(write(place, "file", b"new", mode=0o664))
        assert 0o600 == after.mode
        assert before.is_same(after)

    def test_one_that_was_left_when_it_was_just_made_gets_its_mode(self, place: Place) -> None:
        path = write(place, "file", b"", mode=0o600)
        place.fs.write(path, b"text")
        assert 0o644 == place.fs.entry(path).mode

    @pytest.mark.parametrize("call", ["fchmod", "pwrite", "fsync"])
    def test_what_fails_on_a_descriptor_names_the_path(
        self, real: Place, mocker: MockerFixture, call: str
    ) -> None:
        mocker.patch(f"os.{call}", side_effect=OSError(errno.EIO, "Input/output error"))
        with pytest.raises(OSError, match="Input/output error") as caught:
            real.fs.write(real.path("file"), b"text")
        assert real.path("file") == caught.value.filename

    @pytest.mark.parametrize(
        ("at", "expected"),
        [(0, b"NEW"), (2, b"olNEW"), (8, b"old textNEW"), (10, b"old text\0\0NEW")],
    )
    def test_the_file_is_cut_where_it_is_written(
        self, place: Place, at: int, expected: bytes
    ) -> None:
        path = write(place, "file", b"old text")
        place.fs.write(path, b"NEW", mode=0o644, at=at)
        assert expected == read(place.fs, path)

    def test_nothing_written_still_cuts(self, place: Place) -> None:
        path = write(place, "file", b"old text")
        place.fs.write(path, b"", mode=0o644, at=3)
        assert b"old" == read(place.fs, path)

    def test_unflushed_content_can_be_read_as_well(self, place: Place) -> None:
        place.fs.write(place.path("file"), b"text", mode=0o644, durable=False)
        assert b"text" == read(place.fs, place.path("file"))

    def test_more_than_one_system_call_takes_is_written_whole(self, place: Place) -> None:
        data = bytes(range(256)) * 4096 * 4
        assert data == read(place.fs, write(place, "file", data))

    def test_it_never_follows_a_link(self, place: Place) -> None:
        write(place, "file", b"precious")
        for path in (link(place, "link", "file"), link(place, "dangling", "missing")):
            with refused(place, errno.ELOOP):
                place.fs.write(path, b"forged", mode=0o644)

    def test_a_directory_cannot_be_written(self, place: Place) -> None:
        path = directory(place, "directory")
        with refused(place, errno.EISDIR):
            place.fs.write(path, b"", mode=0o644)

    def test_a_missing_directory_is_not_made(self, place: Place) -> None:
        with refused(place, errno.ENOENT):
            place.fs.write(place.path("missing/file"), b"", mode=0o644)

    def test_nothing_is_written_below_a_file(self, place: Place) -> None:
        write(place, "file")
        with refused(place, errno.ENOTDIR):
            place.fs.write(place.path("file/x"), b"", mode=0o644)

    def test_the_content_is_flushed_unless_told_not_to(
        self, real: Place, mocker: MockerFixture
    ) -> None:
        flushed: list[bytes] = []
        mocker.patch("os.fsync", side_effect=lambda fd: flushed.append(os.pread(fd, 100, 0)))
        real.fs.write(real.path("file"), b"lazy", mode=0o644, durable=False)
        assert [] == flushed
        real.fs.write(real.path("file"), b"whole", mode=0o644)
        assert b"whole" == flushed[-1]

    def test_a_file_that_somebody_else_makes_meanwhile_is_written(
        self, real: Place, mocker: MockerFixture
    ) -> None:
        path, os_open = real.path("file"), os.open

        def somebody_else_is_faster(name: str, flags: int, mode: int, *, dir_fd: None) -> int:
            if flags & os.O_EXCL:
                Path(name).write_bytes(b"theirs")
            return os_open(name, flags, mode)

        mocker.patch("os.open", side_effect=somebody_else_is_faster)
        real.fs.write(path, b"mine", mode=0o644)
        assert b"mine" == read(real.fs, path)


class TestMakeDirectory:
    @pytest.mark.usefixtures("umask")
    @pytest.mark.parametrize("mode", [0o700, 0o755, 0o2775])
    def test_it_has_the_mode_whatever_the_umask(self, place: Place, mode: int) -> None:
        assert mode == place.fs.entry(directory(place, "new", mode)).mode

    def test_it_is_empty(self, place: Place) -> None:
        assert [] == place.fs.names(directory(place, "new"))

    def test_it_takes_the_place_of_nothing(self, place: Place) -> None:
        taken = [
            write(place, "file"),
            directory(place, "directory"),
            link(place, "dangling", "missing"),
        ]
        for path in taken:
            with refused(place, errno.EEXIST):
                place.fs.make_directory(path, 0o755)

    def test_its_parents_are_not_made(self, place: Place) -> None:
        with refused(place, errno.ENOENT):
            place.fs.make_directory(place.path("missing/new"), 0o755)

    def test_it_is_not_made_below_a_file(self, place: Place) -> None:
        write(place, "file")
        with refused(place, errno.ENOTDIR):
            place.fs.make_directory(place.path("file/new"), 0o755)

    def test_a_group_is_given_it(self, place: Place) -> None:
        make = cast(Callable[..., None], place.fs.make_directory)
        make(place.path("shared"), 0o2775, group=os.getegid())
        entry = place.fs.entry(place.path("shared"))
        assert (os.getegid(), 0o2775) == (entry.gid, entry.mode)

    def test_another_group_is_given_it_before_the_mode_opens_it(
        self, real: Place, mocker: MockerFixture
    ) -> None:
        require_root()
        path, group = real.path("shared"), 54321
        groups_when_opened: list[int] = []
        fchmod = os.fchmod

        def note(fd: int, mode: int) -> None:
            groups_when_opened.append(os.fstat(fd).st_gid)
            fchmod(fd, mode)

        mocker.patch("os.fchmod", side_effect=note)
        real.fs.make_directory(path, 0o2775, group=group)
        assert {group} == set(groups_when_opened)
        assert 0o2775 == real.fs.entry(path).mode

    def test_what_takes_its_place_gets_no_rights(self, real: Place, mocker: MockerFixture) -> None:
        path, victim, os_mkdir = real.path("made"), real.path("victim"), os.mkdir
        os_mkdir(victim, 0o700)

        def swapped(name: str, mode: int, *, dir_fd: None) -> None:
            os_mkdir(name, mode)
            os.rmdir(name)
            os.symlink(victim, name)

        mocker.patch("os.mkdir", side_effect=swapped)
        with pytest.raises(NotADirectoryError):
            real.fs.make_directory(path, 0o2775, owner=12345)
        found = os.stat(victim)
        assert (0o700, os.geteuid()) == (found.st_mode & 0o7777, found.st_uid)


class TestSetMode:
    @pytest.mark.usefixtures("umask")
    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o666])
    def test_a_file_has_the_mode_whatever_the_umask(self, place: Place, mode: int) -> None:
        path = write(place, "file", b"text", mode=0o644)
        place.fs.set_mode(path, mode)
        assert (mode, b"text") == (place.fs.entry(path).mode, read(place.fs, path))

    @pytest.mark.usefixtures("umask")
    @pytest.mark.parametrize("mode", [0o700, 0o755, 0o2775])
    def test_a_directory_has_the_mode_whatever_the_umask(self, place: Place, mode: int) -> None:
        path = directory(place, "directory", 0o750)
        write(place, "directory/file", mode=0o640)
        place.fs.set_mode(path, mode)
        assert mode == place.fs.entry(path).mode
        assert 0o640 == place.fs.entry(f"{path}/file").mode

    def test_a_link_is_not_followed(self, place: Place) -> None:
        write(place, "file")
        directory(place, "directory")
        for target in ("file", "directory", "missing"):
            path = link(place, f"link to {target}", target)
            with refused(place, errno.ELOOP):
                place.fs.set_mode(path, 0o600)

    def test_what_is_missing_has_no_mode(self, place: Place) -> None:
        for path in ("missing", "missing/file"):
            with refused(place, errno.ENOENT):
                place.fs.set_mode(place.path(path), 0o600)

    def test_there_is_nothing_below_a_file_to_change(self, place: Place) -> None:
        write(place, "file")
        with refused(place, errno.ENOTDIR):
            place.fs.set_mode(place.path("file/x"), 0o600)

    def test_a_group_is_given_it(self, place: Place) -> None:
        path = write(place, "file")
        place.fs.set_mode(path, 0o660, group=os.getegid())
        entry = place.fs.entry(path)
        assert (os.getegid(), 0o660) == (entry.gid, entry.mode)

    @pytest.mark.parametrize("mode", [0o664, 0o2775])
    def test_another_group_is_given_it_before_the_mode_opens_it(
        self, real: Place, mocker: MockerFixture, mode: int
    ) -> None:
        require_root()
        path, group = write(real, "file", mode=0o600), 54321
        groups_when_opened: list[int] = []
        fchmod = os.fchmod

        def note(fd: int, mode: int) -> None:
            groups_when_opened.append(os.fstat(fd).st_gid)
            fchmod(fd, mode)

        mocker.patch("os.fchmod", side_effect=note)
        real.fs.set_mode(path, mode, group=group)
        assert {group} == set(groups_when_opened)
        assert mode == real.fs.entry(path).mode

    def test_a_fifo_that_nobody_writes_to_does_not_hang_it(self, real: Place) -> None:
        os.mkfifo(real.path("fifo"))
        real.fs.set_mode(real.path("fifo"), 0o600)
        assert 0o600 == real.fs.entry(real.path("fifo")).mode


class TestMakeLink:
    def test_it_may_dangle(self, place: Place) -> None:
        assert "missing" == place.fs.read_link(link(place, "link", "missing"))

    def test_it_takes_the_place_of_nothing(self, place: Place) -> None:
        taken = [
            write(place, "file"),
            directory(place, "directory"),
            link(place, "dangling", "missing"),
        ]
        for path in taken:
            with refused(place, errno.EEXIST):
                place.fs.make_link(path, "elsewhere")

    def test_an_error_names_its_path_and_not_its_text(self, place: Place) -> None:
        path = write(place, "file")
        with pytest.raises(FileExistsError) as caught:
            place.fs.make_link(path, "blue")
        assert path == caught.value.filename

    def test_it_needs_a_directory_to_be_in(self, place: Place) -> None:
        write(place, "file")
        with refused(place, errno.ENOENT):
            place.fs.make_link(place.path("missing/link"), "x")
        with refused(place, errno.ENOTDIR):
            place.fs.make_link(place.path("file/link"), "x")

    def test_it_points_somewhere(self, place: Place) -> None:
        with refused(place, errno.ENOENT):
            place.fs.make_link(place.path("link"), "")


class TestRename:
    def test_the_object_has_the_new_name_and_no_more_the_old(self, place: Place) -> None:
        place.fs.rename(write(place, "old"), place.path("new"))
        assert ["new"] == place.fs.names(place.root)

    def test_a_link_takes_the_place_of_a_link_and_nothing_is_followed(self, place: Place) -> None:
        directory(place, "blue")
        directory(place, "green")
        place.fs.rename(link(place, "new", "green"), link(place, "tier", "blue"))
        assert ["blue", "green", "tier"] == place.fs.names(place.root)
        assert "green" == place.fs.read_link(place.path("tier"))

    def test_a_file_takes_the_place_of_a_link_and_spares_what_was_behind_it(
        self, place: Place
    ) -> None:
        precious = write(place, "precious", b"old")
        path = link(place, "link", "precious")
        place.fs.rename(write(place, "draft", b"new"), path)
        assert (b"old", b"new") == (read(place.fs, precious), read(place.fs, path))

    def test_a_directory_takes_its_content_along(self, place: Place) -> None:
        directory(place, "old")
        write(place, "old/file")
        place.fs.rename(place.path("old"), place.path("new"))
        assert ["file"] == place.fs.names(place.path("new"))

    def test_a_directory_takes_the_place_of_an_empty_one(self, place: Place) -> None:
        directory(place, "full")
        write(place, "full/file")
        place.fs.rename(place.path("full"), directory(place, "empty"))
        assert ["empty"] == place.fs.names(place.root)

    def test_it_reaches_another_directory(self, place: Place) -> None:
        directory(place, "one")
        directory(place, "other")
        place.fs.rename(write(place, "one/file"), place.path("other/file"))
        assert ([], ["file"]) == (
            place.fs.names(place.path("one")),
            place.fs.names(place.path("other")),
        )

    def test_to_its_own_name_nothing_happens(self, place: Place) -> None:
        path = write(place, "file")
        place.fs.rename(path, path)
        assert b"text" == read(place.fs, path)

    def test_no_directory_with_content_is_replaced(self, place: Place) -> None:
        full = directory(place, "full")
        write(place, "full/file")
        new = directory(place, "new")
        with refused(place, errno.ENOTEMPTY, errno.EEXIST):
            place.fs.rename(new, full)

    def test_a_directory_is_replaced_by_nothing_else(self, place: Place) -> None:
        old = directory(place, "old")
        for path in (write(place, "file"), link(place, "link", "old")):
            with refused(place, errno.EISDIR):
                place.fs.rename(path, old)

    def test_a_directory_replaces_nothing_else(self, place: Place) -> None:
        new = directory(place, "new")
        for path in (write(place, "file"), link(place, "link", "new")):
            with refused(place, errno.ENOTDIR):
                place.fs.rename(new, path)

    def test_a_directory_does_not_move_into_itself(self, place: Place) -> None:
        path = directory(place, "directory")
        with refused(place, errno.EINVAL):
            place.fs.rename(path, place.path("directory/inside"))

    def test_nothing_takes_the_place_of_a_directory_that_holds_it(self, place: Place) -> None:
        outer = directory(place, "outer")
        for inner in (directory(place, "outer/inner"), link(place, "outer/link", "x")):
            with refused(place, errno.ENOTEMPTY, errno.EEXIST):
                place.fs.rename(inner, outer)

    def test_what_is_missing_is_not_found(self, place: Place) -> None:
        file = write(place, "file")
        with refused(place, errno.ENOENT):
            place.fs.rename(place.path("missing"), file)
        with refused(place, errno.ENOENT):
            place.fs.rename(file, place.path("missing/file"))


class TestExchange:
    def test_two_links_swap_their_names(self, place: Place) -> None:
        one, other = link(place, "production", "blue"), link(place, "staging", "green")
        place.fs.exchange(one, other)
        assert ("green", "blue") == (place.fs.read_link(one), place.fs.read_link(other))

    def test_a_directory_and_a_link_swap_their_names(self, place: Place) -> None:
        color, new = directory(place, "blue"), link(place, ".blue.new", "deployments/1")
        write(place, "blue/file")
        place.fs.exchange(color, new)
        assert "deployments/1" == place.fs.read_link(color)
        assert ["file"] == place.fs.names(new)

    def test_names_in_two_directories_swap(self, place: Place) -> None:
        directory(place, "one")
        directory(place, "other")
        place.fs.exchange(write(place, "one/a", b"a"), write(place, "other/b", b"b"))
        assert (b"b", b"a") == (
            read(place.fs, place.path("one/a")),
            read(place.fs, place.path("other/b")),
        )

    def test_a_name_that_is_missing_is_not_found(self, place: Place) -> None:
        there = link(place, "there", "blue")
        for pair in ((there, place.path("missing")), (place.path("missing"), there)):
            with refused(place, errno.ENOENT):
                place.fs.exchange(*pair)

    def test_what_was_foretold_is_true(self, place: Place) -> None:
        one, other = write(place, "one"), write(place, "other")
        foretold = place.fs.can_exchange(place.root)
        try:
            place.fs.exchange(one, other)
        except ExchangeUnsupported:
            assert not foretold

    def test_in_memory_it_is_refused_where_it_was_foretold_not_to_work(self) -> None:
        place = Place(MemoryFileSystem(exchanges=False), "")
        place.fs.make_link("/one", "x")
        place.fs.make_link("/other", "y")
        assert not place.fs.can_exchange("/")
        with pytest.raises(ExchangeUnsupported):
            place.fs.exchange("/one", "/other")
        assert ("x", "y") == (place.fs.read_link("/one"), place.fs.read_link("/other"))


class TestRemove:
    def test_a_file_and_an_empty_directory_are_gone(self, place: Place) -> None:
        place.fs.remove(write(place, "file"))
        place.fs.remove(directory(place, "directory"))
        assert [] == place.fs.names(place.root)

    def test_of_a_link_it_removes_the_link(self, place: Place) -> None:
        directory(place, "directory")
        write(place, "file")
        place.fs.remove(link(place, "one", "directory"))
        place.fs.remove(link(place, "other", "file"))
        place.fs.remove(link(place, "dangling", "missing"))
        assert ["directory", "file"] == place.fs.names(place.root)

    def test_a_directory_with_content_stays(self, place: Place) -> None:
        path = directory(place, "directory")
        link(place, "directory/link", "missing")
        with refused(place, errno.ENOTEMPTY, errno.EEXIST):
            place.fs.remove(path)

    def test_what_is_missing_is_not_found(self, place: Place) -> None:
        with refused(place, errno.ENOENT):
            place.fs.remove(place.path("missing"))


class TestSync:
    def test_a_directory_can_be_flushed(self, place: Place) -> None:
        write(place, "file")
        place.fs.sync(place.root)
        assert ["file"] == place.fs.names(place.root)

    def test_what_is_no_directory_cannot(self, place: Place) -> None:
        path = write(place, "file")
        with refused(place, errno.ENOTDIR):
            place.fs.sync(path)
        with refused(place, errno.ENOENT):
            place.fs.sync(place.path("missing"))

    def test_it_is_that_directory_that_is_flushed(self, real: Place, mocker: MockerFixture) -> None:
        flushed: list[int] = []
        mocker.patch("os.fsync", side_effect=lambda fd: flushed.append(os.fstat(fd).st_ino))
        real.fs.sync(real.root)
        assert [real.fs.entry(real.root).inode] == flushed


class TestLock:
    def test_a_second_holder_is_kept_out(self, place: Place) -> None:
        path = place.path("lock")
        with (
            place.fs.lock(path, mode=0o600, timeout=0),
            pytest.raises(LockTimeout),
            place.fs.lock(path, mode=0o600, timeout=0),
        ):
            pytest.fail("both hold it")

    def test_it_stays_locked_when_a_second_holder_was_kept_out(self, place: Place) -> None:
        path = place.path("lock")
        with place.fs.lock(path, mode=0o600, timeout=0):
            for _ in range(2):
                with pytest.raises(LockTimeout), place.fs.lock(path, mode=0o600, timeout=0):
                    pytest.fail("both hold it")

    def test_it_is_free_when_its_holder_leaves(self, place: Place) -> None:
        for _ in range(2):
            with place.fs.lock(place.path("lock"), mode=0o600, timeout=0):
                pass

    def test_it_is_free_when_its_holder_fails(self, place: Place) -> None:
        path = place.path("lock")
        with pytest.raises(ZeroDivisionError), place.fs.lock(path, mode=0o600, timeout=0):
            raise ZeroDivisionError
        with place.fs.lock(path, mode=0o600, timeout=0):
            pass

    def test_whether_it_is_held_can_be_asked(self, place: Place) -> None:
        path = place.path("lock")
        with pytest.raises(FileNotFoundError):
            place.fs.is_locked(path)
        with place.fs.lock(path, timeout=0):
            assert place.fs.is_locked(path)
            with pytest.raises(LockTimeout), place.fs.lock(path, timeout=0):
                pytest.fail("asking has freed it")
        assert not place.fs.is_locked(path)
        with place.fs.lock(path, timeout=0):
            pass

    def test_two_files_are_two_locks(self, place: Place) -> None:
        with (
            place.fs.lock(place.path("one"), mode=0o600, timeout=0),
            place.fs.lock(place.path("other"), mode=0o600, timeout=0),
        ):
            pass

    @pytest.mark.usefixtures("umask")
    @pytest.mark.parametrize("mode", [0o600, 0o660])
    def test_its_file_is_made_with_the_mode_and_never_deleted(
        self, place: Place, mode: int
    ) -> None:
        with place.fs.lock(place.path("lock"), mode=mode, timeout=0):
            made = place.fs.entry(place.path("lock"))
        assert mode == made.mode
        with place.fs.lock(place.path("lock"), mode=mode, timeout=0):
            pass
        assert made.is_same(place.fs.entry(place.path("lock")))

    def test_a_file_that_is_there_keeps_its_content_and_mode(self, place: Place) -> None:
        path = write(place, "lock", b"kept", mode=0o640)
        with place.fs.lock(path, mode=0o600, timeout=0):
            pass
        assert (b"kept", 0o640) == (read(place.fs, path), place.fs.entry(path).mode)

    def test_it_never_follows_a_link(self, place: Place) -> None:
        write(place, "file")
        path = link(place, "link", "file")
        with refused(place, errno.ELOOP), place.fs.lock(path, mode=0o600, timeout=0):
            pytest.fail("locked what is behind a link")

    def test_it_needs_a_directory_to_be_in(self, place: Place) -> None:
        path = place.path("missing/lock")
        with refused(place, errno.ENOENT), place.fs.lock(path, mode=0o600, timeout=0):
            pytest.fail("locked what is not there")

    def test_a_directory_is_no_lock(self, place: Place) -> None:
        path = directory(place, "directory")
        with refused(place, errno.EISDIR), place.fs.lock(path, mode=0o600, timeout=0):
            pytest.fail("locked a directory")


class TestRefresh:
    @pytest.mark.parametrize("write", [True, False])
    def test_it_changes_nothing(self, place: Place, write: bool) -> None:
        write_some(place)
        before = tree(place.fs, place.root)
        place.fs.refresh(place.root, write=write)
        place.fs.refresh(place.path("directory"), write=write)
        assert before == tree(place.fs, place.root)

    def test_a_directory_that_is_missing_is_an_error(self, place: Place) -> None:
        with refused(place, errno.ENOENT):
            place.fs.refresh(place.path("missing"))


class TestRefreshOfClient:
    """Two clients of one filesystem: what the second one sees of what the first one does."""

    @pytest.fixture
    def server(self) -> Place:
        return place_on("memory", Path("unused"))

    @pytest.fixture
    def other(self, server: Place) -> Place:
        """A client that has looked at a link, a file, a directory, and for what is missing."""
        write_some(server)
        assert isinstance(server.fs, MemoryFileSystem)
        client = server._replace(fs=server.fs.client())
        tree(client.fs, client.root)
        assert not exists(client.fs, client.path("missing"))
        return client

    def test_what_was_looked_at_stays_as_it_was(self, server: Place, other: Place) -> None:
        before = tree(other.fs, other.root)
        write(server, "missing")
        server.fs.remove(server.path("link"))
        server.fs.make_link(server.path("link"), "missing")
        assert before == tree(other.fs, other.root)
        assert not exists(other.fs, other.path("missing"))

    def test_a_refresh_shows_all_of_it(self, server: Place, other: Place) -> None:
        write(server, "missing")
        server.fs.exchange(server.path("link"), server.path("directory"))
        other.fs.refresh(other.root, write=True)
        assert tree(server.fs, server.root) == tree(other.fs, other.root)

    def test_by_reading_alone_a_replaced_link_is_seen_and_a_new_name_may_not(
        self, server: Place, other: Place
    ) -> None:
        write(server, "missing")
        server.fs.make_link(server.path("new"), "missing")
        server.fs.rename(server.path("new"), server.path("link"))
        other.fs.refresh(other.root)
        assert "missing" == other.fs.read_link(other.path("link"))
        assert not exists(other.fs, other.path("missing"))

    def test_what_a_client_changes_itself_it_sees(self, server: Place, other: Place) -> None:
        write(other, "missing")
        other.fs.remove(other.path("link"))
        assert tree(server.fs, server.root) == tree(other.fs, other.root)

    def test_a_file_is_read_as_it_is_now(self, server: Place, other: Place) -> None:
        server.fs.write(server.path("file"), b"another text")
        assert b"another text" == read(other.fs, other.path("file"))
        server.fs.remove(server.path("file"))
        write(server, "file", b"a new file")
        assert b"a new file" == read(other.fs, other.path("file"))

    def test_a_name_that_another_has_given_meanwhile_cannot_be_given(
        self, server: Place, other: Place
    ) -> None:
        directory(server, "missing")
        with pytest.raises(FileExistsError):
            directory(other, "missing")
        assert Kind.DIRECTORY is other.fs.entry(other.path("missing")).kind

    def test_nothing_can_be_made_in_a_directory_that_another_has_removed(
        self, server: Place, other: Place
    ) -> None:
        server.fs.remove(server.path("directory"))
        with pytest.raises(OSError, match="Stale"):
            write(other, "directory/new")

    def test_a_lock_that_another_holds_is_not_to_be_had(self, server: Place, other: Place) -> None:
        with server.fs.lock(server.path("lock"), timeout=0):
            assert other.fs.is_locked(other.path("lock"))
            with pytest.raises(LockTimeout):
                other.fs.lock(other.path("lock"), timeout=0)


def write_some(place: Place) -> None:
    write(place, "file")
    directory(place, "directory")
    link(place, "link", "file")


class TestIsWritable:
    def test_a_directory_of_the_caller_is(self, place: Place) -> None:
        assert place.fs.is_writable(place.root)

    def test_a_file_of_the_caller_is(self, place: Place) -> None:
        assert place.fs.is_writable(write(place, "file", mode=0o600))

    def test_what_is_missing_is_not(self, place: Place) -> None:
        assert not place.fs.is_writable(place.path("missing"))

    def test_a_directory_that_its_mode_closes_is_not(self, place: Place) -> None:
        path = directory(place, "closed", 0o555)
        is_real = place.root != "/place"
        no_mode_closes_it = is_real and os.geteuid() == 0
        assert no_mode_closes_it is place.fs.is_writable(path)


# What the two implementations do with the same calls, compared.

NAMES = st.sampled_from(["a", "b", "d", "d/a", "d/d", "d/d/a", "l", "l/a", "a/x", "d/d/d"])
LOOKED_AT = NAMES | st.sampled_from(["a/", "d/", "l/", "a/..", "d/../a", "l/..", "."])
TEXTS = st.sampled_from(["a", "d", "d/a", "l", ".", "..", "../d", "nowhere", "d/", "a/"])
DATA = st.binary(max_size=4)
MODES = st.sampled_from([0o600, 0o644, 0o755])
CALLS = st.one_of(
    st.tuples(st.just("write"), NAMES, DATA, st.integers(0, 4)),
    st.tuples(st.just("make_directory"), NAMES),
    st.tuples(st.just("make_link"), NAMES, TEXTS),
    st.tuples(st.sampled_from(["rename", "exchange"]), NAMES, NAMES),
    st.tuples(st.sampled_from(["remove", "load", "read_link"]), NAMES),
    st.tuples(st.sampled_from(["sync", "names"]), LOOKED_AT),
    st.tuples(st.just("entry"), LOOKED_AT, st.booleans()),
)


def outcome(place: Place, call: tuple[Any, ...]) -> object:
    """Make one call and return what came of it: a value, or an error's number."""
    verb, name, *rest = call
    fs, path = place.fs, place.path(name)
    try:
        match verb:
            case "write":
                fs.write(path, rest[0], mode=0o644, at=rest[1])
            case "make_directory":
                fs.make_directory(path, 0o755)
            case "rename" | "exchange":
                getattr(fs, verb)(path, place.path(rest[0]))
            case "entry":
                return fs.entry(path, follow=rest[0]).kind
            case "load":
                return read(fs, path)
            case _:
                return getattr(fs, verb)(path, *rest)
    except ExchangeUnsupported:
        return "unsupported"
    except OSError as error:
        return errno.ENOTEMPTY if error.errno == errno.EEXIST else error.errno
    return None


@settings(max_examples=400)
@given(st.lists(CALLS, max_size=12))
def test_the_filesystem_in_memory_does_what_a_real_one_does(
    calls: list[tuple[Any, ...]],
) -> None:
    with tempfile.TemporaryDirectory() as top:
        pairs = [(OsFileSystem(), top), (MemoryFileSystem(), "")]
        real, memory = (Place(fs, deep(fs, top)) for fs, top in pairs)
        for call in calls:
            assert (call, outcome(real, call)) == (call, outcome(memory, call))
            assert tree(real.fs, top) == tree(memory.fs, "/")


def deep(fs: FileSystem, top: str) -> str:
    """Make a directory so deep that no link to ".." leads out of ``top``."""
    for _ in range(6):
        top += "/deep"
        fs.make_directory(top, 0o755)
    return top
