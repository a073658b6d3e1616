"""Doctor: a healthy target is called healthy, each kind of damage has its finding and remedy."""

import errno
import grp
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_mock import MockerFixture

from reporters import Heard
from samples import event
from targets import links, listing, make_deployment, make_target
from tierctl import bootstrap, history, intent, mounts
from tierctl.doctor import Finding, Remedy, Severity, diagnose
from tierctl.doctor.repairs import Repair, repair
from tierctl.errors import Locked
from tierctl.events import Author, Event
from tierctl.filesystem import (
    Entry,
    ExchangeUnsupported,
    FileSystem,
    LockUnavailable,
    OsFileSystem,
    exists,
)
from tierctl.groups import Group
from tierctl.layout import Layout, temporary
from tierctl.mounts import Mount
from tierctl.testing import Fault, FaultyFileSystem, Killed, MemoryFileSystem
from tools import missing, require_root, require_tool

AUTHOR = Author("ada", "lab")
INTERRUPTED = event(2)  # from production -> green to production -> blue

Damage = Callable[[Layout], object]


@pytest.fixture(autouse=True)
def no_flushing(mocker: MockerFixture) -> None:
    """No power is cut here, and flushing takes most of the time."""
    mocker.patch("os.fsync")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A target as bootstrap makes it; nobody changes it."""
    return bootstrapped(tmp_path_factory.mktemp("template") / "lab")


@pytest.fixture
def layout(template: Layout, tmp_path: Path) -> Layout:
    """A copy of what bootstrap makes, without the directories that nobody looks into."""
    return copied(template, tmp_path / "lab")


def copied(template: Layout, directory: Path) -> Layout:
    empty = shutil.ignore_patterns("bin", "conda", "logs", "meta")
    shutil.copytree(template.target, directory, symlinks=True, ignore=empty)
    layout = Layout.of_target(str(directory))
    for color in ("blue", "green"):  # a target cannot be copied: its profiles know where it is
        profile = Path(layout.within(color), "etc", "profile.sh")
        profile.write_text(profile.read_text().replace(template.target, layout.target))
    return layout


def bootstrapped(directory: Path, group: Group | None = None) -> Layout:
    bootstrap.create(OsFileSystem(), str(directory), AUTHOR, group, lock_timeout=1)
    return Layout.of_target(str(directory))


def by_hand(directory: Path) -> Layout:
    """A target as older scripts made it, which can be loaded."""
    layout = make_target(directory)
    for color in ("blue", "green"):
        (Path(layout.within(color)) / "etc").mkdir()
        (Path(layout.within(color)) / "etc/profile.sh").touch()
    return layout


def problems(layout: Layout, fs: FileSystem | None = None) -> list[Finding]:
    findings = diagnose(fs or OsFileSystem(), layout)
    return [finding for finding in findings if finding.severity is Severity.PROBLEM]


def fix(layout: Layout, fs: FileSystem | None = None, heard: Heard | None = None) -> list[Repair]:
    return repair(fs or OsFileSystem(), layout, AUTHOR, heard or Heard(), lock_timeout=0)


def found(layout: Layout, text: str, fs: FileSystem | None = None) -> Finding:
    """Return the one finding with such a text."""
    findings = diagnose(fs or OsFileSystem(), layout)
    fitting = [finding for finding in findings if text in finding.text]
    assert 1 == len(fitting), findings
    return fitting[0]


# Kinds of damage


def relink(layout: Layout, name: str, target: str) -> None:
    path = Path(layout.within(name))
    path.unlink()
    path.symlink_to(target)


def replace(path: str, kind: str) -> None:
    """Have something of another kind in the place of a file."""
    place = Path(path)
    if exists(OsFileSystem(), path):
        place.rename(f"{path}.was")
    match kind:
        case "symlink":
            place.symlink_to(f"{path}.was")
        case "directory":
            place.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "file":
            place.write_text("text")


def close_record(path: str, mode: int = 0o644) -> None:
    Path(path).touch()
    Path(path).chmod(mode)


def note_interrupted(layout: Layout, event: Event = INTERRUPTED) -> None:
    intent.write(OsFileSystem(), layout, event)


def note_impossible(layout: Layout) -> None:
    """Note a change that was never where the links are: production is gone."""
    note_interrupted(layout)
    Path(layout.within("production")).unlink()
    relink(layout, "staging", "green")


def append(layout: Layout, data: bytes) -> None:
    with open(layout.history, "ab") as file:
        file.write(data)


def move_links(layout: Layout) -> None:
    relink(layout, "production", "blue")
    relink(layout, "staging", "green")


def in_future(layout: Layout) -> None:
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    later = event(1)._replace(time=when, after=bootstrap.INITIAL)
    history.append(OsFileSystem(), layout, later)


def set_group(layout: Layout, name: str) -> None:
    Path(layout.config).write_text(f"group = {json.dumps(name)}\n")


def outside(layout: Layout) -> None:
    (Path(layout.target) / "elsewhere").mkdir()
    relink(layout, "staging", "../elsewhere")


def loop(layout: Layout) -> None:
    relink(layout, "staging", "staging")


def scratch_with_files(layout: Layout) -> None:
    Path(layout.scratch).mkdir()
    (Path(layout.scratch) / "one").symlink_to("1")


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
        for name in ("target", "infrastructure", "deployments", "cache")
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
        "a promotion was interrupted, and the links were moved since",
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
        lambda at: (Path(at.within("blue")) / "etc/profile.sh").unlink(),
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


class TestHealthy:
    def test_what_bootstrap_makes_is_well_in_every_respect(self, template: Layout) -> None:
        findings = diagnose(OsFileSystem(), template)
        assert {Severity.OK} == {finding.severity for finding in findings}
        subjects = {"links", "permissions", "records", "guarantee", "clock"}
        assert subjects == {finding.subject for finding in findings}

    def test_what_older_scripts_made_has_no_problem(self, tmp_path: Path) -> None:
        layout = by_hand(tmp_path)
        assert [] == problems(layout)
        assert not exists(OsFileSystem(), layout.control)

    def test_where_nothing_can_be_tried_out_it_is_foretold(self, tmp_path: Path) -> None:
        finding = found(by_hand(tmp_path), "not tried out, by the type of the filesystem ")
        assert Severity.NOTE is finding.severity

    def test_what_a_group_shares_has_no_problem(self, tmp_path: Path) -> None:
        require_root()
        assert [] == problems(shared(tmp_path))

    def test_a_cache_on_another_filesystem_that_is_not_mounted_is_no_problem(
        self, layout: Layout
    ) -> None:
        replace(layout.cache, "symlink")
        os.rmdir(f"{layout.cache}.was")
        assert [] == problems(layout)

    def test_a_diagnose_leaves_everything_as_it_was(self, layout: Layout) -> None:
        before = untimed(listing(layout.target))
        diagnose(OsFileSystem(), layout)
        assert before == untimed(listing(layout.target))

    def test_without_probing_it_writes_not_one_byte(self, layout: Layout) -> None:
        before = listing(layout.target)
        findings = diagnose(OsFileSystem(), layout, probe=False)
        assert before == listing(layout.target)
        assert any("not tried out" in finding.text for finding in findings)

    def test_without_the_right_to_write_it_writes_not_one_byte(self, layout: Layout) -> None:
        before = listing(layout.target)
        finding = found(layout, "not tried out: you may not write to ", NotMine())
        assert before == listing(layout.target)
        assert Severity.NOTE is finding.severity
        assert (
            Severity.NOTE
            is found(layout, "may change this target; you may not", NotMine()).severity
        )


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
        texts = [finding.text for finding in diagnose(OsFileSystem(), layout)]
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
        texts = [finding.text for finding in diagnose(OsFileSystem(), layout)]
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


def untimed(found: dict[str, tuple[int, int, int, int, bytes]]) -> dict[str, tuple[object, ...]]:
    """Return a listing without times of change: a scratch directory changes its parent's."""
    return {name: (*facts[:2], facts[4]) for name, facts in found.items()}


