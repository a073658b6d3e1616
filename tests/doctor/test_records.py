"""Doctor on records: an interrupted change is never lost from sight, whoever wrote it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reporters import Heard
from samples import event
from tierctl.change import bootstrap
from tierctl.doctor import Finding, Remedy, Severity, diagnose
from tierctl.doctor.repairs import repair
from tierctl.fs.local import OsFileSystem
from tierctl.journal import intent
from tierctl.journal.events import Event, to_document
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import Author
from tools import as_user

AUTHOR = Author("ada", "lab")
FS = OsFileSystem()
INTERRUPTED = event(2, before=bootstrap.INITIAL)  # from production -> green to -> blue


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A target as bootstrap makes it."""
    target = str(tmp_path / "lab")
    bootstrap.create(FS, target, AUTHOR, None, lock_timeout=1)
    return Layout.of_target(target)


def records(layout: Layout) -> list[Finding]:
    return [f for f in diagnose(Target(FS, layout)) if f.subject == "records"]


def fix(layout: Layout) -> tuple[list[str], list[Event]]:
    heard = Heard()
    return [
        done.text for done in repair(Target(FS, layout), AUTHOR, heard, lock_timeout=0)
    ], heard.finished


def write_intent(layout: Layout, **changed: object) -> bytes:
    data = json.dumps({**to_document(INTERRUPTED), **changed}).encode()
    Path(layout.intent).write_bytes(data)
    return data


class TestAnotherVersions:
    @pytest.mark.parametrize(
        "changed",
        [{"schema": 2}, {"kind": "deployment"}, {"schema": 7, "after": {}}],
        ids=["later schema", "unknown kind", "unknown state"],
    )
    def test_an_intent_of_another_version_is_told_of_and_left_alone(
        self, layout: Layout, changed: dict[str, object]
    ) -> None:
        written = write_intent(layout, **changed)
        finding = records(layout)[0]
        assert (Severity.PROBLEM, None) == (finding.severity, finding.remedy)
        assert finding.advice.startswith("Update tierctl here.")
        assert ([], []) == fix(layout)
        assert written == Path(layout.intent).read_bytes()

    @pytest.mark.parametrize(
        "changed",
        [{"schema": "2"}, {"schema": 0}, {"schema": True, "id": 1}, {"kind": 3}, {"after": {}}],
        ids=str,
    )
    def test_rubbish_is_no_other_version(self, layout: Layout, changed: dict[str, object]) -> None:
        write_intent(layout, **changed)
        assert Remedy.DROP_INTENT is records(layout)[0].remedy


class TestDropping:
    def test_each_intent_that_was_dropped_is_kept(self, layout: Layout) -> None:
        for text in ("one", "two", "three"):
            Path(layout.intent).write_text(text)
            ((told,), _) = fix(layout)
            kept = told.rpartition(" ")[2]
            assert text == Path(kept).read_text()
        kept_ones = sorted(path for path in os.listdir(layout.control) if "dropped" in path)
        assert [f"intent.json.dropped{end}" for end in ("", ".2", ".3")] == kept_ones


class TestBrokenLinks:
    def test_a_broken_link_does_not_hide_an_interrupted_change(self, layout: Layout) -> None:
        intent.write(Target(FS, layout), INTERRUPTED)
        Path(layout.within("staging")).unlink()
        (finding,) = records(layout)
        assert Severity.PROBLEM is finding.severity
        assert (
            "a promotion by ada on lab (2024-01-01T00:00:00Z) was interrupted, and a link is broken"
            == finding.text
        )
        assert finding.meaning.startswith(
            "It was to end with: production -> blue, staging -> green"
        )

    def test_neither_the_links_nor_the_intent_are_touched_then(self, layout: Layout) -> None:
        intent.write(Target(FS, layout), INTERRUPTED)
        Path(layout.within("staging")).unlink()
        assert ([], []) == fix(layout)
        assert not os.path.lexists(layout.within("staging"))
        assert INTERRUPTED == intent.read(Target(FS, layout))

    def test_once_they_are_mended_as_it_says_the_change_is_finished(self, layout: Layout) -> None:
        intent.write(Target(FS, layout), INTERRUPTED)
        for name, color in (("production", "blue"), ("staging", "green")):
            Path(layout.within(name)).unlink()
            Path(layout.within(name)).symlink_to(color)
        assert [INTERRUPTED] == fix(layout)[1]
        assert [Severity.OK] == [finding.severity for finding in records(layout)]


def test_who_may_not_ask_for_the_lock_is_told_that_a_change_may_be_under_way(
    layout: Layout,
) -> None:
    """Somebody else, while the owner is in the middle of a promotion."""
    intent.write(Target(FS, layout), INTERRUPTED)
    script = (
        "import sys\n"
        "from tierctl.doctor import diagnose\n"
        "from tierctl.fs.local import OsFileSystem\n"
        "from tierctl.target.paths import Layout\n"
        "from tierctl.target.target import Target\n"
        "for f in diagnose(Target(OsFileSystem(), Layout(sys.argv[1]))):\n"
        "    print(f.text, '|', f.meaning)\n"
    )
    command = [*as_user(10004), sys.executable, "-c", script, layout.infrastructure]
    with FS.lock(layout.lock, mode=0o600, timeout=0):
        done = subprocess.run(command, capture_output=True, text=True)
        mine = records(layout)
    assert (0, "") == (done.returncode, done.stderr)
    assert "was interrupted | Or it is under way: you may not ask" in done.stdout
    assert ["locked by somebody"] == [finding.text for finding in mine]
