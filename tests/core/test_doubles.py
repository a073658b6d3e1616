"""The filesystems for tests: what a power cut takes, and where faults strike."""

import errno
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierctl.fs.protocol import FileSystem, read
from tierctl.testing import Effect, Fault, FaultyFileSystem, Killed, MemoryFileSystem


@pytest.fixture
def fs() -> MemoryFileSystem:
    """A filesystem with two directories on disk."""
    return with_directories()


def with_directories() -> MemoryFileSystem:
    fs = MemoryFileSystem()
    fs.make_directory("/d", 0o755)
    fs.make_directory("/e", 0o755)
    fs.sync("/")
    return fs


class TestPowerCut:
    def test_names_that_were_not_flushed_are_lost(self, fs: MemoryFileSystem) -> None:
        fs.make_directory("/d/directory", 0o755)
        fs.make_link("/d/link", "blue")
        fs.write("/d/file", b"text", mode=0o644)
        fs.cut_power()
        assert [] == fs.names("/d")

    def test_names_that_were_flushed_are_kept(self, fs: MemoryFileSystem) -> None:
        fs.make_directory("/d/directory", 0o755)
        fs.make_link("/d/link", "blue")
        fs.sync("/d")
        fs.cut_power()
        assert ["directory", "link"] == fs.names("/d")
        assert "blue" == fs.read_link("/d/link")

    def test_what_was_removed_or_renamed_is_back_unless_that_was_flushed(
        self, fs: MemoryFileSystem
    ) -> None:
        for name in ("one", "other"):
            fs.make_link(f"/d/{name}", name)
        fs.sync("/d")
        fs.remove("/d/one")
        fs.rename("/d/other", "/d/new")
        fs.cut_power()
        assert ["one", "other"] == fs.names("/d")
        fs.remove("/d/one")
        fs.rename("/d/other", "/d/new")
        fs.sync("/d")
        fs.cut_power()
        assert ["new"] == fs.names("/d")

    def test_content_that_was_not_flushed_is_lost(self, fs: MemoryFileSystem) -> None:
        fs.write("/d/file", b"old", mode=0o644)
        fs.sync("/d")
        fs.write("/d/file", b"new", mode=0o644, durable=False)
        assert b"new" == read(fs, "/d/file")
        fs.cut_power()
        assert b"old" == read(fs, "/d/file")

    def test_content_that_was_flushed_is_kept(self, fs: MemoryFileSystem) -> None:
        fs.write("/d/file", b"old", mode=0o644)
        fs.sync("/d")
        fs.write("/d/file", b"new", mode=0o644)
        fs.cut_power()
        assert b"new" == read(fs, "/d/file")

    def test_a_name_without_its_content_is_an_empty_file(self, fs: MemoryFileSystem) -> None:
        fs.write("/d/file", b"text", mode=0o644, durable=False)
        fs.sync("/d")
        fs.cut_power()
        assert b"" == read(fs, "/d/file")

    def test_to_flush_one_directory_does_not_flush_another(self, fs: MemoryFileSystem) -> None:
        fs.make_link("/d/link", "x")
        fs.make_link("/e/link", "x")
        fs.sync("/d")
        fs.cut_power()
        assert (["link"], []) == (fs.names("/d"), fs.names("/e"))

    def test_to_flush_a_directory_does_not_flush_its_own_name(self, fs: MemoryFileSystem) -> None:
        fs.make_directory("/d/new", 0o755)
        fs.make_link("/d/new/link", "x")
        fs.sync("/d/new")
        fs.cut_power()
        assert [] == fs.names("/d")

    @pytest.mark.parametrize("survivors", range(4))
    def test_of_what_was_not_flushed_the_first_part_may_have_reached_the_disk(
        self, fs: MemoryFileSystem, survivors: int
    ) -> None:
        for name in ("a", "b", "c"):
            fs.make_link(f"/d/{name}", "x")
        assert 3 == fs.unflushed
        fs.cut_power(survivors)
        assert ["a", "b", "c"][:survivors] == fs.names("/d")
        assert 0 == fs.unflushed

    @pytest.mark.parametrize(("survivors", "expected"), [(0, ("a", "b")), (1, ("b", "a"))])
    def test_an_exchange_is_on_disk_whole_or_not_at_all(
        self, fs: MemoryFileSystem, survivors: int, expected: tuple[str, str]
    ) -> None:
        fs.make_link("/d/a", "a")
        fs.make_link("/d/b", "b")
        fs.sync("/d")
        fs.exchange("/d/a", "/d/b")
        fs.cut_power(survivors)
        assert expected == (fs.read_link("/d/a"), fs.read_link("/d/b"))

    def test_an_object_that_moved_is_in_one_place(self, fs: MemoryFileSystem) -> None:
        fs.make_directory("/d/x", 0o755)
        fs.rename("/d/x", "/e/x")
        fs.sync("/e")
        fs.cut_power(survivors=1)
        assert ([], ["x"]) == (fs.names("/d"), fs.names("/e"))

    def test_locks_are_free_afterwards(self, fs: MemoryFileSystem) -> None:
        with fs.lock("/d/lock", mode=0o600, timeout=0):
            fs.sync("/d")
            fs.cut_power()
            with fs.lock("/d/lock", mode=0o600, timeout=0):
                pass

    def test_locks_are_free_when_a_process_is_killed(self, fs: MemoryFileSystem) -> None:
        with fs.lock("/d/lock", mode=0o600, timeout=0):
            fs.release_locks()
            with fs.lock("/d/lock", mode=0o600, timeout=0):
                pass

    def test_all_goes_on_as_usual_afterwards(self, fs: MemoryFileSystem) -> None:
        fs.make_link("/d/link", "x")
        fs.cut_power()
        fs.make_link("/d/link", "y")
        fs.sync("/d")
        fs.cut_power()
        assert "y" == fs.read_link("/d/link")

    @given(st.data())
    def test_after_any_cut_the_disk_is_as_it_was_at_some_time_since_the_flush(
        self, data: st.DataObject
    ) -> None:
        """Within one directory: every prefix of what was done, and nothing else."""
        fs = with_directories()
        fs.make_link("/d/a", "0")
        fs.sync("/d")
        seen = [links(fs)]
        for number in range(1, data.draw(st.integers(0, 6)) + 1):
            do_something(data, fs, number)
            if fs.unflushed == len(seen):
                seen.append(links(fs))
        survivors = data.draw(st.integers(0, fs.unflushed))
        fs.cut_power(survivors)
        assert seen[survivors] == links(fs)


