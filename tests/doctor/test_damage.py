"""Each kind of damage is one finding with advice."""

import os
from pathlib import Path

import pytest

from damage import (
    Damage,
    append,
    by_hand,
    close_record,
    found,
    in_future,
    loop,
    move_links,
    note_impossible,
    note_interrupted,
    outside,
    problems,
    relink,
    replace,
    scratch_with_files,
    set_group,
    shared,
    unshare,
)
from targets import make_deployment
from tierctl.doctor import Remedy, Severity, diagnose
from tierctl.fs.local import OsFileSystem
from tierctl.target.paths import Layout, temporary
from tierctl.target.target import Target
from tools import require_root

PROBLEMS: dict[str, tuple[Damage, str, str]] = {
    "staging missing": (
        lambda at: Path(at.within("staging")).unlink(),
        "links",
        "/staging is missing",
    ),
    "staging dangling": (
        lambda at: relink(at, "staging", "gone"),
        "links",
        "/staging is dangling: staging -> gone, which does not exist",
    ),
    "staging a file": (
        lambda at: replace(at.within("staging"), "file"),
        "links",
        "/staging is a file, not a symlink",
    ),
    "staging a directory": (
        lambda at: replace(at.within("staging"), "directory"),
        "links",
        "/staging is a directory, not a symlink",
    ),
    "staging a loop": (loop, "links", "/staging is a loop"),
    "staging outside": (outside, "links", "/staging points to ../elsewhere, outside"),
    "staging to a tier": (
        lambda at: relink(at, "staging", "production"),
        "links",
        "/staging points to production, which is neither blue nor green",
    ),
    "production dangling": (
        lambda at: relink(at, "production", "gone"),
        "links",
        "/production is dangling",
    ),
    "color missing": (
        lambda at: Path(at.within("blue")).rename(at.within("x")),
        "links",
        "/blue is missing",
    ),
    "color a file": (lambda at: replace(at.within("blue"), "file"), "links", "/blue is a file"),
    "same color": (
        lambda at: relink(at, "staging", "green"),
        "links",
        "production and staging point to the same color: green",
    ),
    "private tier dangling": (
        lambda at: Path(at.within("dev1")).symlink_to("deployments/9"),
        "links",
        "/dev1 is dangling",
    ),
    **{
        f"{name} open to all": (
            lambda at, name=name: Path(getattr(at, name)).chmod(0o777),  # type: ignore[misc]
            "permissions",
            "everybody may write to ",
        )
        for name in ("top", "infrastructure", "deployments", "cache")
    },
    "control open to all": (
        lambda at: Path(at.control).chmod(0o777),
        "permissions",
        "can be written by everybody",
    ),
    "color open to all": (
        lambda at: Path(at.within("green")).chmod(0o777),
        "permissions",
        "everybody may write to ",
    ),
    **{
        f"{name} open to all": (
            lambda at, name=name: close_record(getattr(at, name), 0o646),  # type: ignore[misc]
            "permissions",
            "can be written by everybody",
        )
        for name in ("intent", "history")
    },
    "config open to all": (
        lambda at: close_record(at.config, 0o646),
        "permissions",
        "/config.toml can be written by everybody",
    ),
    **{
        f"{name} a {kind}": (
            lambda at, name=name, kind=kind: replace(getattr(at, name), kind),  # type: ignore[misc]
            "permissions",
            f"is a {says}, not a file",
        )
        for name in ("intent", "history", "config", "lock")
        for kind, says in (
            ("symlink", "symlink"),
            ("directory", "directory"),
            ("fifo", "special file"),
        )
    },
    **{
        f"control a {kind}": (
            lambda at, kind=kind: replace(at.control, kind),  # type: ignore[misc]
            "permissions",
            f"/.tierctl is a {says}, not a directory",
        )
        for kind, says in (("symlink", "symlink"), ("file", "file"), ("fifo", "special file"))
    },
    "config no TOML": (
        lambda at: Path(at.config).write_text("group"),
        "permissions",
        "no valid TOML",
    ),
    "unknown group": (
        lambda at: set_group(at, "no-such-group"),
        "permissions",
        "the group no-such-group of ",
    ),
    "group with a NUL": (lambda at: set_group(at, "a\0b"), "permissions", r"the group a\x00b of "),
    "lock open to others": (
        lambda at: close_record(at.lock, 0o604),
        "permissions",
        "others may open ",
    ),
    "lock open to a group that shares nothing": (
        lambda at: close_record(at.lock, 0o660),
        "permissions",
        "others may open ",
    ),
    "torn history": (
        lambda at: append(at, b'{"schema"'),
        "records",
        "ends in 9 bytes of a torn line",
    ),
    "lines that are no events": (
        lambda at: append(at, b"{}\n[1]\n"),
        "records",
        "2 lines of ",
    ),
    "an interrupted change": (
        note_interrupted,
        "records",
        "a promotion by ada on lab (2024-01-01T00:00:00Z) was interrupted",
    ),
    "an interrupted change, links moved since": (
        note_impossible,
        "records",
        "a promotion is unfinished, and the links were moved without tierctl since it began",
    ),
    "rubbish intent": (
        lambda at: close_record(at.intent),
        "records",
        "says that a change is under way, but not which",
    ),
    **{
        f"temporary {name}": (
            lambda at, name=name: Path(temporary(at.within(name))).symlink_to("x"),  # type: ignore[misc]
            "leftovers",
            f"an interrupted command left {'{infrastructure}'}/.{name}.new",
        )
        for name in ("production", "staging", "blue", "green")
    },
    "intent draft": (
        lambda at: Path(temporary(at.intent)).write_text("{"),
        "leftovers",
        "/.intent.json.new",
    ),
    "scratch": (scratch_with_files, "leftovers", "/scratch"),
    "event in the future": (in_future, "clock", " s in the future"),
}


