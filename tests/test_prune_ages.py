"""How old a prune takes deployments to be where one clock is wrong."""

import calendar
import json
import os
import time
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from program import Program
from samples import event
from targets import make_target
from tierctl.fs.local import OsFileSystem
from tierctl.journal import history
from tierctl.prune.ages import Shown, ages
from tierctl.prune.retention import DAY_S
from tierctl.rotation.state import Color, Content, State
from tierctl.target.paths import Layout
from tierctl.target.target import Target

NOW = 20_000 * DAY_S
YEARS = 3000
FUTURE = -3000

Built = dict[int, list[float | None]]
Events = list[tuple[float | None, set[int]]]


def ago(days: float | None) -> float | None:
    return None if days is None else NOW - days * DAY_S


def days(built: Built, events: Events, written: float | None = None) -> dict[int, float]:
    """Return ages from times that are given as days before now."""
    found = ages(
        NOW,
        {number: list(map(ago, times)) for number, times in built.items()},
        [Shown(ago(time), numbers) for time, numbers in events],
        ago(written),
    )
    return {number: seconds / DAY_S for number, seconds in found.items()}


@pytest.mark.parametrize(
    ("built", "events", "written", "expected"),
    [
        ({1: [50], 2: [40]}, [], None, {1: 50, 2: 40}),
        ({1: [50], 2: [40]}, [(45, {1}), (20, {1, 2}), (10, {2})], 10, {1: 20, 2: 10}),
        ({1: [50], 2: [40, 5]}, [], None, {1: 50, 2: 5}),
    ],
    ids=["built", "shown", "the later of two clocks"],
)
def test_it_is_as_old_as_the_last_time_it_was_built_or_shown(
    built: Built, events: Events, written: float | None, expected: dict[int, float]
) -> None:
    assert expected == days(built, events, written)


@pytest.mark.parametrize("wrong", [YEARS, FUTURE, None])
class TestOneWrongEvent:
    def test_what_comes_before_it_keeps_its_age(self, wrong: float | None) -> None:
        found = days({1: [90], 2: [80]}, [(20, {1}), (wrong, {2}), (1, {2})], 1)
        assert 20 == found[1]

    def test_what_it_shows_is_as_young_as_the_next_event(self, wrong: float | None) -> None:
        found = days({1: [90], 2: [80]}, [(85, {1}), (wrong, {1, 2}), (10, {2})], 10)
        assert {1: 10, 2: 10} == found

    def test_and_grows_old_with_it(self, wrong: float | None) -> None:
        found = days({1: [90], 2: [80]}, [(85, {1}), (wrong, {1, 2}), (70, {2})], 70)
        assert {1: 70, 2: 70} == found

    def test_the_newest_is_as_young_as_the_file(self, wrong: float | None) -> None:
        found = days({1: [90], 2: [80]}, [(85, {1}), (wrong, {1, 2})], 60)
        assert {1: 60, 2: 60} == found

    def test_the_oldest_protects_nothing_for_ever(self, wrong: float | None) -> None:
        found = days({1: [90]}, [(wrong, {1}), (60, {1}), (1, {2})], 1)
        assert 60 == found[1]


class TestOneWrongBuild:
    @pytest.mark.parametrize("wrong", [YEARS, FUTURE])
    def test_it_is_as_young_as_the_next_one(self, wrong: float) -> None:
        assert {1: 90, 2: 60, 3: 60} == days({1: [90], 2: [wrong], 3: [60]}, [])

    @pytest.mark.parametrize("wrong", [YEARS, FUTURE])
    def test_or_as_when_it_was_last_shown(self, wrong: float) -> None:
        assert {1: 90, 2: 40} == days({1: [90], 2: [wrong]}, [(50, {2}), (40, {2})], 40)

    def test_another_clock_that_can_be_right_counts(self) -> None:
        assert {1: 40} == days({1: [FUTURE, 40]}, [])

    def test_without_any_that_can_be_right_it_is_young(self) -> None:
        assert {1: 0} == days({1: [FUTURE]}, [])


def test_clocks_that_differ_by_minutes_are_not_wrong() -> None:
    minute = 1 / 24 / 60
    events: Events = [(50, {1}), (50 + 5 * minute, {1, 2}), (1, {2})]
    assert 50 == days({1: [90], 2: [80]}, events, 1)[1]