def links(fs: FileSystem) -> dict[str, str]:
    return {name: fs.read_link(f"/d/{name}") for name in fs.names("/d")}


def do_something(data: st.DataObject, fs: MemoryFileSystem, number: int) -> None:
    one, other = data.draw(st.permutations(["/d/a", "/d/b", "/d/c"]))[:2]
    try:
        match data.draw(st.sampled_from(["make", "rename", "remove", "exchange"])):
            case "make":
                fs.make_link(one, str(number))
            case "rename":
                fs.rename(one, other)
            case "remove":
                fs.remove(one)
            case _:
                fs.exchange(one, other)
    except OSError:
        pass


Verb = Callable[[FileSystem], object]

VERBS: dict[str, Verb] = {
    "entry": lambda fs: fs.entry("/d"),
    "read_link": lambda fs: fs.read_link("/d/link"),
    "names": lambda fs: fs.names("/d"),
    "load": lambda fs: fs.load("/d/file"),
    "write": lambda fs: fs.write("/d/new", b"1234", mode=0o644),
    "make_directory": lambda fs: fs.make_directory("/d/new", 0o755),
    "make_link": lambda fs: fs.make_link("/d/new", "x"),
    "rename": lambda fs: fs.rename("/d/file", "/d/new"),
    "exchange": lambda fs: fs.exchange("/d/file", "/d/link"),
    "remove": lambda fs: fs.remove("/d/file"),
    "sync": lambda fs: fs.sync("/d"),
    "lock": lambda fs: fs.lock("/d/file", mode=0o600, timeout=0).__enter__(),
}
CHANGES = ("write", "make_directory", "make_link", "rename", "exchange", "remove")


@pytest.fixture(params=VERBS)
def verb(request: pytest.FixtureRequest) -> Verb:
    """Each operation of a filesystem."""
    return VERBS[request.param]


@pytest.fixture(params=CHANGES)
def change(request: pytest.FixtureRequest) -> Verb:
    """Each operation that changes something which can be seen."""
    return VERBS[request.param]


def faulty(fault: Fault) -> FaultyFileSystem:
    fs = with_directories()
    fs.make_link("/d/link", "x")
    fs.write("/d/file", b"text", mode=0o644)
    return FaultyFileSystem(fs, fault)


def seen(fs: FaultyFileSystem) -> dict[str, object]:
    """Return what is in the directory, past all faults."""
    inner = fs.inner
    return {
        name: (inner.entry(f"/d/{name}").inode, inner.entry(f"/d/{name}").size)
        for name in inner.names("/d")
    }


