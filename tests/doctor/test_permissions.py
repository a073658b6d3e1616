"""Doctor on permissions: what strangers could change is found; no repair opens or trusts more."""

import grp
import os
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from reporters import Heard
from samples import event
from targets import make_deployment, opened
from tierctl.change import bootstrap
from tierctl.doctor import Finding, Remedy, Severity, diagnose
from tierctl.doctor.repairs import Repair, repair
from tierctl.errors import Untrusted
from tierctl.fs.local import OsFileSystem
from tierctl.journal import intent
from tierctl.target import trust
from tierctl.target.groups import Group
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import Author
from tools import require_root

AUTHOR = Author("ada", "lab")
FS = OsFileSystem()
STRANGER = 54321


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A target as bootstrap makes it, for its owner alone."""
    return bootstrapped(tmp_path, None)


@pytest.fixture
def shared(tmp_path: Path) -> Layout:
    """A target that a group shares."""
    require_root()
    return bootstrapped(tmp_path, some_group())


def bootstrapped(directory: Path, group: Group | None) -> Layout:
    target = str(directory / "lab")
    bootstrap.create(FS, target, AUTHOR, group, lock_timeout=1)
    return Layout.of_target(target)


def some_group() -> Group:
    found = next(group for group in grp.getgrall() if group.gr_gid not in (0, os.getegid()))
    return Group(found.gr_name, found.gr_gid)


def fix(layout: Layout) -> list[Repair]:
    return repair(Target(FS, layout), AUTHOR, Heard(), lock_timeout=0)


def problems(layout: Layout) -> list[Finding]:
    return [f for f in diagnose(Target(FS, layout)) if f.severity is Severity.PROBLEM]


def mode(path: str) -> int:
    return os.stat(path).st_mode & 0o7777


class TestExposure:
    @pytest.mark.parametrize("name", ["profile.sh", "profile.fish", "condarc", "profile.d/x.sh"])
    def test_a_file_that_a_login_reads_is_not_for_everybody_to_write(
        self, layout: Layout, name: str
    ) -> None:
        opened(layout, 1)
        path = Path(layout.within("blue")) / "etc" / name
        path.touch()
        path.chmod(0o666)
        (finding,) = problems(layout)
        assert f"everybody may write to files in {path.parent}: {path.name}" == finding.text
        assert f"chmod o-w {path.parent}/*" == finding.advice

    @pytest.mark.parametrize("name", ["bin", "etc", "etc/profile.d"])
    def test_nor_is_a_directory_that_it_looks_into(self, layout: Layout, name: str) -> None:
        opened(layout, 1)
        path = Path(layout.within("blue")) / name
        path.chmod(0o777)
        assert [f"everybody may write to {path}"] == [f.text for f in problems(layout)]

    def test_private_tiers_are_looked_at_too(self, layout: Layout) -> None:
        make_deployment(layout, 7)
        (Path(layout.deployments) / "7").chmod(0o777)
        Path(layout.within("dev1")).symlink_to("deployments/7")
        path = layout.within("dev1")
        assert [f"everybody may write to {path}"] == [f.text for f in problems(layout)]

    def test_many_files_are_one_finding_and_one_directory_is_named_once(
        self, layout: Layout
    ) -> None:
        opened(layout, 1)
        top = Path(layout.within("green"))
        for number in range(9):
            (top / f"etc/profile.d/{number}.sh").touch()
            (top / f"etc/profile.d/{number}.sh").chmod(0o666)
        Path(layout.within("test1")).symlink_to("green")
        texts = [f.text for f in problems(layout) if "everybody" in f.text]
        assert 1 == len(texts)
        assert texts[0].endswith("/etc/profile.d: 0.sh, 1.sh, 2.sh and 6 more")

    def test_a_link_to_a_device_is_no_file_to_write_to(self, layout: Layout) -> None:
        (opened(layout, 1) / "etc/profile.d/off.sh").symlink_to("/dev/null")
        assert [] == problems(layout)


class TestStrangers:
    def test_somebody_elses_tierctl_directory_is_a_problem(self, layout: Layout) -> None:
        require_root()
        os.chown(layout.control, STRANGER, -1)
        (finding,) = problems(layout)
        assert f"{layout.control} belongs to {STRANGER}" == finding.text
        assert finding.advice.endswith(f"chown root {layout.control}")

    @pytest.mark.parametrize("name", ["blue", "deployments"])
    def test_somebody_elses_color_is_worth_knowing(self, layout: Layout, name: str) -> None:
        require_root()
        os.chown(layout.within(name), STRANGER, -1)
        notes = [f for f in diagnose(Target(FS, layout)) if f.severity is Severity.NOTE]
        assert [f"{layout.within(name)} belongs to {STRANGER}"] == [f.text for f in notes]

    def test_a_record_of_somebody_else_is_worth_knowing(self, shared: Layout) -> None:
        make_deployment(shared, 8)
        make_deployment(shared, 9)
        record = shared.deployment_record("deployments/9")
        os.chown(record, STRANGER, STRANGER)
        (found,) = [f for f in diagnose(Target(FS, shared)) if "the record of" in f.text]
        said = f"the record of deployment 9 is not trusted: {record} belongs to user {STRANGER}"
        assert (Severity.NOTE, said) == (found.severity, found.text)
        os.chown(record, STRANGER, os.stat(shared.control).st_gid)
        assert not any("the record of" in finding.text for finding in diagnose(Target(FS, shared)))

    def test_what_a_member_made_in_a_shared_target_is_no_strangers(self, shared: Layout) -> None:
        for path in (shared.control, shared.deployments, shared.within("blue")):
            os.chown(path, STRANGER, -1)
        assert not any("belongs to" in finding.text for finding in diagnose(Target(FS, shared)))


class TestSharing:
    @pytest.mark.parametrize("before", [0o700, 0o750, 0o755])
    def test_a_directory_is_opened_to_the_group_and_to_nobody_else(
        self, shared: Layout, before: int
    ) -> None:
        os.chmod(shared.deployments, before)
        fix(shared)
        assert before | 0o2070 == mode(shared.deployments)
        assert [] == problems(shared)

    @pytest.mark.parametrize("before", [0o600, 0o640, 0o644])
    def test_a_record_too(self, shared: Layout, before: int) -> None:
        os.chmod(shared.history, before)
        fix(shared)
        assert before | 0o060 == mode(shared.history)
        assert [] == problems(shared)

    @pytest.mark.parametrize("name", ["intent", "history"])
    @pytest.mark.parametrize("how", ["owner", "mode"])
    def test_no_repair_makes_a_strangers_record_trusted(
        self, shared: Layout, name: str, how: str
    ) -> None:
        path = getattr(shared, name)
        intent.write(Target(FS, shared), event(2))
        if how == "owner":
            os.chown(path, STRANGER, STRANGER)
        else:
            os.chmod(path, 0o606)
        before = os.stat(path)
        fix(shared)
        after = os.stat(path)
        assert (before.st_uid, before.st_gid, before.st_mode) == (
            after.st_uid,
            after.st_gid,
            after.st_mode,
        )
        assert any("not trusted" in finding.text for finding in problems(shared))
        with pytest.raises(Untrusted):
            trust.require(Target(FS, shared), path)

    def test_what_a_member_made_without_the_group_is_shared(
        self, shared: Layout, mocker: MockerFixture
    ) -> None:
        mocker.patch("pwd.getpwuid", return_value=mocker.Mock(pw_name="bob", pw_gid=STRANGER))
        mocker.patch("os.getgrouplist", return_value=[STRANGER, some_group().gid])
        os.chown(shared.history, STRANGER, STRANGER)
        fix(shared)
        assert some_group().gid == os.stat(shared.history).st_gid
        assert [] == problems(shared)

    @pytest.mark.parametrize("damage", ["lock", "directory"])
    def test_who_does_not_own_it_is_sent_to_the_owner(
        self, shared: Layout, mocker: MockerFixture, damage: str
    ) -> None:
        if damage == "lock":
            os.chmod(shared.lock, 0o666)
        else:
            os.chmod(shared.cache, 0o755)
        mocker.patch("os.geteuid", return_value=STRANGER)
        (finding,) = problems(shared)
        assert (None, True) == (finding.remedy, finding.advice.startswith("Ask root to "))

    def test_who_owns_it_is_offered_the_repair(self, shared: Layout, mocker: MockerFixture) -> None:
        os.chown(shared.cache, STRANGER, -1)
        os.chmod(shared.cache, 0o755)
        mocker.patch("os.geteuid", return_value=STRANGER)
        assert [Remedy.SHARE] == [finding.remedy for finding in problems(shared)]