def shows(layout: Layout, blue: int, green: int, when: float) -> None:
    """Add an event after which the colors show these deployments."""
    state = State(
        Color.GREEN, Color.BLUE, Content.of_deployment(blue), Content.of_deployment(green)
    )
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))
    number = len(list(history.newest_first(Target(OsFileSystem(), layout))))
    told = event(number)._replace(time=stamp, before=state, after=state)
    history.append(Target(OsFileSystem(), layout), told)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Production shows 2, staging 3; of all five, both clocks say that they are 100 days old."""
    layout = make_target(tmp_path / "lab", green=2, blue=3, deployments=(1, 4, 5))
    os.mkdir(layout.control)
    old = time.time() - 100 * DAY_S
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(old))
    for number in range(1, 6):
        record = Path(layout.deployment_record(f"deployments/{number}"))
        record.write_text(json.dumps({"time": stamp}))
        os.utime(record, (old, old))
    return layout


def removed(tierctl: Program, layout: Layout) -> list[int]:
    document = tierctl("prune", "-t", layout.top, "--keep", "0", "-n", "--json").document
    return document["removed"]


@pytest.mark.parametrize("wrong", ["1970-01-01", "2011-11-11", "2099-01-01"])
def test_an_event_of_a_host_with_a_wrong_clock_lets_nothing_go_early(
    layout: Layout, tierctl: Program, wrong: str
) -> None:
    assert [5, 4, 1] == removed(tierctl, layout)
    now = time.time()
    shows(layout, 3, 1, now - 20 * DAY_S)
    shows(layout, 3, 4, calendar.timegm(time.strptime(wrong, "%Y-%m-%d")))
    shows(layout, 3, 2, now - 10 * DAY_S)
    assert [5] == removed(tierctl, layout)


def test_nor_do_many_of_it(layout: Layout, tierctl: Program) -> None:
    shows(layout, 3, 1, time.time() - 20 * DAY_S)
    lines = Path(layout.history).read_bytes()
    for number in range(500):
        shows_old = event(number)._replace(id=f"20110101-{number:06}-abcdef")
        lines += history.to_line(shows_old)
    Path(layout.history).write_bytes(lines)
    shows(layout, 3, 2, time.time() - 10 * DAY_S)
    assert [5, 4] == removed(tierctl, layout)


def test_the_record_counts_where_the_tree_was_copied_with_old_times(
    layout: Layout, tierctl: Program
) -> None:
    record = Path(layout.deployment_record("deployments/5"))
    record.write_text(json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}))
    os.utime(record, (1, 1))
    assert [4, 1] == removed(tierctl, layout)


YEAR_S = 365 * DAY_S


class TestThisHost:
    """The clock of the host that prunes; what is written under the lock has the server's time."""

    def prune(self, tierctl: Program, layout: Layout) -> tuple[list[int], str]:
        done = tierctl("prune", "-t", layout.top, "--keep", "0", "--json")
        return done.document["removed"], " ".join(done.err.split())

    def test_one_that_is_years_ahead_lets_nothing_go_early(
        self, layout: Layout, tierctl: Program, mocker: MockerFixture
    ) -> None:
        shows(layout, 3, 4, time.time() - 20 * DAY_S)
        shows(layout, 3, 2, time.time() - 10 * DAY_S)
        mocker.patch("time.time", return_value=time.time() + 5 * YEAR_S)
        ahead = time.strftime("%Y-%m-%d", time.gmtime(time.time()))
        removed, said = self.prune(tierctl, layout)
        assert [5, 1] == removed
        assert f"this host's clock says {ahead}" in said
        assert "ages are counted up to the earlier one" in said

    def test_one_that_is_years_behind_lets_nothing_go_and_that_is_said(
        self, layout: Layout, tierctl: Program, mocker: MockerFixture
    ) -> None:
        mocker.patch("time.time", return_value=time.time() - 5 * YEAR_S)
        removed, said = self.prune(tierctl, layout)
        assert [] == removed
        assert "ages are counted up to the earlier one" in said

    def test_one_that_is_right_is_not_worth_a_word(self, layout: Layout, tierctl: Program) -> None:
        removed, said = self.prune(tierctl, layout)
        assert ([5, 4, 1], False) == (removed, "clock" in said)

    def test_where_the_server_s_cannot_be_asked_that_is_said(
        self, layout: Layout, tierctl: Program
    ) -> None:
        os.mkdir(layout.holder)
        removed, said = self.prune(tierctl, layout)
        assert [5, 4, 1] == removed
        assert "the clock of the target's server is not known" in said


@pytest.mark.parametrize("said", [7, None, "yesterday", "9" * 400, {"a": 1}])
def test_a_record_with_a_time_that_is_none_stands_in_nobody_s_way(
    layout: Layout, tierctl: Program, said: object
) -> None:
    record = Path(layout.deployment_record("deployments/5"))
    modified = record.stat().st_mtime
    record.write_text(json.dumps({"time": said}))
    os.utime(record, (modified, modified))
    assert [5, 4, 1] == removed(tierctl, layout)
