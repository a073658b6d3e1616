"""What a newer tierctl has written: no command goes on from an older event, and each says why."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from program import Program
from samples import event
from targets import links, listing, make_target
from tierctl.fs.local import OsFileSystem
from tierctl.journal import history
from tierctl.journal.events import Built
from tierctl.report import verify
from tierctl.rotation.state import Content
from tierctl.target.paths import Layout
from tierctl.target.target import Target

Names = Sequence[str]
CHANGES: list[Names] = [
    ["promote-staging"],
    ["promote-staging", "-n"],
    ["promote-staging", "--force", "--to", "blue"],
    ["rollback"],
    ["rollback", "-n"],
    ["rollback", "--to", "43"],
    ["prune"],
    ["prune", "-n"],
]
LATER = [{"schema": 2}, {"kind": "surprise"}, {"schema": 7, "after": None, "kind": None}]


@pytest.fixture
def tierctl(capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(capsys)


@pytest.fixture
def layout(tmp_path: Path, tierctl: Program) -> Layout:
    """A target that was promoted, back, and promoted again."""
    layout = make_target(tmp_path / "lab", blue=41, green=42, deployments=(43,))
    for words in (["promote-staging"], ["rollback"], ["promote-staging", "--force"]):
        assert 0 == tierctl(*words, "-t", layout.top).code
    return layout


def change_line(layout: Layout, number: int, **members: Any) -> None:
    path = Path(layout.history)
    lines = path.read_text().splitlines()
    lines[number] = json.dumps(json.loads(lines[number]) | members)
    path.write_text("".join(f"{line}\n" for line in lines))


def newest_is_newer(layout: Layout) -> None:
    change_line(layout, -1, schema=2)


def newest_is_of_an_unknown_kind(layout: Layout) -> None:
    change_line(layout, -1, kind="surprise")


def newest_is_newer_and_then_torn(layout: Layout) -> None:
    change_line(layout, -1, schema=2)
    with open(layout.history, "a") as file:
        file.write('not json\n{"schema": 1, "id')


def intent_is_newer(layout: Layout) -> None:
    line = Path(layout.history).read_text().splitlines()[-1]
    Path(layout.intent).write_text(json.dumps(json.loads(line) | {"schema": 2}))


def history_is_newer_than_the_intent(layout: Layout) -> None:
    """Half of a change of this version: what comes after it in history nobody knows."""
    line = json.loads(Path(layout.history).read_text().splitlines()[-1])
    newest_is_newer(layout)
    before = line["after"] | {"production": "green", "staging": "blue"}
    after = line["after"]
    Path(layout.intent).write_text(json.dumps(line | {"id": "x", "before": after, "after": before}))


STATES = [
    newest_is_newer,
    newest_is_of_an_unknown_kind,
    newest_is_newer_and_then_torn,
    intent_is_newer,
    history_is_newer_than_the_intent,
]
in_each_state = pytest.mark.parametrize("write", STATES, ids=lambda write: write.__name__)


@in_each_state
@pytest.mark.parametrize("words", CHANGES, ids=" ".join)
def test_every_change_is_refused_and_nothing_is_touched(
    tierctl: Program, layout: Layout, write: Callable[[Layout], None], words: Names
) -> None:
    write(layout)
    before = links(layout), listing(layout.deployments), Path(layout.history).read_bytes()
    done = tierctl(*words, "--json", "-t", layout.top)
    after = links(layout), listing(layout.deployments), Path(layout.history).read_bytes()
    assert before == after
    error = done.document["error"]
    assert (1, "newer-version") == (done.code, error["code"])
    assert "written by a newer tierctl" in error["message"]
    assert error["hint"].startswith("Update tierctl here")
    assert error["hint"].endswith("Until then no change is made by this one.")


@in_each_state
def test_status_says_so_and_shows_the_links_which_are_the_truth(
    tierctl: Program, layout: Layout, write: Callable[[Layout], None]
) -> None:
    write(layout)
    document = tierctl("status", "--json", "-t", layout.top).document
    assert ("blue", 41) == tuple(
        document["tiers"]["production"][name] for name in ("color", "deployment")
    )
    if write is not intent_is_newer:  # who moved them, nobody knows
        assert document["tiers"]["production"]["event"] is None
    (problem,) = [text for text in document["problems"] if "profile" not in text]
    assert "written by a newer tierctl than this one" in problem


@in_each_state
def test_doctor_says_so_and_repairs_none_of_it(
    tierctl: Program, layout: Layout, write: Callable[[Layout], None]
) -> None:
    write(layout)
    done = tierctl("doctor", "--json", "-t", layout.top)
    found = [f for f in done.document["findings"] if "newer tierctl" in f["text"]]
    assert (1, 1, "problem") == (done.code, len(found), found[0]["severity"])
    assert found[0]["advice"].startswith("Update tierctl here")
    whole = Path(layout.history).read_bytes().rpartition(b"\n")[0]
    intent = Path(layout.intent)
    noted = intent.read_bytes() if intent.exists() else b""
    links_before = links(layout)
    tierctl("doctor", "--fix", "-t", layout.top)
    assert whole == Path(layout.history).read_bytes().rpartition(b"\n")[0]
    assert noted == (intent.read_bytes() if intent.exists() else b"")
    assert links_before == links(layout)


@pytest.mark.parametrize("members", LATER, ids=str)
def test_history_shows_the_events_that_it_knows_and_says_how_many_it_does_not(
    tierctl: Program, layout: Layout, members: dict[str, Any]
) -> None:
    change_line(layout, 1, **members)
    done = tierctl("history", "-t", layout.top)
    assert (0, 2) == (done.code, len(done.out.splitlines()))
    assert "of such events 1 cannot be shown. Update tierctl here" in done.err
    document = tierctl("history", "--json", "-t", layout.top).document
    assert (2, 1) == (len(document["events"]), document["newer"])
    assert (
        "newer-version"
        == tierctl("history", "x", "--json", "-t", layout.top).document["error"]["code"]
    )


def test_the_newest_event_is_gone_on_from_whatever_is_before_it(
    tierctl: Program, layout: Layout
) -> None:
    """It carries all that the next command needs of the past."""
    change_line(layout, 0, schema=2)
    assert 0 == tierctl("rollback", "-t", layout.top).code
    assert "green" == links(layout)["production"]
    assert 1 == tierctl("prune", "-n", "-t", layout.top).code  # what was shown in 30 days


def test_what_a_newer_one_says_of_packages_is_not_compared(
    tierctl: Program, layout: Layout
) -> None:
    Path(layout.packages_record("deployments/41")).write_text('{"schema": 2}')
    done = tierctl("diff", "--json", "-t", layout.top)
    error = done.document["error"]
    assert (1, "newer-version") == (done.code, error["code"])
    assert error["hint"].endswith("run the command where the newer one is installed.")
    Path(layout.deployment_record("deployments/42")).write_text('{"schema": 2}')
    told = tierctl("doctor", "-t", layout.top).out
    assert 2 == told.count("written by a newer tierctl than this one (schema 2)")
    assert 0 == tierctl("rollback", "-t", layout.top).code


def test_a_setting_that_is_unknown_may_be_a_newer_one_s(tierctl: Program, layout: Layout) -> None:
    Path(layout.config).write_text("lease = 3\n")
    done = tierctl("prune", "-t", layout.top)
    assert (1, True) == (done.code, "If a newer tierctl is used here, update this one" in done.err)


def test_who_holds_the_lock_may_be_told_in_more_words(tierctl: Program, layout: Layout) -> None:
    holder = json.loads(Path(layout.holder).read_text())
    Path(layout.holder).write_text(json.dumps(holder | {"schema": 2, "more": 1}))
    assert 0 == tierctl("rollback", "-t", layout.top).code


def test_a_newer_event_does_not_hide_what_was_built_before_it(layout: Layout) -> None:
    """An event of a build stays true, whatever has been done since."""
    fs = OsFileSystem()
    built = event(1)._replace(built=Built(41, "a" * 64))
    history.append(Target(fs, layout), built)
    history.append(Target(fs, layout), event(2))
    newest_is_newer(layout)
    assert "a" * 64 == verify._witness(Target(fs, layout), Content.of_deployment(41), quick=False)