class TestFaults:
    def test_every_operation_can_fail_with_any_error(self, verb: Verb) -> None:
        fs = faulty(Fault(at=1, number=errno.ENOSPC))
        with pytest.raises(OSError) as caught:  # noqa: PT011 (its number is looked at)
            verb(fs)
        assert errno.ENOSPC == caught.value.errno
        assert fs.fired

    def test_every_operation_can_be_the_last(self, verb: Verb) -> None:
        fs = faulty(Fault(at=1, number=None))
        with pytest.raises(Killed):
            verb(fs)

    def test_a_dead_process_does_nothing_any_more(self, verb: Verb) -> None:
        fs = faulty(Fault(at=1, number=None))
        with pytest.raises(Killed):
            fs.entry("/")
        before = seen(fs)
        for question in (verb, lambda fs: fs.is_writable("/d"), lambda fs: fs.can_exchange("/d")):
            with pytest.raises(Killed):
                question(fs)
        assert before == seen(fs)

    def test_death_is_not_caught_with_the_errors(self) -> None:
        assert not issubclass(Killed, Exception)

    def test_it_strikes_the_operation_that_it_names_and_no_other(self) -> None:
        fs = faulty(Fault(at=2))
        fs.names("/d")
        with pytest.raises(OSError):  # noqa: PT011 (the fault)
            fs.names("/d")
        assert ["file", "link"] == fs.names("/d")
        assert 3 == fs.operations

    def test_beyond_the_last_operation_it_does_not_fire(self) -> None:
        fs = faulty(Fault(at=2))
        fs.names("/d")
        assert not fs.fired

    @pytest.mark.parametrize("number", [errno.EIO, None])
    def test_without_effect_nothing_was_changed(self, change: Verb, number: int | None) -> None:
        fs = faulty(Fault(at=1, number=number))
        before = seen(fs)
        with pytest.raises((OSError, Killed)):
            change(fs)
        assert before == seen(fs)

    @pytest.mark.parametrize("number", [errno.EIO, None])
    def test_with_the_whole_effect_all_was_changed(self, change: Verb, number: int | None) -> None:
        fs, other = faulty(Fault(at=1, number=number, effect=Effect.WHOLE)), faulty(Fault(at=0))
        with pytest.raises((OSError, Killed)):
            change(fs)
        change(other)
        assert seen(other) == seen(fs)

    @pytest.mark.parametrize("late", [0, 2])
    def test_what_the_server_does_unheard_the_client_sees_when_it_looks_anew(
        self, late: int
    ) -> None:
        server = with_directories()
        server.make_link("/d/link", "old")
        server.make_link("/d/new", "new")
        client = server.client()
        fault = Fault(1, errno.ETIMEDOUT, Effect.UNHEARD, late)
        fs = FaultyFileSystem(client, fault, server=server)
        assert "old" == client.read_link("/d/link")
        with pytest.raises(TimeoutError):
            fs.rename("/d/new", "/d/link")
        for _ in range(late):
            assert "old" == server.read_link("/d/link")
            assert "old" == fs.read_link("/d/link")
        assert "new" == server.read_link("/d/link")
        assert "old" == client.read_link("/d/link")
        fs.refresh("/d", write=True)
        assert "new" == fs.read_link("/d/link")

    def test_what_the_server_has_not_done_when_the_client_ends_it_does_then(self) -> None:
        server = with_directories()
        fault = Fault(1, None, Effect.UNHEARD, late=5)
        fs = FaultyFileSystem(server.client(), fault, server=server)
        with pytest.raises(Killed):
            fs.make_link("/d/link", "x")
        assert [] == server.names("/d")
        fs.settle()
        assert ["link"] == server.names("/d")

    def test_a_torn_write_leaves_its_first_half_and_what_stood_behind_that(self) -> None:
        fs = faulty(Fault(at=1, effect=Effect.TORN))
        with pytest.raises(OSError):  # noqa: PT011 (the fault)
            fs.write("/d/file", b"1234", mode=0o644, at=1)
        assert b"t12t" == read(fs, "/d/file")

    def test_an_unflushed_write_can_be_read_until_the_power_is_cut(self) -> None:
        memory = with_directories()
        memory.write("/d/file", b"old", mode=0o644)
        memory.sync("/d")
        fs = FaultyFileSystem(memory, Fault(at=1, effect=Effect.UNFLUSHED))
        with pytest.raises(OSError):  # noqa: PT011 (the fault)
            fs.write("/d/file", b"new", mode=0o644)
        assert b"new" == read(memory, "/d/file")
        memory.cut_power()
        assert b"old" == read(memory, "/d/file")

    def test_the_trace_tells_of_every_operation(self) -> None:
        fs = faulty(Fault(at=0))
        for verb in VERBS.values():
            with suppress(OSError):
                verb(fs)
        assert list(VERBS) == [operation.verb for operation in fs.trace]

    def test_nothing_but_a_write_is_torn(self, change: Verb) -> None:
        fs = faulty(Fault(at=1, effect=Effect.TORN))
        before = seen(fs)
        with pytest.raises(OSError):  # noqa: PT011 (the fault)
            change(fs)
        if change is VERBS["write"]:
            assert b"12" == read(fs, "/d/new")
        else:
            assert before == seen(fs)

    def test_a_whole_sync_that_reports_an_error_was_flushed(self) -> None:
        memory = with_directories()
        memory.make_link("/d/link", "x")
        with pytest.raises(OSError):  # noqa: PT011 (the fault)
            FaultyFileSystem(memory, Fault(at=1, effect=Effect.WHOLE)).sync("/d")
        memory.cut_power()
        assert ["link"] == memory.names("/d")
