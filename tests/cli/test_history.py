"""``tierctl history``: what a user gets."""

import os
from pathlib import Path

import pytest
from rich.cells import cell_len

from program import Program, installed
from targets import make_target
from terminal import Terminal
from tierctl.target.paths import Layout


@pytest.fixture
def changed(tierctl: Program, tmp_path: Path) -> Layout:
    """A target with three events."""
    layout = make_target(tmp_path)
    for reason in ("one", "two", "three"):
        tierctl("promote-staging", "-t", tmp_path, "-m", reason)
    return layout


def test_the_newest_comes_first(tierctl: Program, changed: Layout) -> None:
    lines = tierctl("history", "-t", changed.top).out.splitlines()
    assert ["three", "two", "one"] == [line.split()[-1] for line in lines]
    assert "production: green -> blue, staging: blue -> green" in lines[0]


def test_a_limit_counts_rows(tierctl: Program, changed: Layout) -> None:
    assert 2 == len(tierctl("history", "-t", changed.top, "--limit", "2").out.splitlines())
    document = tierctl("history", "-t", changed.top, "--limit", "1", "--json").document
    assert ["three"] == [event["reason"] for event in document["events"]]


@pytest.mark.parametrize("limit", ["0", "-1", "x"])
def test_a_limit_is_a_number(tierctl: Program, changed: Layout, limit: str) -> None:
    assert 2 == tierctl("history", "-t", changed.top, "--limit", limit).code


def test_one_event_is_shown_in_full(tierctl: Program, changed: Layout) -> None:
    event = tierctl("history", "-t", changed.top, "--json").document["events"][1]
    done = tierctl("history", "-t", changed.top, event["id"])
    assert f"event: {event['id']}" == done.out.splitlines()[0]
    assert "why: two" in done.out.splitlines()
    document = tierctl("history", "-t", changed.top, event["id"][:-1], "--json").document
    assert event == document["event"]


@pytest.mark.parametrize("beginning", ["nonsense", "2"])
def test_no_event_or_several_are_refused(tierctl: Program, changed: Layout, beginning: str) -> None:
    done = tierctl("history", "-t", changed.top, beginning)
    assert 1 == done.code
    assert "tierctl history" in done.err


def test_a_target_without_history_has_an_empty_one(tierctl: Program, tmp_path: Path) -> None:
    make_target(tmp_path)
    assert (0, "", "No events yet.\n") == tierctl("history", "-t", tmp_path)
    assert [] == tierctl("history", "-t", tmp_path, "--json").document["events"]


def test_undecodable_and_control_characters_come_out_escaped(
    tierctl: Program, tmp_path: Path
) -> None:
    make_target(tmp_path)
    tierctl("promote-staging", "-t", tmp_path, "-m", "a\x1b[2Jb\udcffc\nd")
    done = tierctl("history", "-t", tmp_path)
    assert "a\\x1b[2Jb\\xffc\\nd" in done.out
    document = tierctl("history", "-t", tmp_path, "--json").document
    assert "a\x1b[2Jb\\xffc\nd" == document["events"][0]["reason"]


def test_an_empty_id_is_refused_and_not_every_event(tierctl: Program, changed: Layout) -> None:
    done = tierctl("history", "-t", changed.top, "")
    assert (1, "") == (done.code, done.out)
    assert done.err.startswith("Error: an event's id cannot be empty\n")


def test_those_that_may_be_meant_are_listed(tierctl: Program, changed: Layout) -> None:
    events = tierctl("history", "-t", changed.top, "--json").document["events"]
    done = tierctl("history", "-t", changed.top, "2")
    assert all(event["id"] in done.err for event in events)


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_terminal_lines_fit_and_nothing_is_lost(
    tierctl: Program, tmp_path: Path, columns: int
) -> None:
    make_target(tmp_path, blue=42, green=41)
    tierctl("promote-staging", "-t", tmp_path, "-m", f"{'数 ' * 100}the end")
    event = tierctl("history", "-t", tmp_path, "--json").document["events"][0]
    command = [installed(), "history", "-t", str(tmp_path)]
    with Terminal(*command, env=dict(os.environ), columns=columns) as terminal:
        first, *rest = terminal.wait_for("the end\n").splitlines()
    assert first.startswith(event["id"])
    assert "promotion  blue (deployment 42)" in first
    assert f"{event['user']} on {event['host']}" in " ".join([first, *rest])
    assert 100 == "".join(rest).count("数")
    assert all(line.startswith("    ") for line in rest)
    assert all(columns >= cell_len(line) for line in (first, *rest))


def test_a_short_event_is_one_line(tierctl: Program, tmp_path: Path) -> None:
    make_target(tmp_path, blue=42, green=41)
    tierctl("promote-staging", "-t", tmp_path, "-m", "why")
    command = [installed(), "history", "-t", str(tmp_path)]
    with Terminal(*command, env=dict(os.environ), columns=200) as terminal:
        (line,) = terminal.wait_for("why\n").splitlines()
    assert line.endswith("  why")
