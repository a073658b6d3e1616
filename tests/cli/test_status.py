"""``tierctl status``: what a user gets."""

import io
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from program import Program, installed
from reporters import Heard
from targets import listing, make_target, with_profiles
from terminal import Terminal
from tierctl.change import change
from tierctl.change.requests import Promotion
from tierctl.cli.shared import screen
from tierctl.fs.local import OsFileSystem
from tierctl.report import status
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import Author


@pytest.fixture
def promoted(tierctl: Program, tmp_path: Path) -> Layout:
    """A target whose production has moved from deployment 41 to 42, on whim."""
    layout = with_profiles(make_target(tmp_path, blue=42, green=41))
    assert 0 == tierctl("promote-staging", "-t", tmp_path, "-m", "on a whim").code
    return layout


def test_it_shows_both_tiers_since_when_by_whom_and_why(tierctl: Program, promoted: Layout) -> None:
    done = tierctl("status", "-t", promoted.top)
    assert (0, "") == (done.code, done.err)
    head, titles, production, staging = done.out.splitlines()
    assert promoted.infrastructure == head
    assert ["TIER", "COLOR", "SERVES", "SINCE", "(UTC)", "BY", "WHY"] == titles.split()
    assert production.startswith("production  ● blue   deployment 42")
    assert production.endswith("on a whim")
    assert staging.startswith("staging     ● green  deployment 41")


def test_json_says_the_same(tierctl: Program, promoted: Layout) -> None:
    document = tierctl("status", "-t", promoted.top, "--json").document
    production = document["tiers"]["production"]
    assert ("blue", 42, "on a whim") == tuple(
        production[key] for key in ("color", "deployment", "reason")
    )
    assert {"held": False, "holder": None} == document["lock"]


def test_it_writes_nothing(tierctl: Program, tmp_path: Path) -> None:
    make_target(tmp_path)
    before = listing(tmp_path)
    assert 0 == tierctl("status", "-t", tmp_path).code
    assert before == listing(tmp_path)


def test_before_the_first_promotion_production_is_none(tierctl: Program, tmp_path: Path) -> None:
    make_target(tmp_path, production=None)
    done = tierctl("status", "-t", tmp_path)
    assert 0 == done.code
    assert "not promoted yet" in done.out


def test_a_production_that_was_taken_away_is_a_problem(tierctl: Program, promoted: Layout) -> None:
    os.unlink(promoted.within("production"))
    done = tierctl("status", "-t", promoted.top)
    assert 0 == done.code
    assert "not promoted yet" not in done.out
    assert "production: is missing, though history knows that it was blue" in done.out
    (staging,) = (line for line in done.out.splitlines() if line.startswith("staging"))
    assert staging.endswith("on a whim")


def test_what_was_moved_by_hand_is_since_unknown(tierctl: Program, promoted: Layout) -> None:
    path = Path(promoted.within("blue"))
    path.unlink()
    path.symlink_to("deployments/41")
    production = tierctl("status", "-t", promoted.top, "--json").document["tiers"]["production"]
    assert (41, None) == (production["deployment"], production["since"])


def test_a_damaged_tier_is_told_of_and_the_other_is_shown(
    tierctl: Program, promoted: Layout
) -> None:
    path = Path(promoted.within("staging"))
    path.unlink()
    path.symlink_to("yellow")
    done = tierctl("status", "-t", promoted.top)
    assert 0 == done.code
    assert "is dangling" in done.out
    assert "deployment 42" in done.out


def test_both_on_one_color_is_told(tierctl: Program, tmp_path: Path) -> None:
    make_target(tmp_path, production="blue")
    assert "same color" in tierctl("status", "-t", tmp_path).out


def test_rubbish_in_the_records_is_told_of(tierctl: Program, promoted: Layout) -> None:
    Path(promoted.intent).write_text("{")
    done = tierctl("status", "-t", promoted.top)
    assert 0 == done.code
    assert "intent.json" in done.out


def test_other_tiers_can_be_named(tierctl: Program, promoted: Layout) -> None:
    Path(promoted.within("dev1")).symlink_to("deployments/41")
    document = tierctl("status", "-t", promoted.top, "dev1", "blue", "--json").document
    assert ["dev1", "blue"] == list(document["tiers"])
    assert 41 == document["tiers"]["dev1"]["deployment"]


