"""What ``doctor --fix`` does."""

import errno
import os
from itertools import count
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from damage import (
    INTERRUPTED,
    Damage,
    Unreadable,
    append,
    close_record,
    copied,
    fix,
    move_links,
    note_impossible,
    note_interrupted,
    problems,
    scratch_with_files,
    set_group,
    some_group,
    untimed,
)
from reporters import Heard
from targets import links, listing, make_deployment, rotation
from tierctl.doctor import Remedy
from tierctl.doctor.repairs import Repair
from tierctl.errors import ChangeFailed, Locked
from tierctl.fs import tree
from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import exists
from tierctl.journal import history, intent
from tierctl.target.paths import Layout, temporary
from tierctl.target.target import Target
from tierctl.testing import Fault, FaultyFileSystem, Killed
from tools import require_root

REMEDIES: dict[Remedy, Damage] = {
    Remedy.FINISH_CHANGE: note_interrupted,
    Remedy.DROP_INTENT: lambda at: close_record(at.intent),
    Remedy.CUT_HISTORY: lambda at: append(at, b"{torn"),
    Remedy.REMOVE_LEFTOVER: lambda at: (
        Path(temporary(at.within("staging"))).symlink_to("blue"),
        Path(temporary(at.intent)).touch(),
        scratch_with_files(at),
    ),
    Remedy.REMOVE_BUILDS: lambda at: (
        make_deployment(at, 9, finished=False),
        Path(at.building(9)).touch(),
    ),
    Remedy.CLOSE_LOCK: lambda at: close_record(at.lock, 0o666),
    Remedy.SHARE: lambda at: (set_group(at, some_group().name), require_root()),
}


