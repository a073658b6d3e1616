"""``tierctl doctor``: what a user gets."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from damage import INTERRUPTED
from program import Program, installed
from targets import listing, make_target, rotation
from tierctl.change import bootstrap
from tierctl.fs.local import OsFileSystem
from tierctl.journal import intent
from tierctl.target.paths import Layout, temporary
from tierctl.target.target import Target
from tierctl.target.users import Author
from tools import as_user

MEMBERS = {
    "schema",
    "command",
    "ok",
    "findings",
    "repairs",
    "recovered",
    "warnings",
    "dry_run",
}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A target as bootstrap makes it."""
    bootstrap.create(
        OsFileSystem(), str(tmp_path / "lab"), Author("ada", "lab"), None, lock_timeout=1
    )
    return Layout.of_target(str(tmp_path / "lab"))


@pytest.fixture
def damaged(layout: Layout) -> Layout:
    """A target with an interrupted promotion, a torn line and a leftover."""
    intent.write(Target(OsFileSystem(), layout), INTERRUPTED)
    with open(layout.history, "ab") as file:
        file.write(b"{torn")
    Path(temporary(layout.intent)).touch()
    return layout


def test_a_healthy_target_exits_with_0(tierctl: Program, layout: Layout) -> None:
    done = tierctl("doctor", "-t", layout.top)
    assert (0, "") == (done.code, done.err)
    *lines, summary = done.out.splitlines()
    assert "no problems" == summary
    assert lines[0].startswith("ok       links: production -> green, staging -> blue")
    assert {"ok"} == {line.split()[0] for line in lines}


def test_a_target_made_by_hand_exits_with_0(tierctl: Program, tmp_path: Path) -> None:
    make_target(tmp_path)
    assert 0 == tierctl("doctor", "-t", tmp_path).code


def test_a_problem_exits_with_1_and_says_what_it_means_and_what_to_type(
    tierctl: Program, layout: Layout
) -> None:
    Path(layout.infrastructure).chmod(0o777)
    done = tierctl("doctor", "-t", layout.top)
    assert (1, "") == (done.code, done.err)
    lines = done.out.splitlines()
    at = lines.index(f"problem  permissions: everybody may write to {layout.infrastructure}")
    assert [
        "         Anybody on this system can replace what everybody loads.",
        f"         chmod o-w {layout.infrastructure}",
    ] == lines[at + 1 : at + 3]


def test_further_lines_of_a_text_are_indented(tierctl: Program, damaged: Layout) -> None:
    Path(damaged.within("staging")).unlink()
    Path(damaged.within("staging")).symlink_to("green")
    Path(damaged.within("production")).unlink()
    *lines, summary = tierctl("doctor", "-t", damaged.top).out.splitlines()
    assert {"ok", "problem", ""} == {line[:9].strip() for line in lines}
    assert "4 problems" == summary
    assert any(line.startswith("           intended: production -> blue") for line in lines)