@pytest.mark.parametrize("name", ["dev2", "deployments", "../x", ".tierctl", ""])
def test_what_is_no_tier_is_refused(tierctl: Program, promoted: Layout, name: str) -> None:
    done = tierctl("status", "-t", promoted.top, name)
    assert 1 == done.code
    assert "There are: production, staging, blue, green" in done.err


def test_the_holder_of_the_lock_is_named(tierctl: Program, promoted: Layout) -> None:
    Path(promoted.holder).write_text(
        '{"user": "ada", "host": "node7", "pid": 12, "command": "promotion", "time": "today"}'
    )
    assert "Locked" not in tierctl("status", "-t", promoted.top).out
    with OsFileSystem().lock(promoted.lock, mode=0o600, timeout=0):
        assert "Locked by ada on node7" in tierctl("status", "-t", promoted.top).out
        document = tierctl("status", "-t", promoted.top, "--json").document
    assert (True, "ada") == (document["lock"]["held"], document["lock"]["holder"]["user"])


def test_an_unfinished_change_is_told_of(tierctl: Program, promoted: Layout) -> None:
    event = tierctl("history", "-t", promoted.top, "--json").document["events"][0]
    Path(promoted.intent).write_text(json.dumps(event))
    assert "Unfinished: a promotion" in tierctl("status", "-t", promoted.top).out
    document = tierctl("status", "-t", promoted.top, "--json").document
    assert event == document["unfinished"]


def test_markup_in_a_reason_is_only_text(tierctl: Program, tmp_path: Path) -> None:
    make_target(tmp_path)
    tierctl("promote-staging", "-t", tmp_path, "-m", "[red]x[/red] \x1b[2J\n")
    assert "[red]x[/red] \\x1b[2J\\n" in tierctl("status", "-t", tmp_path).out


def test_watching_prints_a_document_a_line_until_interrupted(promoted: Layout) -> None:
    watching = subprocess.Popen(
        [installed(), "status", "--target", promoted.top, "--watch", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    lines = [watching.stdout.readline() for _ in range(2)]
    watching.send_signal(signal.SIGINT)
    rest, _ = watching.communicate(timeout=10)
    assert 130 == watching.returncode
    assert [42, 42] == [json.loads(line)["tiers"]["production"]["deployment"] for line in lines]
    assert not rest


def test_watching_ends_when_nobody_reads(promoted: Layout) -> None:
    reading, writing = os.pipe()
    watching = subprocess.Popen(
        [installed(), "status", "--target", promoted.top, "--watch", "--json"], stdout=writing
    )
    os.close(writing)
    os.read(reading, 10)
    os.close(reading)
    assert 0 == watching.wait(timeout=10)


WHY = "numpy 2, and new plots for everybody who asked"


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (40, "production  ● blue   deployment 42"),
        (60, "production  ● blue   deployment 42  TIME"),
        (80, "production  ● blue   deployment 42  TIME  ada on lab  numpy 2…"),
        (200, f"production  ● blue   deployment 42  TIME  ada on lab  {WHY}"),
    ],
)
def test_where_there_is_little_room_the_last_columns_are_cut_first(
    tmp_path: Path, columns: int, line: str
) -> None:
    layout = with_profiles(make_target(tmp_path, blue=42, green=41))
    ada = Author("ada", "lab", WHY)
    change.carry_out(Target(OsFileSystem(), layout), Promotion(), ada, Heard(), lock_timeout=0)
    console = Console(width=columns, file=io.StringIO(), highlight=False)
    console.print(screen.StatusTable(layout, status.read(Target(OsFileSystem(), layout))))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    times = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "TIME", shown)
    (found,) = (row.rstrip() for row in times.splitlines() if row.startswith("production"))
    assert line[:-1] == found[: len(line) - 1]
    assert all(len(row) <= columns for row in shown.splitlines()[1:])