class TestRepairs:
    @pytest.mark.parametrize("remedy", REMEDIES)
    def test_each_remedy_repairs_all_there_is(self, layout: Layout, remedy: Remedy) -> None:
        REMEDIES[remedy](layout)
        before = problems(layout)
        assert {remedy} == {finding.remedy for finding in before}
        if remedy is Remedy.REMOVE_LEFTOVER:
            scratch_with_files(layout)  # what was there the probe has removed
        assert {True} == {done.done for done in fix(layout)}
        assert [] == problems(layout)
        assert not exists(OsFileSystem(), layout.scratch)

    def test_all_at_once_are_repaired(self, layout: Layout) -> None:
        require_root()
        for remedy in set(REMEDIES) - {Remedy.DROP_INTENT}:
            REMEDIES[remedy](layout)
        assert {True} == {done.done for done in fix(layout)}
        assert [] == problems(layout)

    def test_a_healthy_target_stays_as_it_is(self, layout: Layout) -> None:
        before = untimed(listing(layout.infrastructure))
        assert [] == fix(layout)
        after = untimed(listing(layout.infrastructure))
        assert {".tierctl/holder.json"} == after.keys() - before.keys()
        assert before == {name: after[name] for name in before}

    @pytest.mark.parametrize(
        ("remedy", "touched"),
        [
            (Remedy.DROP_INTENT, {".tierctl/intent.json", ".tierctl/intent.json.dropped"}),
            (Remedy.CUT_HISTORY, {".tierctl/history.jsonl"}),
            (
                Remedy.REMOVE_LEFTOVER,
                {
                    ".staging.new",
                    ".tierctl/.intent.json.new",
                    ".tierctl/scratch",
                    ".tierctl/scratch/one",
                },
            ),
            (Remedy.CLOSE_LOCK, {".tierctl/lock"}),
            (
                Remedy.FINISH_CHANGE,
                {".tierctl/intent.json", ".tierctl/history.jsonl", "production", "staging"},
            ),
        ],
    )
    def test_nothing_else_is_touched(
        self, layout: Layout, remedy: Remedy, touched: set[str]
    ) -> None:
        fix(layout)  # from now on there are a lock and its holder
        REMEDIES[remedy](layout)
        before = untimed(listing(layout.infrastructure))
        fix(layout)
        after = untimed(listing(layout.infrastructure))
        differing = {n for n in before.keys() | after.keys() if before.get(n) != after.get(n)}
        assert touched == differing - {".tierctl/holder.json"}

    def test_sharing_changes_modes_and_groups_alone(self, layout: Layout) -> None:
        require_root()
        fix(layout)
        set_group(layout, some_group().name)
        before = {name: facts[4] for name, facts in listing(layout.top).items()}
        fix(layout)
        after = {name: facts[4] for name, facts in listing(layout.top).items()}
        holder = "infrastructure/.tierctl/holder.json"
        assert {n: c for n, c in before.items() if n != holder} == {
            n: c for n, c in after.items() if n != holder
        }
        assert (some_group().gid, 0o660) == group_and_mode(layout.lock)
        assert (some_group().gid, 0o664) == group_and_mode(layout.history)
        assert (some_group().gid, 0o2775) == group_and_mode(layout.infrastructure)
        assert 0 == os.stat(layout.within("blue")).st_gid

    def test_a_lock_open_to_all_is_closed_to_all_but_the_group(self, layout: Layout) -> None:
        require_root()
        set_group(layout, some_group().name)
        os.chown(layout.lock, -1, some_group().gid)
        close_record(layout.lock, 0o666)
        fix(layout)
        assert (some_group().gid, 0o660) == group_and_mode(layout.lock)
        assert [] == problems(layout)

    def test_without_a_group_the_lock_is_the_owners(self, layout: Layout) -> None:
        close_record(layout.lock, 0o666)
        fix(layout)
        assert 0o600 == group_and_mode(layout.lock)[1]

    @pytest.mark.parametrize("moved", [False, True], ids=["not begun", "done"])
    def test_a_finished_change_is_in_history_exactly_once(
        self, layout: Layout, moved: bool
    ) -> None:
        note_interrupted(layout)
        if moved:
            move_links(layout)
        heard = Heard()
        assert ["finished the interrupted change"] == [r.text for r in fix(layout, heard=heard)]
        assert [INTERRUPTED] == heard.finished
        assert {"production": "blue", "staging": "green"} == rotation(layout)
        assert 1 == events(layout).count(INTERRUPTED.id)
        assert intent.read(Target(OsFileSystem(), layout)) is None

    def test_an_event_that_is_there_already_is_not_written_twice(self, layout: Layout) -> None:
        note_interrupted(layout)
        move_links(layout)
        history.append(Target(OsFileSystem(), layout), INTERRUPTED)
        fix(layout)
        assert 1 == events(layout).count(INTERRUPTED.id)

    def test_a_dropped_intent_is_kept_beside_and_the_links_stay(self, layout: Layout) -> None:
        note_impossible(layout)
        before, noted = links(layout), Path(layout.intent).read_bytes()
        (done,) = fix(layout)
        assert done.text.startswith("dropped the interrupted change; it is kept in ")
        assert noted == Path(f"{layout.intent}.dropped").read_bytes()
        assert before == links(layout)
        assert intent.read(Target(OsFileSystem(), layout)) is None

    def test_nothing_is_repaired_while_somebody_holds_the_lock(self, layout: Layout) -> None:
        note_interrupted(layout)
        append(layout, b"{torn")
        with OsFileSystem().lock(layout.lock, mode=0o600, timeout=0):
            before = listing(layout.top)
            with pytest.raises(Locked):
                fix(layout)
            assert before == listing(layout.top)

    def test_one_that_fails_is_told_of_and_the_others_are_made(self, layout: Layout) -> None:
        kept = Path(temporary(layout.within("production"))) / "thesis"
        kept.parent.mkdir()
        kept.touch()
        Path(temporary(layout.within("staging"))).touch()
        append(layout, b"{torn")
        done = {repair.done: repair.text for repair in fix(layout)}
        assert done[False].startswith("could not remove it: ")
        assert "Directory not empty" in done[False]
        assert kept.exists()
        assert [str(kept.parent)] == [finding.path for finding in problems(layout)]

    def test_records_that_cannot_be_read_do_not_keep_the_lock_open(self, layout: Layout) -> None:
        Path(layout.config).write_text("rubbish")
        os.chmod(layout.history, 0o666)
        close_record(layout.lock, 0o666)
        fix(layout)
        assert 0o600 == group_and_mode(layout.lock)[1]

    def test_what_cannot_be_looked_at_does_not_keep_the_rest_from_being_repaired(
        self, layout: Layout
    ) -> None:
        Path(temporary(layout.within("staging"))).symlink_to("blue")
        done, told = fix(layout, Unreadable(layout.scratch, writable=True))
        assert Repair(f"removed {temporary(layout.within('staging'))}", done=True) == done
        assert not told.done
        assert f"could not see all that may have to be repaired: {layout.scratch}" in told.text

    @pytest.mark.parametrize("number", [None, errno.EIO], ids=["killed", "failing"])
    @pytest.mark.parametrize("drop", [False, True], ids=["to finish", "to drop"])
    def test_stopped_at_any_operation_and_run_again_it_ends_well(
        self, template: Layout, tmp_path: Path, number: int | None, drop: bool
    ) -> None:
        for at in count(1):
            layout = copied(template, tmp_path / str(at))
            damage(layout, drop=drop)
            fs = FaultyFileSystem(OsFileSystem(), Fault(at, number))
            stopped(fs, layout)
            assert all(repair.done for repair in fix(layout))
            assert [] == problems(layout)
            assert (0 if drop else 1) == events(layout).count(INTERRUPTED.id)
            if not fs.fired:
                assert at > 20
                return