def test_without_a_target_it_exits_with_1(
    tierctl: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = tierctl("doctor")
    assert (1, "") == (done.code, done.out)
    assert "--target" in done.err


def test_the_worst_comes_first_and_the_count_last(tierctl: Program, layout: Layout) -> None:
    Path(layout.infrastructure).chmod(0o777)
    Path(layout.history).unlink()
    *lines, summary = tierctl("doctor", "-t", layout.top).out.splitlines()
    severities = [line.split()[0] for line in lines if not line.startswith(" ")]
    order = ["problem", "note", "ok"]
    assert sorted(severities, key=order.index) == severities
    assert "1 problem, 1 note" == summary


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_problem_that_nobody_reads_exits_with_1(layout: Layout, options: list[str]) -> None:
    Path(layout.infrastructure).chmod(0o777)
    reader, writer = os.pipe()
    os.close(reader)
    command = [installed(), "doctor", "-t", layout.top, *options]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (1, "") == (done.returncode, done.stderr)


def test_help_says_what_dry_run_leaves_out(tierctl: Program) -> None:
    said = " ".join(tierctl("doctor", "--help").out.split())
    assert "--dry-run Do not try out what the filesystem can do; with --fix, show what" in said


class TestJson:
    def test_a_healthy_target_is_ok(self, tierctl: Program, layout: Layout) -> None:
        document = tierctl("doctor", "-t", layout.top, "--json").document
        assert MEMBERS == document.keys()
        assert (1, "doctor", True) == (document["schema"], document["command"], document["ok"])
        for finding in document["findings"]:
            assert {"severity", "subject", "text", "meaning", "advice"} == finding.keys()
            assert ("ok", None, None) == (
                finding["severity"],
                finding["meaning"],
                finding["advice"],
            )

    def test_a_damaged_one_is_not(self, tierctl: Program, damaged: Layout) -> None:
        done = tierctl("doctor", "-t", damaged.top, "--json")
        assert (1, False) == (done.code, done.document["ok"])
        (leftover,) = [f for f in done.document["findings"] if f["subject"] == "leftovers"]
        assert {
            "severity": "problem",
            "subject": "leftovers",
            "text": f"an interrupted command left {temporary(damaged.intent)}",
            "meaning": "It is in nobody's way.",
            "advice": f"To remove it: tierctl doctor --fix --target {damaged.top}",
        } == leftover

    def test_a_fix_tells_what_it_did(self, tierctl: Program, damaged: Layout) -> None:
        done = tierctl("doctor", "-t", damaged.top, "--fix", "--json")
        document = done.document
        assert MEMBERS == document.keys()
        assert (0, True, False, []) == (
            done.code,
            document["ok"],
            document["dry_run"],
            document["warnings"],
        )
        assert INTERRUPTED.id == document["recovered"]["id"]
        assert [
            {"text": "finished the interrupted change", "done": True},
            {"text": f"removed {temporary(damaged.intent)}", "done": True},
        ] == document["repairs"]  # finishing the change has cut the torn line

    @pytest.mark.parametrize("dry", [[], ["--dry-run"]])
    def test_with_nothing_to_fix_the_members_are_the_same(
        self, tierctl: Program, layout: Layout, dry: list[str]
    ) -> None:
        document = tierctl("doctor", "-t", layout.top, "--fix", "--json", *dry).document
        assert MEMBERS == document.keys()
        assert (True, [], bool(dry)) == (document["ok"], document["repairs"], document["dry_run"])

    @pytest.mark.parametrize("dry", [[], ["--dry-run"]])
    def test_without_fix_the_members_are_the_same(
        self, tierctl: Program, damaged: Layout, dry: list[str]
    ) -> None:
        document = tierctl("doctor", "-t", damaged.top, "--json", *dry).document
        assert MEMBERS == document.keys()
        assert ([], None, [], bool(dry)) == (
            document["repairs"],
            document["recovered"],
            document["warnings"],
            document["dry_run"],
        )

    def test_undecodable_names_are_escaped(self, tierctl: Program, layout: Layout) -> None:
        os.symlink(b"x", os.fsencode(layout.infrastructure) + b"/dev\xff")
        done = tierctl("doctor", "-t", layout.top, "--json")
        texts = [finding["text"] for finding in done.document["findings"]]
        path = f"{layout.infrastructure}/dev\\xff"
        assert f"{path} is dangling: dev\\xff -> x, which does not exist" in texts


class TestFix:
    def test_it_says_on_stderr_what_it_did_and_then_what_is_so(
        self, tierctl: Program, damaged: Layout
    ) -> None:
        done = tierctl("doctor", "-t", damaged.top, "--fix")
        assert 0 == done.code
        said = done.err.splitlines()
        assert "finished the interrupted change" in said
        assert f"removed {temporary(damaged.intent)}" in said
        *lines, summary = done.out.splitlines()
        assert {"ok"} == {line.split()[0] for line in lines}
        assert "no problems" == summary
        assert {"production": "blue", "staging": "green"} == rotation(damaged)

    def test_one_that_fails_is_a_warning_and_exit_code_1(
        self, tierctl: Program, layout: Layout
    ) -> None:
        kept = Path(temporary(layout.within("blue"))) / "thesis"
        kept.parent.mkdir()
        kept.touch()
        done = tierctl("doctor", "-t", layout.top, "--fix")
        assert 1 == done.code
        assert f"Warning: could not remove it: {kept.parent}: Directory not empty\n" == done.err

    def test_what_has_no_remedy_stays_a_problem_and_nothing_is_locked(
        self, tierctl: Program, layout: Layout
    ) -> None:
        Path(layout.infrastructure).chmod(0o777)
        done = tierctl("doctor", "-t", layout.top, "--fix")
        assert (1, "") == (done.code, done.err)
        assert not Path(layout.holder).exists()

    def test_while_somebody_holds_the_lock_it_is_refused(
        self, tierctl: Program, layout: Layout
    ) -> None:
        Path(layout.lock).chmod(0o666)
        with OsFileSystem().lock(layout.lock, mode=0o600, timeout=0):
            done = tierctl("doctor", "-t", layout.top, "--fix", "--lock-timeout", 0, "--json")
        assert (1, "locked") == (done.code, done.document["error"]["code"])
        assert (False, []) == (done.document["dry_run"], done.document["repairs"])
        texts = [finding["text"] for finding in done.document["findings"]]
        assert f"others may open {layout.lock}" in texts

    def test_what_is_wrong_is_said_before_why_nothing_is_repaired(
        self, tierctl: Program, layout: Layout
    ) -> None:
        Path(layout.lock).chmod(0o666)
        with OsFileSystem().lock(layout.lock, mode=0o600, timeout=0):
            done = tierctl("doctor", "-t", layout.top, "--fix", "--lock-timeout", 0)
        assert 1 == done.code
        assert f"problem  permissions: others may open {layout.lock}\n" in done.out
        assert "1 problem, 1 note" == done.out.splitlines()[-1]
        assert done.err.startswith("Error: the target is locked by somebody")


class TestDryRun:
    @pytest.mark.parametrize("options", [["--fix", "--dry-run"], ["--dry-run"]])
    def test_it_writes_not_one_byte(
        self, tierctl: Program, damaged: Layout, options: list[str]
    ) -> None:
        before = listing(damaged.top), os.stat(damaged.top).st_mtime_ns
        tierctl("doctor", "-t", damaged.top, *options)
        assert before == (listing(damaged.top), os.stat(damaged.top).st_mtime_ns)

    def test_it_says_what_would_be_done(self, tierctl: Program, damaged: Layout) -> None:
        done = tierctl("doctor", "-t", damaged.top, "--fix", "--dry-run")
        assert [
            f"would finish the interrupted change: {damaged.intent}",
            f"would cut off the torn line: {damaged.history}",
            f"would remove it: {temporary(damaged.intent)}",
            "Dry run: nothing was repaired.",
        ] == done.err.splitlines()

    def test_it_exits_as_the_repair_would(self, tierctl: Program, damaged: Layout) -> None:
        fix = ("doctor", "-t", damaged.top, "--fix", "--json")
        dry = tierctl(*fix, "--dry-run")
        assert (0, True) == (dry.code, dry.document["ok"])
        assert {False} == {repair["done"] for repair in dry.document["repairs"]}
        Path(damaged.infrastructure).chmod(0o777)
        assert (1, 1) == (tierctl(*fix, "--dry-run").code, tierctl(*fix).code)

    def test_without_fix_a_problem_is_one(self, tierctl: Program, damaged: Layout) -> None:
        assert 1 == tierctl("doctor", "-t", damaged.top, "--dry-run").code


class TestSomebodyElse:
    """Who may read and not write."""

    def test_they_are_told_what_is_so_and_write_nothing(self, layout: Layout) -> None:
        before = listing(layout.top)
        done = as_somebody_else("doctor", "-t", layout.top)
        assert (0, "") == (done.returncode, done.stderr)
        assert "note     permissions: root may change this target; you may not\n" in done.stdout
        assert f"not tried out: no permission to write to {layout.control}\n" in done.stdout
        assert before == listing(layout.top)

    @pytest.mark.parametrize("dry", [[], ["--dry-run"]])
    def test_they_repair_nothing(self, damaged: Layout, dry: list[str]) -> None:
        before = listing(damaged.top)
        done = as_somebody_else("doctor", "-t", damaged.top, "--fix", "--json", *dry)
        document = json.loads(done.stdout)
        assert (1, "not-writable") == (done.returncode, document["error"]["code"])
        assert before == listing(damaged.top)


def as_somebody_else(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*as_user(10003), installed(), *arguments]
    return subprocess.run(command, capture_output=True, text=True)