def some_group() -> Group:
    found = next(group for group in grp.getgrall() if group.gr_gid not in (0, os.getegid()))
    return Group(found.gr_name, found.gr_gid)


def shared(directory: Path) -> Layout:
    require_root()
    return bootstrapped(directory / "lab", some_group())


def unshare(path: str, how: str, mode: int) -> None:
    if how == "group":
        os.chown(path, -1, 0)
        os.chmod(path, 0o2775 if os.path.isdir(path) else 0o660)
    else:
        os.chmod(path, mode)


# Filesystems that can do less


class NotMine(OsFileSystem):
    """The caller may write nowhere."""

    def is_writable(self, path: str) -> bool:
        return False

    def make_directory(self, path: str, mode: int, *, group: int | None = None) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


class Unreadable(OsFileSystem):
    """The caller may not look at a directory, or at what is in it."""

    def __init__(self, directory: str, *, writable: bool = False) -> None:
        self._below = f"{directory}/"
        self._writable = writable

    def entry(self, path: str, *, follow: bool = False) -> Entry:
        self._check(path)
        return super().entry(path, follow=follow)

    def read(self, path: str, start: int = 0, length: int = -1) -> bytes:
        self._check(path)
        return super().read(path, start, length)

    def names(self, path: str) -> list[str]:
        self._check(path)
        return super().names(path)

    def is_writable(self, path: str) -> bool:
        return self._writable

    def _check(self, path: str) -> None:
        if f"{path}/".startswith(self._below):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