def damage(layout: Layout, *, drop: bool) -> None:
    """Damage a target in all ways that need no root."""
    for remedy in (Remedy.CUT_HISTORY, Remedy.REMOVE_LEFTOVER, Remedy.CLOSE_LOCK):
        REMEDIES[remedy](layout)
    REMEDIES[Remedy.DROP_INTENT if drop else Remedy.FINISH_CHANGE](layout)


def stopped(fs: FaultyFileSystem, layout: Layout) -> None:
    class Deaf(Heard):
        def warn(self, text: str) -> None:
            pass

    try:
        fix(layout, fs, Deaf())
    except (Killed, ChangeFailed, OSError):
        assert fs.fired


def events(layout: Layout) -> list[str]:
    return [event.id for event in history.newest_first(Target(OsFileSystem(), layout))]


def group_and_mode(path: str) -> tuple[int, int]:
    found = OsFileSystem().entry(path, follow=True)
    return found.gid, found.mode


def test_of_builds_that_are_gone_meanwhile_none_is_said_to_be_removed(
    layout: Layout, mocker: MockerFixture
) -> None:
    REMEDIES[Remedy.REMOVE_BUILDS](layout)
    mocker.patch("tierctl.deploy.numbering.retire_unfinished", return_value={})
    assert Repair("found nothing left of interrupted deploys any more", done=True) in fix(layout)


def test_no_lock_is_held_while_what_interrupted_builds_left_is_taken_apart(
    layout: Layout, mocker: MockerFixture
) -> None:
    REMEDIES[Remedy.REMOVE_BUILDS](layout)
    fs, real, seen = OsFileSystem(), tree.take_apart, []

    def removing(path: str) -> None:
        with fs.lock(layout.lock, timeout=0), fs.lock(layout.numbers, timeout=0):
            seen.append(os.path.basename(path))
        real(path)

    mocker.patch("tierctl.fs.tree.take_apart", removing)
    assert Repair("removed what was left of deployment 9", done=True) in fix(layout)
    assert ([".9.going"], False) == (seen, exists(fs, f"{layout.deployments}/.9.going"))


def test_a_build_that_cannot_be_taken_apart_is_told(layout: Layout, mocker: MockerFixture) -> None:
    REMEDIES[Remedy.REMOVE_BUILDS](layout)
    error = OSError(errno.EIO, "bad disk", "/x")
    mocker.patch("tierctl.fs.tree.take_apart", side_effect=error)
    told = Repair("could not remove what interrupted deploys left: /x: bad disk", done=False)
    assert told == fix(layout)[-1]


def test_the_lock_that_a_finished_build_has_left_is_removed_and_the_build_stays(
    layout: Layout,
) -> None:
    make_deployment(layout, 9)
    Path(layout.building(9)).touch()
    before = listing(layout.deployments)
    fix(layout)
    assert (before, False) == (listing(layout.deployments), Path(layout.building(9)).exists())
