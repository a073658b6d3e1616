"""The intent: durable before the first step, whole or not at all."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from places import FILESYSTEMS, Place, place_on
from samples import EVENTS, event
from tierctl.errors import BadFile, NewerVersion, Untrusted
from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import FileSystem, exists
from tierctl.journal import intent
from tierctl.journal.events import Event, EventKind, to_document
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.testing import Effect, Fault, FaultyFileSystem, Killed, MemoryFileSystem
from tools import require_root


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


def in_memory() -> tuple[MemoryFileSystem, Layout]:
    fs, layout = MemoryFileSystem(), Layout("/infrastructure")
    fs.make_directory(layout.infrastructure, 0o755)
    fs.make_directory(layout.control, 0o755)
    fs.sync("/")
    fs.sync(layout.infrastructure)
    return fs, layout


def put(fs: FileSystem, layout: Layout, data: bytes) -> None:
    fs.write(layout.intent, data, mode=0o644)


def test_without_one_no_change_is_under_way(fs: FileSystem, layout: Layout) -> None:
    assert intent.read(Target(fs, layout)) is None


def test_it_is_read_as_it_was_written(fs: FileSystem, layout: Layout) -> None:
    intent.write(Target(fs, layout), event(1, reason="a\nb \udcff"))
    assert event(1, reason="a\nb \udcff") == intent.read(Target(fs, layout))


@given(EVENTS.filter(lambda given_event: given_event.before and given_event.after.production))
def test_any_change_is_read_as_it_was_written(given_event: Event) -> None:
    fs, layout = in_memory()
    intent.write(Target(fs, layout), given_event)
    assert given_event == intent.read(Target(fs, layout))


def test_a_new_one_takes_the_place_of_the_old(fs: FileSystem, layout: Layout) -> None:
    intent.write(Target(fs, layout), event(1, reason="long" * 100))
    intent.write(Target(fs, layout), event(2))
    assert event(2) == intent.read(Target(fs, layout))
    assert ["intent.json"] == fs.names(layout.control)


def test_it_outlives_a_power_cut_as_soon_as_it_is_written() -> None:
    fs, layout = in_memory()
    intent.write(Target(fs, layout), event(1))
    fs.cut_power()
    assert event(1) == intent.read(Target(fs, layout))


def test_it_stays_away_after_a_power_cut_once_it_is_cleared() -> None:
    fs, layout = in_memory()
    intent.write(Target(fs, layout), event(1))
    intent.clear(Target(fs, layout))
    fs.cut_power()
    assert intent.read(Target(fs, layout)) is None


@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize("number", [28, None])
@pytest.mark.parametrize("old", [None, event(1)])
def test_whatever_stops_the_writing_it_is_the_old_one_or_the_new(
    effect: Effect, number: int | None, old: Event | None
) -> None:
    """Whole or not at all: at every operation, for every error, killed or not, power cut or not."""
    position = 0
    while True:
        position += 1
        fs, layout = in_memory()
        if old is not None:
            intent.write(Target(fs, layout), old)
        faulty = FaultyFileSystem(fs, Fault(position, number, effect))
        with suppress(OSError, Killed):
            intent.write(Target(faulty, layout), event(2))
        assert intent.read(Target(fs, layout)) in (old, event(2))
        fs.cut_power()
        assert intent.read(Target(fs, layout)) in (old, event(2))
        intent.write(Target(fs, layout), event(3))
        assert event(3) == intent.read(Target(fs, layout))
        if not faulty.fired:
            break
    assert position > 3


class TestWithdraw:
    def test_it_takes_the_intent_and_its_draft_away(self, fs: FileSystem, layout: Layout) -> None:
        intent.write(Target(fs, layout), event(1))
        fs.write(f"{layout.control}/.intent.json.new", b"torn", mode=0o644)
        assert intent.withdraw(Target(fs, layout))
        assert [] == fs.names(layout.control)

    def test_it_works_where_there_is_nothing(self, fs: FileSystem, layout: Layout) -> None:
        assert intent.withdraw(Target(fs, layout))

    def test_it_says_so_where_the_intent_may_still_stand(
        self, fs: FileSystem, layout: Layout
    ) -> None:
        intent.write(Target(fs, layout), event(1))
        for position in range(1, 4):
            assert not intent.withdraw(Target(FaultyFileSystem(fs, Fault(position)), layout))

    def test_it_is_durable(self) -> None:
        fs, layout = in_memory()
        intent.write(Target(fs, layout), event(1))
        assert intent.withdraw(Target(fs, layout))
        fs.cut_power()
        assert not exists(fs, layout.intent)


DOCUMENT: dict[str, Any] = to_document(event(1))
BAD = {
    "empty": b"",
    "torn": json.dumps(DOCUMENT).encode()[:-10],
    "not text": b"\xff\xff",
    "no object": b"[]",
    "endless": b"[" * 100_000,
    "no schema": json.dumps(DOCUMENT | {"schema": "2"}).encode(),
    "no kind": json.dumps(DOCUMENT | {"kind": 1}).encode(),
    "no change": json.dumps(
        DOCUMENT | {"kind": EventKind.BOOTSTRAP.value, "before": None}
    ).encode(),
    "takes production away": json.dumps(
        DOCUMENT | {"after": DOCUMENT["after"] | {"production": None}}
    ).encode(),
    "out of the target": json.dumps(
        DOCUMENT | {"after": DOCUMENT["after"] | {"blue": "../../elsewhere"}}
    ).encode(),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_what_is_no_intent_is_named_with_what_to_do(
    fs: FileSystem, layout: Layout, data: bytes
) -> None:
    put(fs, layout, data)
    with pytest.raises(BadFile) as caught:
        intent.read(Target(fs, layout))
    assert layout.intent in caught.value.message
    assert "doctor --fix" == caught.value.command


@pytest.mark.parametrize("changed", [{"schema": 2}, {"kind": "surprise"}], ids=str)
def test_one_of_a_newer_version_is_not_to_be_dropped(
    fs: FileSystem, layout: Layout, changed: dict[str, object]
) -> None:
    put(fs, layout, json.dumps(DOCUMENT | changed).encode())
    with pytest.raises(NewerVersion, match="written by a newer tierctl") as caught:
        intent.read(Target(fs, layout))
    assert "" == caught.value.command
    assert caught.value.hint.startswith("Update tierctl here")


class TestTrust:
    @pytest.fixture
    def real(self, tmp_path: Path) -> tuple[FileSystem, Layout]:
        """A real target with a change under way."""
        fs, layout = OsFileSystem(), Layout(str(tmp_path))
        fs.make_directory(layout.control, 0o755)
        intent.write(Target(fs, layout), event(1))
        return fs, layout

    def test_what_everybody_may_write_is_not_trusted(self, real: tuple[FileSystem, Layout]) -> None:
        os.chmod(real[1].intent, 0o646)
        with pytest.raises(Untrusted):
            intent.read(Target(*real))

    def test_a_link_is_not_trusted(self, real: tuple[FileSystem, Layout]) -> None:
        os.rename(real[1].intent, real[1].intent + ".real")
        os.symlink("intent.json.real", real[1].intent)
        with pytest.raises(Untrusted):
            intent.read(Target(*real))

    def test_a_stranger_s_is_not_trusted(self, real: tuple[FileSystem, Layout]) -> None:
        require_root()
        os.chown(real[1].intent, 65534, -1)
        with pytest.raises(Untrusted):
            intent.read(Target(*real))

    def test_nothing_is_written_through_a_link(
        self, real: tuple[FileSystem, Layout], tmp_path: Path
    ) -> None:
        precious = tmp_path / "precious"
        precious.write_bytes(b"old")
        os.symlink(precious, f"{real[1].control}/.intent.json.new")
        with pytest.raises(OSError):  # noqa: PT011 (which one is up to the kernel)
            intent.write(Target(*real), event(2))
        assert b"old" == precious.read_bytes()


def test_the_place_of_an_intent_is_where_the_layout_says() -> None:
    place = Place(MemoryFileSystem(), "/place")
    assert "/place/.tierctl/intent.json" == Layout(place.root).intent
