"""What a filesystem guarantees is tried out, and told."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from damage import (
    WithoutExchange,
    bootstrapped,
    faults,
    found,
    problems,
    replace,
    scratch_with_files,
    untimed,
)
from targets import listing
from tierctl.doctor import Severity, diagnose
from tierctl.fs import mounts
from tierctl.fs.local import OsFileSystem
from tierctl.fs.mounts import Mount
from tierctl.fs.protocol import Entry, FileSystem, LockUnavailable, exists
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tools import missing, require_root, require_tool


class Shifted(OsFileSystem):
    """A file server whose clock is wrong."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def entry(self, path: str, *, follow: bool = False) -> Entry:
        found = super().entry(path, follow=follow)
        return found._replace(modified=found.modified + self._seconds)


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
        mocker.patch("tierctl.fs.mounts.find", return_value=Mount("nfs4", "/lab", ("rw",)))
        assert Severity.OK is found(layout, "filesystem: nfs4, mounted on /lab").severity

    def test_a_read_only_mount_is_a_note(self, layout: Layout, mocker: MockerFixture) -> None:
        mocker.patch("tierctl.fs.mounts.find", return_value=Mount("nfs4", "/lab", ("ro",)))
        assert Severity.NOTE is found(layout, "it is mounted read-only here").severity

    @pytest.mark.parametrize("option", ["nolock", "localflock", "local_lock=all"])
    def test_locks_on_this_host_only_are_a_problem(
        self, layout: Layout, mocker: MockerFixture, option: str
    ) -> None:
        mocker.patch("tierctl.fs.mounts.find", return_value=Mount("nfs", "/lab", ("rw", option)))
        finding = found(layout, f"it is mounted with {option}: locks hold on this host only")
        assert (Severity.PROBLEM, True) == (finding.severity, bool(finding.advice))

    def test_where_mounts_are_not_told_the_rest_is(
        self, layout: Layout, mocker: MockerFixture
    ) -> None:
        mocker.patch("tierctl.fs.mounts.find", return_value=None)
        assert Severity.OK is found(layout, "the links are swapped in one step").severity

    def test_a_table_of_mounts_that_says_nothing_tells_of_none(self, tmp_path: Path) -> None:
        (tmp_path / "mountinfo").touch()
        assert mounts.find(str(tmp_path), str(tmp_path / "mountinfo")) is None

    @pytest.mark.parametrize(
        "fs", [WithoutExchange(), PretendingToExchange()], ids=["without", "pretending"]
    )
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
        before = untimed(listing(layout.top))
        for fs in faults(OsFileSystem(), errno.EIO):
            diagnose(Target(fs, layout))
            diagnose(Target(OsFileSystem(), layout))
            assert before == untimed(listing(layout.top))

    def test_only_removing_it_can_fail_to_remove_the_scratch(self, layout: Layout) -> None:
        left_by = set()
        for fs in faults(OsFileSystem(), errno.EIO):
            diagnose(Target(fs, layout))
            if exists(OsFileSystem(), layout.scratch):
                left_by.add(fs.trace[fs.fault.at - 1].verb)
                diagnose(Target(OsFileSystem(), layout))
        assert {"entry", "remove"} == left_by

    def test_a_failing_probe_is_a_problem_with_advice(self, layout: Layout) -> None:
        for fs in faults(OsFileSystem(), errno.EIO):
            findings = diagnose(Target(fs, layout))
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
        diagnose(Target(OsFileSystem(), layout))
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
        before = listing(layout.top)
        diagnose(Target(OsFileSystem(), layout))
        assert before == listing(layout.top)


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