NOTES: dict[str, tuple[Damage, str, str]] = {
    "color without profile": (
        lambda at: (make_deployment(at, 7), relink(at, "blue", "deployments/7")),
        "links",
        "blue has no etc/profile.sh",
    ),
    "unfinished deployment": (
        lambda at: make_deployment(at, 7, finished=False),
        "links",
        "unfinished deployments: 7",
    ),
    "links moved by hand": (
        move_links,
        "records",
        "the links were moved without tierctl since the newest event",
    ),
    "no history": (lambda at: Path(at.history).unlink(), "records", "no history yet"),
    "half-built bootstrap": (
        lambda at: Path(at.half_built).mkdir(),
        "leftovers",
        "an interrupted bootstrap left ",
    ),
}


class TestDamage:
    @pytest.mark.parametrize("kind", PROBLEMS)
    def test_each_kind_is_a_problem_with_advice(self, layout: Layout, kind: str) -> None:
        damage, subject, text = PROBLEMS[kind]
        damage(layout)
        finding = found(layout, text.format(infrastructure=layout.infrastructure))
        assert (Severity.PROBLEM, subject) == (finding.severity, finding.subject)
        assert finding.advice
        assert "see tierctl doctor" not in finding.advice  # that was just done

    @pytest.mark.parametrize("kind", NOTES)
    def test_what_is_only_worth_knowing_is_a_note(self, layout: Layout, kind: str) -> None:
        damage, subject, text = NOTES[kind]
        damage(layout)
        finding = found(layout, text)
        assert (Severity.NOTE, subject) == (finding.severity, finding.subject)
        assert [] == problems(layout)

    def test_a_path_too_long_for_environments_is_a_note(self, tmp_path: Path) -> None:
        layout = by_hand(tmp_path / ("x" * 200))
        assert Severity.NOTE is found(layout, "bytes too long").severity

    @pytest.mark.parametrize("what", ["infrastructure", "control", "deployments", "cache"])
    @pytest.mark.parametrize("how", ["group", "mode"])
    def test_a_directory_that_the_group_cannot_use_is_a_problem(
        self, tmp_path: Path, what: str, how: str
    ) -> None:
        layout = shared(tmp_path)
        unshare(getattr(layout, what), how, 0o755)
        finding = found(layout, f"{getattr(layout, what)} is not shared with the group ")
        assert Remedy.SHARE is finding.remedy

    @pytest.mark.parametrize("what", ["config", "history", "intent", "lock", "holder"])
    @pytest.mark.parametrize("how", ["group", "mode"])
    def test_a_record_that_the_group_cannot_write_is_a_problem(
        self, tmp_path: Path, what: str, how: str
    ) -> None:
        layout = shared(tmp_path)
        Path(getattr(layout, what)).touch()
        unshare(getattr(layout, what), how, 0o600)
        finding = found(layout, f"{getattr(layout, what)} is not shared with the group ")
        assert Remedy.SHARE is finding.remedy

    def test_a_broken_private_tier_does_not_hide_what_is_wrong_with_the_rotation(
        self, layout: Layout
    ) -> None:
        Path(layout.within("dev1")).symlink_to("gone")
        relink(layout, "staging", "green")
        assert ["is dangling", "same color"] == [
            text
            for finding in problems(layout)
            for text in ("is dangling", "same color")
            if text in finding.text
        ]

    def test_what_is_damaged_is_not_said_to_lack_a_profile_too(self, layout: Layout) -> None:
        Path(layout.within("dev1")).symlink_to("dev1")
        make_deployment(layout, 7, finished=False)
        texts = [finding.text for finding in diagnose(Target(OsFileSystem(), layout))]
        assert not any("profile.sh" in text for text in texts)
        assert "unfinished deployments: 7" in texts

    def test_one_thing_that_is_not_trusted_is_one_problem(self, layout: Layout) -> None:
        os.chmod(layout.history, 0o666)
        assert 1 == len(problems(layout))

    def test_links_on_the_way_of_an_interrupted_change_were_not_moved_by_hand(
        self, layout: Layout
    ) -> None:
        note_interrupted(layout)
        move_links(layout)
        texts = [finding.text for finding in diagnose(Target(OsFileSystem(), layout))]
        assert not any("without tierctl" in text for text in texts)

    def test_records_are_not_judged_while_a_change_is_under_way(self, layout: Layout) -> None:
        note_interrupted(layout)
        scratch_with_files(layout)
        with OsFileSystem().lock(layout.lock, mode=0o600, timeout=0):
            assert [] == problems(layout)
            assert Severity.NOTE is found(layout, "locked by somebody").severity

    def test_a_bad_config_does_not_condemn_the_intent(self, layout: Layout) -> None:
        require_root()
        note_interrupted(layout)
        os.chown(layout.intent, 12345, -1)
        Path(layout.config).write_text("rubbish")
        assert {None} == {finding.remedy for finding in problems(layout)}