class Shifted(OsFileSystem):
    """A file server whose clock is wrong."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def entry(self, path: str, *, follow: bool = False) -> Entry:
        found = super().entry(path, follow=follow)
        return found._replace(modified=found.modified + self._seconds)


class WithoutExchange(OsFileSystem):
    def exchange(self, first: str, second: str) -> None:
        raise ExchangeUnsupported(errno.EINVAL, os.strerror(errno.EINVAL), first)


class PretendingToExchange(OsFileSystem):
    """As a kernel that does not know the flag and says nothing."""

    def exchange(self, first: str, second: str) -> None:
        pass


class WithoutLocks(OsFileSystem):
    @contextmanager
    def lock(self, path: str, *, mode: int, timeout: float) -> Iterator[None]:
        raise LockUnavailable(errno.ENOLCK, os.strerror(errno.ENOLCK), path)
        yield


class LockingNobodyOut(OsFileSystem):
    @contextmanager
    def lock(self, path: str, *, mode: int, timeout: float) -> Iterator[None]:
        self.write(path, b"", mode=mode)
        yield


class TestGuarantee:
    def test_it_says_on_which_filesystem_the_target_is(
        self, layout: Layout, mocker: MockerFixture
    ) -> None:
        mocker.patch("tierctl.mounts.find", return_value=Mount("nfs4", "/lab", ("rw",)))
        assert Severity.OK is found(layout, "filesystem: nfs4, mounted on /lab").severity

    def test_a_read_only_mount_is_a_note(self, layout: Layout, mocker: MockerFixture) -> None:
        mocker.patch("tierctl.mounts.find", return_value=Mount("nfs4", "/lab", ("ro",)))
        assert Severity.NOTE is found(layout, "it is mounted read-only here").severity

    @pytest.mark.parametrize("option", ["nolock", "localflock", "local_lock=all"])
    def test_locks_on_this_host_only_are_a_problem(
        self, layout: Layout, mocker: MockerFixture, option: str
    ) -> None:
        mocker.patch("tierctl.mounts.find", return_value=Mount("nfs", "/lab", ("rw", option)))
        finding = found(layout, f"it is mounted with {option}: locks hold on this host only")
        assert (Severity.PROBLEM, True) == (finding.severity, bool(finding.advice))

    def test_where_mounts_are_not_told_the_rest_is(
        self, layout: Layout, mocker: MockerFixture
    ) -> None:
        mocker.patch("tierctl.mounts.find", return_value=None)
        assert Severity.OK is found(layout, "the links are swapped in one step").severity

    def test_a_table_of_mounts_that_says_nothing_tells_of_none(self, tmp_path: Path) -> None:
        (tmp_path / "mountinfo").touch()
        assert mounts.find(str(tmp_path), str(tmp_path / "mountinfo")) is None

    @pytest.mark.parametrize("fs", [WithoutExchange(), PretendingToExchange()], ids=str)
    def test_without_exchange_the_note_tells_of_two_steps(
        self, layout: Layout, fs: FileSystem
    ) -> None:
        finding = found(layout, "the links are replaced one right after the other", fs)
        assert Severity.NOTE is finding.severity
        assert "a reader may see one moved and the other not" in finding.meaning
        assert [] == problems(layout, fs)

    def test_without_locks_changes_are_refused(self, layout: Layout) -> None:
        finding = found(layout, "there are no locks here: No locks available", WithoutLocks())
        assert Severity.PROBLEM is finding.severity
        assert "Mount it with locks" in finding.advice

    def test_locks_that_lock_nobody_out_are_a_problem(self, layout: Layout) -> None:
        finding = found(layout, "locks lock nobody out here", LockingNobodyOut())
        assert (Severity.PROBLEM, True) == (finding.severity, bool(finding.advice))

    @pytest.mark.parametrize(
        ("seconds", "text"), [(60, "60 s ahead of this host"), (-60, "60 s behind this host")]
    )
    def test_a_file_servers_wrong_clock_is_a_problem(
        self, layout: Layout, seconds: float, text: str
    ) -> None:
        finding = found(layout, f"the filesystem is {text}", Shifted(seconds))
        assert (Severity.PROBLEM, "clock") == (finding.severity, finding.subject)

    @pytest.mark.parametrize("seconds", [-3, 3])
    def test_a_clock_may_be_a_little_wrong(self, layout: Layout, seconds: float) -> None:
        assert [] == problems(layout, Shifted(seconds))

    def test_the_probe_leaves_nothing_whatever_fails(self, layout: Layout) -> None:
        before = untimed(listing(layout.target))
        for fs in faults(OsFileSystem(), errno.EIO):
            diagnose(fs, layout)
            diagnose(OsFileSystem(), layout)
            assert before == untimed(listing(layout.target))

    def test_only_removing_it_can_fail_to_remove_the_scratch(self, layout: Layout) -> None:
        left_by = set()
        for fs in faults(OsFileSystem(), errno.EIO):
            diagnose(fs, layout)
            if exists(OsFileSystem(), layout.scratch):
                left_by.add(fs.trace[fs.fault.at - 1].verb)
                diagnose(OsFileSystem(), layout)
        assert {"entry", "remove"} == left_by

    def test_a_failing_probe_is_a_problem_with_advice(self, layout: Layout) -> None:
        for fs in faults(OsFileSystem(), errno.EIO):
            findings = diagnose(fs, layout)
            if fs.fired and fs.trace[fs.fault.at - 1].verb in ("make_link", "exchange", "lock"):
                fitting = [f for f in findings if "trying it out failed: " in f.text]
                assert [True] == [bool(finding.advice) for finding in fitting]

    def test_a_link_in_the_place_of_the_scratch_costs_nobody_a_file(
        self, layout: Layout, tmp_path: Path
    ) -> None:
        precious = tmp_path / "precious"
        precious.mkdir()
        (precious / "file").touch()
        (precious / "one").touch()
        Path(layout.scratch).symlink_to(precious)
        diagnose(OsFileSystem(), layout)
        assert {"file", "one"} == set(os.listdir(precious))

    def test_what_others_keep_in_the_scratch_stays_and_is_told_of(self, layout: Layout) -> None:
        scratch_with_files(layout)
        kept = Path(layout.scratch) / "thesis"
        kept.touch()
        assert found(layout, "trying it out failed: ").advice
        assert kept.exists()

    def test_nothing_is_tried_out_behind_a_link_in_the_place_of_tierctls_directory(
        self, layout: Layout
    ) -> None:
        replace(layout.control, "symlink")
        before = listing(layout.target)
        diagnose(OsFileSystem(), layout)
        assert before == listing(layout.target)


def faults(inner: FileSystem, number: int | None) -> Iterator[FaultyFileSystem]:
    """Yield filesystems that fail at operation 1, 2, ... until none does."""
    for at in count(1):
        fs = FaultyFileSystem(inner, Fault(at, number))
        yield fs
        if not fs.fired:
            assert at > 10
            return


class TestHostile:
    @pytest.mark.parametrize("name", ["", "/x", "/etc", "/etc/profile.sh"])
    def test_names_that_forge_lines_do_not(self, layout: Layout, name: str) -> None:
        tier = layout.within("dev\nproblem  links: all is lost \udcff\x1b[2J")
        if name:
            Path(tier + name).parent.mkdir(parents=True)
            Path(tier + name).touch()
        else:
            Path(tier).symlink_to("deployments/9\n")
        for number in range(20):
            Path(layout.within(f"\n\udcfe{number}")).touch()
        for finding in diagnose(OsFileSystem(), layout):
            for text in (finding.text, finding.meaning, finding.advice):
                assert text.isprintable()

    @pytest.mark.parametrize("closed", ["control", "infrastructure", "deployments"])
    def test_what_may_not_be_looked_at_is_said(self, layout: Layout, closed: str) -> None:
        findings = problems(layout, Unreadable(getattr(layout, closed)))
        assert findings
        for finding in findings:
            assert "Permission denied" in finding.text
            assert finding.advice

    @pytest.mark.parametrize("number", [errno.EIO, errno.ENOENT])
    def test_no_error_of_the_system_is_raised(self, layout: Layout, number: int) -> None:
        note_interrupted(layout)
        for fs in faults(OsFileSystem(), number):
            assert diagnose(fs, layout)

    @settings(max_examples=150)
    @given(st.sampled_from(["intent", "history", "config", "holder"]), st.data())
    def test_no_bytes_make_it_raise(self, name: str, data: st.DataObject) -> None:
        fs = MemoryFileSystem()
        fs.make_directory("/lab", 0o755)
        layout = make_target("/lab", fs=fs)
        fs.make_directory(layout.control, 0o755)
        fs.write(getattr(layout, name), data.draw(RUBBISH), mode=0o644)
        diagnose(fs, layout)

    def test_nothing_at_all_is_a_problem(self, tmp_path: Path) -> None:
        assert problems(Layout.of_target(str(tmp_path / "missing")))


RUBBISH = (
    st.binary(max_size=60)
    | st.sampled_from(
        [
            b'{"schema": 2}\n',
            b"[" * 5000,
            b"9" * 5000 + b"\n",
            b"\xff\n",
            b'group = "a\\u0000b"',
            b"group = 1",
        ]
    )
    | st.builds(
        lambda key, value: (
            json.dumps({**json.loads(WHOLE_EVENT), key: value}, ensure_ascii=False).encode(
                "utf-8", "surrogateescape"
            )
            + b"\n"
        ),
        st.sampled_from(["schema", "id", "time", "kind", "before", "after", "trail"]),
        st.none() | st.integers() | st.sampled_from(["", "9999-12-31T23:59:60Z", {}, []]),
    )
)
WHOLE_EVENT = json.dumps(
    {
        "schema": 1,
        "id": "20240101-000001-abcdef",
        "time": "2024-01-01T00:00:00Z",
        "kind": "promotion",
        "user": "ada",
        "host": "lab",
        "reason": "",
        "before": None,
        "after": {"production": "green", "staging": "blue", "blue": "blue", "green": "green"},
        "trail": [],
        "rolled_back": [],
    }
)


# Repairs

REMEDIES: dict[Remedy, Damage] = {
    Remedy.FINISH_CHANGE: note_interrupted,
    Remedy.DROP_INTENT: lambda at: close_record(at.intent),
    Remedy.CUT_HISTORY: lambda at: append(at, b"{torn"),
    Remedy.REMOVE_LEFTOVER: lambda at: (
        Path(temporary(at.within("staging"))).symlink_to("blue"),
        Path(temporary(at.intent)).touch(),
        scratch_with_files(at),
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
        before = {name: facts[4] for name, facts in listing(layout.target).items()}
        fix(layout)
        after = {name: facts[4] for name, facts in listing(layout.target).items()}
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
        assert {"production": "blue", "staging": "green"} == links(layout)
        assert 1 == events(layout).count(INTERRUPTED.id)
        assert intent.read(OsFileSystem(), layout) is None

    def test_an_event_that_is_there_already_is_not_written_twice(self, layout: Layout) -> None:
        note_interrupted(layout)
        move_links(layout)
        history.append(OsFileSystem(), layout, INTERRUPTED)
        fix(layout)
        assert 1 == events(layout).count(INTERRUPTED.id)

    def test_a_dropped_intent_is_kept_beside_and_the_links_stay(self, layout: Layout) -> None:
        note_impossible(layout)
        before, noted = links(layout), Path(layout.intent).read_bytes()
        (done,) = fix(layout)
        assert done.text.startswith("dropped the interrupted change; it is kept in ")
        assert noted == Path(f"{layout.intent}.dropped").read_bytes()
        assert before == links(layout)
        assert intent.read(OsFileSystem(), layout) is None

    def test_nothing_is_repaired_while_somebody_holds_the_lock(self, layout: Layout) -> None:
        note_interrupted(layout)
        append(layout, b"{torn")
        with OsFileSystem().lock(layout.lock, mode=0o600, timeout=0):
            before = listing(layout.target)
            with pytest.raises(Locked):
                fix(layout)
            assert before == listing(layout.target)

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
        (done,) = fix(layout, Unreadable(layout.scratch, writable=True))
        assert Repair(f"removed {temporary(layout.within('staging'))}", done=True) == done

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
    except (Killed, OSError):
        assert fs.fired


def events(layout: Layout) -> list[str]:
    return [event.id for event in history.newest_first(OsFileSystem(), layout)]


def group_and_mode(path: str) -> tuple[int, int]:
    found = OsFileSystem().entry(path, follow=True)
    return found.gid, found.mode


@pytest.fixture
def through_fuse(tmp_path: Path) -> Iterator[Path]:
    """A directory seen through a FUSE filesystem that cannot swap two names."""
    require_root()
    bindfs = require_tool("bindfs")
    behind, point = tmp_path / "behind", tmp_path / "point"
    behind.mkdir()
    point.mkdir()
    done = subprocess.run([bindfs, str(behind), str(point)], capture_output=True, text=True)
    if done.returncode:
        missing(f"no bindfs here: {done.stderr}")
    try:
        yield point
    finally:
        subprocess.run(["umount", "-l", str(point)], check=True)


def test_a_real_filesystem_that_cannot_exchange_is_found_out(through_fuse: Path) -> None:
    layout = bootstrapped(through_fuse / "lab")
    assert Severity.OK is found(layout, f"filesystem: fuse, mounted on {through_fuse}").severity
    finding = found(layout, "the links are replaced one right after the other")
    assert (Severity.NOTE, "guarantee") == (finding.severity, finding.subject)
    assert [] == problems(layout)
    assert "scratch" not in os.listdir(layout.control)