@pytest.mark.parametrize("kind", ["dumb", "xterm"])
def test_on_a_terminal_watching_says_when_it_looked_and_how_it_ends(
    promoted: Layout, kind: str
) -> None:
    command = [installed(), "status", "-t", promoted.top, "--watch"]
    with Terminal(*command, env=dict(os.environ), columns=100, kind=kind) as terminal:
        terminal.wait_for(r"deployment 42(.|\n)*\d\d:\d\d:\d\d, again every 2 s; Ctrl-C ends")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_half_of_a_build_is_said_to_be_one(
    tierctl: Program, tmp_path: Path, options: list[str]
) -> None:
    layout = with_profiles(make_target(tmp_path, blue=42, green=41))
    os.unlink(layout.deployment_record("deployments/42"))
    done = tierctl("status", "-t", tmp_path, *options)
    assert 0 == done.code
    problem = "staging: deployment 42 was never finished"
    assert problem in done.out
    if options:
        assert [problem] == done.document["problems"]


def test_a_tier_that_nobody_can_load_is_a_problem(tierctl: Program, tmp_path: Path) -> None:
    assert 0 == tierctl("bootstrap", tmp_path).code
    assert [] == tierctl("status", "-t", tmp_path, "--json").document["problems"]
    layout = Layout.of_target(str(tmp_path))
    os.unlink(layout.within("blue/etc/profile.sh"))
    document = tierctl("status", "-t", tmp_path, "--json").document
    problem = "deployment 1 has no etc/profile.sh"
    assert [f"production: {problem}", f"staging: {problem}"] == document["problems"]


def test_the_empty_tier_is_called_that(tierctl: Program, tmp_path: Path) -> None:
    make_target(tmp_path, blue=2, green=1, empty=(1,))
    shown = tierctl("status", "-t", tmp_path).out
    assert "deployment 1, the empty tier" in shown
    assert "deployment 2, " not in shown
    tiers = tierctl("status", "-t", tmp_path, "--json").document["tiers"]
    assert (True, False) == (tiers["production"]["empty"], tiers["staging"]["empty"])


def test_a_target_that_was_moved_is_a_problem(tierctl: Program, tmp_path: Path) -> None:
    assert 0 == tierctl("bootstrap", tmp_path / "old").code
    (tmp_path / "old").rename(tmp_path / "new")
    problems = tierctl("status", "-t", tmp_path / "new", "--json").document["problems"]
    old = tmp_path / "old/infrastructure/deployments/1"
    problem = f"deployment 1 has an etc/profile.sh that leads to {old}"
    assert [f"production: {problem}", f"staging: {problem}"] == problems


def test_where_a_program_reads_nothing_is_cut(tierctl: Program, tmp_path: Path) -> None:
    make_target(tmp_path)
    why = "x" * 1000
    assert 0 == tierctl("promote-staging", "-t", tmp_path, "-m", why).code
    assert why in tierctl("status", "-t", tmp_path).out


@pytest.mark.parametrize("kind", ["file", "loop"])
def test_a_tier_that_cannot_be_looked_into_does_not_hide_the_other(
    tierctl: Program, promoted: Layout, kind: str
) -> None:
    meta = Path(promoted.within("blue/meta"))
    meta.rename(meta.with_name("was-meta"))
    if kind == "file":
        meta.touch()
    else:
        meta.symlink_to("meta")
    document = tierctl("status", "-t", promoted.top, "--json").document
    assert 41 == document["tiers"]["staging"]["deployment"]
    (problem,) = document["problems"]
    assert problem.startswith("production: ")
    assert {"file": "was never finished", "loop": "Too many levels"}[kind] in problem


def test_wide_characters_are_given_their_room(tierctl: Program, tmp_path: Path) -> None:
    make_target(tmp_path, blue=42, green=41)
    assert 0 == tierctl("promote-staging", "-t", tmp_path, "-m", "安定版の更新").code
    assert "安定版の更新" in tierctl("status", "-t", tmp_path).out
    layout = Layout.of_target(str(tmp_path))
    console = Console(width=90, file=io.StringIO(), highlight=False)
    console.print(screen.StatusTable(layout, status.read(Target(OsFileSystem(), layout))))
    assert isinstance(console.file, io.StringIO)
    assert "安定版の更新" in console.file.getvalue()


def test_a_staging_that_is_gone_does_not_hide_production(
    tierctl: Program, promoted: Layout
) -> None:
    os.unlink(promoted.within("staging"))
    document = tierctl("status", "-t", promoted.top, "--json").document
    assert 42 == document["tiers"]["production"]["deployment"]
    assert ["staging: is missing"] == document["problems"]
