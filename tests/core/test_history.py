"""History: appended to, read from its end, and never lost to a torn line."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from places import FILESYSTEMS, Place, place_on
from samples import EVENTS, event
from targets import make_target
from tierctl.errors import BadFile, NoSuchEvent, Untrusted
from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import Entry, FileSystem, read
from tierctl.journal import history
from tierctl.journal.events import Event
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.testing import Effect, Fault, FaultyFileSystem, MemoryFileSystem
from tools import require_root

# Where the blocks end that a file is read in, counted from its end: 4 KiB, then each twice as long.
EDGES = [4096, 12288, 28672, 61440]
LONG = 61440


class Records:
    """The history of a target, and shorthands for what is done to it."""

    def __init__(self, place: Place) -> None:
        self.fs: FileSystem = place.fs
        self.layout = Layout(place.root)
        if not place.fs.names(place.root):
            place.fs.make_directory(self.layout.control, 0o755)

    def append(self, *events: Event) -> None:
        for given_event in events:
            history.append(Target(self.fs, self.layout), given_event)

    @property
    def content(self) -> bytes:
        return read(self.fs, self.layout.history)

    @content.setter
    def content(self, data: bytes) -> None:
        self.fs.write(self.layout.history, data, mode=0o644)

    def newest_first(self) -> list[Event]:
        return list(history.newest_first(Target(self.fs, self.layout)))

    def find(self, beginning: str) -> Event:
        return history.find(Target(self.fs, self.layout), beginning)


def in_memory() -> Records:
    fs = MemoryFileSystem()
    fs.make_directory("/infrastructure", 0o755)
    return Records(Place(fs, "/infrastructure"))


@pytest.fixture(params=FILESYSTEMS)
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Records:
    """An empty history, on a real filesystem and in memory."""
    return Records(place_on(request.param, tmp_path))


class TestAppend:
    def test_the_newest_comes_first(self, records: Records) -> None:
        records.append(event(1), event(2), event(3))
        assert [event(3), event(2), event(1)] == records.newest_first()
        assert event(3) == history.newest(Target(records.fs, records.layout))

    def test_without_history_there_is_no_event(self, records: Records) -> None:
        assert [] == records.newest_first()
        assert history.newest(Target(records.fs, records.layout)) is None

    def test_every_event_is_one_line(self, records: Records) -> None:
        records.append(event(1, reason="one\ntwo\r\u2028three"), event(2))
        assert 2 == records.content.count(b"\n")
        assert 2 == len(records.content.splitlines())

    def test_the_newest_event_is_not_added_twice(self, records: Records) -> None:
        records.append(event(1), event(2), event(2))
        assert [event(2), event(1)] == records.newest_first()

    @pytest.mark.parametrize("identity", ["grün", 'a"b', "a\\b", "a\nb", "\udcff"])
    def test_no_id_is_so_strange_that_it_is_added_twice(
        self, records: Records, identity: str
    ) -> None:
        records.append(*[event(1)._replace(id=identity)] * 2)
        assert 1 == len(records.newest_first())

    def test_an_id_in_a_reason_is_not_taken_for_the_event_s(self, records: Records) -> None:
        records.append(event(1, reason=f'"id":"{event(2).id}"'), event(2))
        assert 2 == len(records.newest_first())

    def test_what_stands_is_not_written_again(self, records: Records) -> None:
        records.append(event(1))
        before = records.content
        records.append(event(2))
        assert records.content.startswith(before)

    def test_a_reason_may_be_anything(self, records: Records) -> None:
        reason = 'a "quoted"\nline \udcff \\ \x00 grün'
        records.append(event(1, reason=reason))
        assert [reason] == [found.author.reason for found in records.newest_first()]

    def test_it_is_on_disk_when_append_returns(self) -> None:
        fs = MemoryFileSystem()
        fs.make_directory("/infrastructure", 0o755)
        records = Records(Place(fs, "/infrastructure"))
        fs.sync("/")
        fs.sync("/infrastructure")
        records.append(event(1))
        fs.cut_power()
        assert [event(1)] == records.newest_first()
        records.append(event(2))
        fs.cut_power()
        assert [event(2), event(1)] == records.newest_first()

    @pytest.mark.parametrize(
        ("directory", "expected"), [(0o755, 0o644), (0o2775, 0o664), (0o700, 0o644)]
    )
    def test_its_file_can_be_written_by_whoever_may_write_to_its_directory(
        self, tmp_path: Path, directory: int, expected: int
    ) -> None:
        records = Records(place_on("real", tmp_path))
        os.chmod(records.layout.control, directory)
        records.append(event(1))
        assert expected == records.fs.entry(records.layout.history).mode

    @settings(max_examples=50)
    @given(st.lists(EVENTS, max_size=5, unique_by=lambda given_event: given_event.id))
    def test_any_events_come_back_as_they_were(self, events: list[Event]) -> None:
        records = in_memory()
        records.append(*events)
        assert events[::-1] == records.newest_first()


class TestTornLines:
    def test_wherever_the_last_line_was_torn_it_is_passed_over_and_mended(self) -> None:
        """Every cut position, from nothing of the line to all but its newline."""
        records = in_memory()
        records.append(event(1))
        one = records.content
        records.append(event(2))
        two = records.content
        for cut in range(len(one), len(two)):
            records.content = two[:cut]
            assert [event(1)] == records.newest_first()
            assert cut - len(one) == history.torn_bytes(Target(records.fs, records.layout))
            records.append(event(2))
            assert two == records.content

    def test_a_torn_first_line_is_mended_as_well(self, records: Records) -> None:
        records.append(event(1))
        whole = records.content
        for cut in range(0, len(whole), 7):
            records.content = whole[:cut]
            assert [] == records.newest_first()
            records.append(event(1))
            assert whole == records.content

    def test_a_torn_line_longer_than_the_next_event_leaves_nothing_behind(
        self, records: Records
    ) -> None:
        records.append(event(1))
        records.content += b"{" + b"x" * LONG
        records.append(event(2))
        assert [event(2), event(1)] == records.newest_first()
        assert 0 == history.torn_bytes(Target(records.fs, records.layout))

    def test_an_append_that_is_torn_is_mended_by_the_next(self) -> None:
        records = in_memory()
        records.append(event(1))
        whole, position = records.fs, 0
        while True:
            position += 1
            faulty = FaultyFileSystem(whole, Fault(at=position, effect=Effect.TORN))
            records.fs = faulty
            with suppress(OSError):
                records.append(event(2))
            records.fs = whole
            records.append(event(2))
            assert [event(2), event(1)] == records.newest_first()
            records.content = records.content.splitlines(keepends=True)[0]
            if not faulty.fired:
                break
        assert position > 2

    def test_the_torn_line_can_be_cut_off(self, records: Records) -> None:
        records.append(event(1))
        whole = records.content
        records.content = whole + b'{"schema":'
        history.cut_torn_line(Target(records.fs, records.layout))
        assert whole == records.content

    def test_without_a_torn_line_nothing_is_cut(self, records: Records) -> None:
        records.append(event(1))
        whole = records.content
        assert 0 == history.torn_bytes(Target(records.fs, records.layout))
        history.cut_torn_line(Target(records.fs, records.layout))
        assert whole == records.content


UNREADABLE = [
    b"",
    b"not json",
    b"[]",
    b"null",
    b'{"schema": 0}',
    b'{"schema": true}',
    b"\xff\xfe\x00",
    b"{" * 100,
    b"[" * 100_000,
    b"\x00" * 40,
    b'"text"',
]


class TestUnreadableLines:
    @pytest.mark.parametrize("line", UNREADABLE, ids=lambda line: repr(line[:12]))
    def test_they_are_passed_over(self, records: Records, line: bytes) -> None:
        records.append(event(1))
        records.content += line + b"\n"
        records.append(event(2))
        records.content += line + b"\n"
        assert [event(2), event(1)] == records.newest_first()
        assert 2 == history.unreadable_lines(Target(records.fs, records.layout))

    def test_they_are_kept(self, records: Records) -> None:
        records.content = b"of a later version\n"
        records.append(event(1))
        assert records.content.startswith(b"of a later version\n")

    def test_events_are_none_of_them(self, records: Records) -> None:
        records.append(event(1), event(2))
        assert 0 == history.unreadable_lines(Target(records.fs, records.layout))


class CountingFileSystem(OsFileSystem):
    """The filesystem of this host; ``bytes_read`` says how much was read of files."""

    bytes_read = 0

    def load(self, path: str, start: int = 0, length: int = -1) -> tuple[Entry, bytes]:
        entry, data = super().load(path, start, length)
        self.bytes_read += len(data)
        return entry, data


class TestBlocks:
    @pytest.mark.parametrize("offset", range(-2, 3))
    @pytest.mark.parametrize("edge", EDGES)
    def test_a_line_may_begin_at_any_side_of_a_block_s_edge(self, edge: int, offset: int) -> None:
        """The last line is so long that an edge falls just before, on or behind its start."""
        records = in_memory()
        records.append(event(1), event(2))
        before = len(records.content)
        records.append(event(3))
        short = len(records.content) - before
        records.content = records.content[:before]
        last = event(3, reason="x" * (edge + offset - short))
        records.append(last)
        assert edge + offset == len(records.content) - before
        assert [last, event(2), event(1)] == records.newest_first()

    @pytest.mark.parametrize("length", [*EDGES, 1_000_000])
    def test_a_line_may_be_longer_than_a_block(self, records: Records, length: int) -> None:
        records.append(event(1), event(2, reason="x" * length), event(3))
        assert [event(3), event(2, reason="x" * length), event(1)] == records.newest_first()

    @pytest.mark.parametrize("edge", EDGES)
    @pytest.mark.parametrize("beyond", range(-1, 4))
    def test_a_file_may_be_as_long_as_its_blocks_or_a_little_longer(
        self, edge: int, beyond: int
    ) -> None:
        records = in_memory()
        records.append(event(1), event(2))
        short = len(records.content)
        records.content = b""
        events = event(1), event(2, reason="x" * (edge + beyond - short))
        records.append(*events)
        assert edge + beyond == len(records.content)
        assert list(events[::-1]) == records.newest_first()

    @settings(max_examples=50)
    @given(st.lists(st.integers(0, 200) | st.integers(0, 40_000), min_size=1, max_size=8))
    def test_lines_of_any_length_come_back(self, lengths: list[int]) -> None:
        records = in_memory()
        events = [event(n, reason="x" * length) for n, length in enumerate(lengths)]
        records.append(*events)
        assert events[::-1] == records.newest_first()

    def test_the_newest_event_is_found_without_reading_the_rest(self, tmp_path: Path) -> None:
        fs, records = long_history(tmp_path)
        records.append(event(2))
        fs.bytes_read = 0
        assert event(2) == history.newest(Target(fs, records.layout))
        assert fs.bytes_read <= 64 * 1024

    def test_an_event_is_added_without_reading_the_rest(self, tmp_path: Path) -> None:
        fs, records = long_history(tmp_path)
        records.append(event(2))
        assert fs.bytes_read <= 64 * 1024

    def test_a_few_events_are_found_without_reading_the_rest(self, tmp_path: Path) -> None:
        fs, records = long_history(tmp_path)
        rows = history.newest_first(Target(fs, records.layout))
        assert [event(1)] * 100 == [next(rows) for _ in range(100)]
        assert fs.bytes_read <= 512 * 1024


def long_history(place: Path) -> tuple[CountingFileSystem, Records]:
    """Return a history of some megabytes of which nothing was read yet."""
    fs = CountingFileSystem()
    records = Records(Place(fs, str(place)))
    records.append(event(1))
    records.content *= 10_000
    assert fs.entry(records.layout.history).size > 2_000_000
    fs.bytes_read = 0
    return fs, records


class TestFind:
    @pytest.fixture(autouse=True)
    def three(self, records: Records) -> None:
        for name in ("20240101-aa", "20240101-ab", "20240102-aa"):
            records.append(event(1)._replace(id=name))

    @pytest.mark.parametrize("beginning", ["20240102", "20240102-aa", "20240102-"])
    def test_the_beginning_of_one_id_is_enough(self, records: Records, beginning: str) -> None:
        assert "20240102-aa" == records.find(beginning).id

    def test_the_beginning_of_several_names_them(self, records: Records) -> None:
        with pytest.raises(NoSuchEvent, match="several") as caught:
            records.find("2024")
        assert "20240102-aa, 20240101-ab, 20240101-aa" in caught.value.message

    def test_an_empty_one_is_refused(self, records: Records) -> None:
        with pytest.raises(NoSuchEvent, match="cannot be empty"):
            records.find("")

    @pytest.mark.parametrize("beginning", ["3", "aa", "20240102-aaa", "20240102-AA"])
    def test_the_beginning_of_none_is_not_found(self, records: Records, beginning: str) -> None:
        with pytest.raises(NoSuchEvent, match="no event"):
            records.find(beginning)

    def test_a_whole_id_is_found_though_another_begins_with_it(self, records: Records) -> None:
        records.append(event(1)._replace(id="20240102-aaaa"))
        assert "20240102-aa" == records.find("20240102-aa").id

    def test_a_forged_beginning_is_shown_on_one_line(self, records: Records) -> None:
        with pytest.raises(NoSuchEvent) as caught:
            records.find("x\n\x1b[31m")
        assert r"no event x\n\x1b[31m" == caught.value.message


class TestTrust:
    @pytest.fixture
    def trusted(self, tmp_path: Path) -> Records:
        """A real history with one event."""
        records = Records(Place(OsFileSystem(), make_target(tmp_path).infrastructure))
        os.makedirs(records.layout.control, exist_ok=True)
        records.append(event(1))
        return records

    def refuses_all(self, records: Records) -> None:
        before = Path(records.layout.history).read_bytes()
        with pytest.raises(Untrusted):
            history.newest(Target(records.fs, records.layout))
        with pytest.raises(Untrusted):
            records.append(event(2))
        assert before == Path(records.layout.history).read_bytes()

    def test_what_everybody_may_write_is_not_trusted(self, trusted: Records) -> None:
        os.chmod(trusted.layout.history, 0o666)
        self.refuses_all(trusted)

    def test_a_link_is_not_trusted(self, trusted: Records) -> None:
        real = trusted.layout.history + ".real"
        os.rename(trusted.layout.history, real)
        os.symlink(real, trusted.layout.history)
        self.refuses_all(trusted)

    def test_a_directory_is_not_trusted(self, trusted: Records) -> None:
        os.remove(trusted.layout.history)
        os.mkdir(trusted.layout.history)
        with pytest.raises(Untrusted):
            history.newest(Target(trusted.fs, trusted.layout))

    def test_what_no_line_of_ends_is_not_read_for_ever(self, trusted: Records) -> None:
        os.truncate(trusted.layout.history, 1 << 40)
        with pytest.raises(BadFile, match="a line of it has more than"):
            history.newest(Target(trusted.fs, trusted.layout))

    def test_a_stranger_s_is_not_trusted(self, trusted: Records) -> None:
        require_root()
        os.chown(trusted.layout.history, 65534, -1)
        self.refuses_all(trusted)
