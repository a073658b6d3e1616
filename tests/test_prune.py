"""What a prune keeps and removes, and that it leaves nothing half."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from program import Program
from targets import make_deployment, make_target
from tierctl.deploy import numbering
from tierctl.fs.local import OsFileSystem
from tierctl.prune import processes
from tierctl.prune.retention import DAY_S, Needs, Policy, Verdict, judge
from tierctl.target.paths import Layout
from tierctl.target.target import Target

NOTHING = Needs({}, None, {}, frozenset(), {})
OLD = 100 * DAY_S
ALL = ("--keep", "0", "--older-than", "0d")


class TestJudging:
    def kept(self, needs: Needs, policy: Policy, ages: dict[int, float]) -> list[int]:
        return [verdict.number for verdict in judge(ages, needs, policy) if verdict.reason]

    @pytest.mark.parametrize(
        ("needs", "reason"),
        [
            (NOTHING._replace(shown={2: "staging"}), "staging shows it"),
            (NOTHING._replace(way_back=2), "a rollback would return to it"),
            (NOTHING._replace(used={2: "process 7"}), "process 7 uses it"),
            (NOTHING._replace(built=frozenset({2})), "its deploy has not ended"),
            (NOTHING._replace(foreign={2: "ada"}), "only its owner (ada) or root can remove it"),
        ],
    )
    def test_what_is_needed_stays_however_old(self, needs: Needs, reason: str) -> None:
        verdicts = judge({1: OLD, 2: OLD, 3: OLD}, needs, Policy(0, 30))
        assert [Verdict(3, ""), Verdict(2, reason), Verdict(1, "")] == verdicts

    def test_the_newest_stay(self) -> None:
        assert [12, 11] == self.kept(NOTHING, Policy(2, 30), dict.fromkeys((2, 11, 12), OLD))

    def test_what_is_young_stays(self) -> None:
        ages = {1: OLD, 2: 29 * DAY_S, 3: 31 * DAY_S}
        assert [2] == self.kept(NOTHING, Policy(0, 30), ages)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Production shows 2, staging 3; 1, 4 and 5 are there besides."""
    return make_target(tmp_path / "lab", green=2, blue=3, deployments=(1, 4, 5))


def there(layout: Layout) -> list[str]:
    return sorted(os.listdir(layout.deployments))


class TestPruning:
    def test_only_what_nobody_needs_goes(self, layout: Layout, tierctl: Program) -> None:
        done = tierctl("prune", "-t", layout.top, *ALL)
        assert (0, ["2", "3"]) == (done.code, there(layout))
        assert "deployment 5: removed\n" in done.out
        assert "deployment 3: kept: staging shows it\n" in done.out

    def test_what_fails_before_it_begins_is_told_as_a_prune(
        self, layout: Layout, tierctl: Program, mocker: MockerFixture
    ) -> None:
        error = OSError(errno.EIO, "bad disk", layout.control)
        mocker.patch("tierctl.journal.store.require_writable", side_effect=error)
        done = tierctl("prune", "-t", layout.top)
        told = f"Error: prune failed, nothing was changed: {layout.control}: bad disk\n"
        assert (1, True) == (done.code, told in done.err), done.err

    def test_without_deployments_there_is_nothing_to_do(
        self, tmp_path: Path, tierctl: Program
    ) -> None:
        layout = make_target(tmp_path / "by hand")
        done = tierctl("prune", "-t", layout.top, *ALL)
        assert (0, "removed: 0 deployments, 0 cached packages, 0 B\n") == (done.code, done.out)

    def test_by_default_it_is_careful(self, layout: Layout, tierctl: Program) -> None:
        assert 0 == tierctl("prune", "-t", layout.top).code
        assert ["1", "2", "3", "4", "5"] == there(layout)

    def test_a_private_tier_s_link_protects_however_it_is_spelled(
        self, layout: Layout, tierctl: Program
    ) -> None:
        os.symlink(f"{layout.deployments}/5", layout.within("dev1"))
        os.symlink("./deployments/../deployments/4", layout.within("anything"))
        tierctl("prune", "-t", layout.top, *ALL)
        assert ["2", "3", "4", "5"] == there(layout)

    @pytest.mark.parametrize("dry", [[], ["-n"]])
    def test_where_a_color_is_damaged_nothing_goes(
        self, layout: Layout, tierctl: Program, dry: list[str]
    ) -> None:
        """What it showed is what somebody will point it to again."""
        os.unlink(layout.within("green"))
        done = tierctl("prune", "-t", layout.top, *ALL, *dry)
        assert (1, ["1", "2", "3", "4", "5"]) == (done.code, there(layout))
        assert "green is missing" in done.err

    def test_a_link_of_another_kind_that_leads_nowhere_one_may_look_is_nobodys_concern(
        self, layout: Layout, tierctl: Program
    ) -> None:
        os.symlink("x" * 300, layout.within("notes"))  # ENAMETOOLONG: no look behind it succeeds
        tierctl("prune", "-t", layout.top, *ALL)
        assert ["2", "3"] == there(layout)

    def test_the_way_back_stays(self, layout: Layout, tierctl: Program) -> None:
        tierctl("promote-staging", "-t", layout.top)
        os.unlink(layout.within("green"))
        os.symlink("deployments/5", layout.within("green"))
        tierctl("prune", "-t", layout.top, *ALL)
        assert ["2", "3", "5"] == there(layout)
        assert 0 == tierctl("rollback", "-t", layout.top).code

    def test_a_process_in_it_protects_it(self, layout: Layout, tierctl: Program) -> None:
        place = f"{layout.deployments}/4"
        with subprocess.Popen(["sleep", "60"], cwd=place) as running:
            try:
                done = tierctl("prune", "-t", layout.top, *ALL)
            finally:
                running.kill()
        assert (["2", "3", "4"], True) == (there(layout), f"process {running.pid} uses" in done.out)

    def test_what_is_being_built_stays(self, layout: Layout, tierctl: Program) -> None:
        fs = OsFileSystem()
        with numbering.reserved(Target(fs, layout), lock_timeout=5) as (number, _):
            os.rmdir(f"{layout.deployments}/{number}")
            make_deployment(layout, number)
            tierctl("prune", "-t", layout.top, *ALL)
            assert ["2", "3", "6"] == there(layout)

    def test_what_was_shown_not_long_ago_stays(self, layout: Layout, tierctl: Program) -> None:
        for directory, _, names in os.walk(layout.deployments):
            for name in names:
                os.utime(f"{directory}/{name}", (1, 1))
        tierctl("promote-staging", "-t", layout.top)
        os.unlink(layout.within("green"))
        os.symlink("deployments/5", layout.within("green"))
        tierctl("promote-staging", "-t", layout.top)
        os.unlink(layout.within("blue"))
        os.symlink("deployments/4", layout.within("blue"))
        tierctl("promote-staging", "-t", layout.top)
        tierctl("promote-staging", "-t", layout.top)
        tierctl("prune", "-t", layout.top, "--keep", "0")
        assert ["2", "3", "4", "5"] == there(layout)

    def test_what_an_interrupted_change_needs_stays(
        self, layout: Layout, tierctl: Program, mocker: MockerFixture
    ) -> None:
        tierctl("promote-staging", "-t", layout.top)
        os.unlink(layout.within("green"))
        os.symlink("deployments/5", layout.within("green"))
        mocker.patch("tierctl.change.change.switch", side_effect=KeyboardInterrupt)
        tierctl("rollback", "--to", "1", "-t", layout.top)
        mocker.patch("tierctl.change.change.finish_interrupted")
        tierctl("prune", "-t", layout.top, *ALL)
        assert ["1", "2", "3", "5"] == there(layout)

    def test_its_number_is_not_given_again(self, layout: Layout, tierctl: Program) -> None:
        tierctl("prune", "-t", layout.top, *ALL)
        assert ["2", "3"] == there(layout)
        with numbering.reserved(Target(OsFileSystem(), layout), lock_timeout=5) as (number, _):
            assert 6 == number

    def test_what_an_interrupted_deploy_left_goes(self, layout: Layout, tierctl: Program) -> None:
        os.mkdir(layout.control)
        make_deployment(layout, 9, finished=False)
        Path(layout.building(9)).touch()
        tierctl("prune", "-t", layout.top)
        assert ["1", "2", "3", "4", "5"] == there(layout)
        assert not os.path.exists(layout.building(9))

    def test_a_build_without_a_record_is_not_touched(
        self, layout: Layout, tierctl: Program
    ) -> None:
        make_deployment(layout, 9, finished=False)
        tierctl("prune", "-t", layout.top, *ALL)
        assert ["2", "3", "9"] == there(layout)

    def test_a_dry_run_says_the_same_and_removes_nothing(
        self, layout: Layout, tierctl: Program
    ) -> None:
        dry = tierctl("prune", "-t", layout.top, *ALL, "-n", "--json").document
        assert ["1", "2", "3", "4", "5"] == there(layout)
        assert not os.path.exists(layout.control)
        done = tierctl("prune", "-t", layout.top, *ALL, "--json").document
        assert ([5, 4, 1], dry["kept"], dry["freed"]) == (
            done["removed"],
            done["kept"],
            done["freed"],
        )
        assert done["freed"] > 0

    def test_one_that_was_killed_is_finished_by_the_next(
        self, layout: Layout, tierctl: Program, mocker: MockerFixture
    ) -> None:
        mocker.patch("os.rmdir", side_effect=KeyboardInterrupt)
        assert 130 == tierctl("prune", "-t", layout.top, *ALL).code
        assert [".1.going", ".4.going", ".5.going", "2", "3"] == there(layout)
        mocker.stopall()
        assert 0 == tierctl("prune", "-t", layout.top).code
        assert ["2", "3"] == there(layout)

    def test_the_policy_of_the_target_counts(self, layout: Layout, tierctl: Program) -> None:
        os.mkdir(layout.control)
        Path(layout.config).write_text("keep = 1\ndays = 0\n")
        tierctl("prune", "-t", layout.top)
        assert ["2", "3", "5"] == there(layout)

    @pytest.mark.parametrize("age", ["x", "-1", "1h", ""])
    def test_an_age_that_is_none_is_refused(
        self, layout: Layout, tierctl: Program, age: str
    ) -> None:
        assert 2 == tierctl("prune", "-t", layout.top, "--older-than", age).code


class TestCache:
    def test_packages_that_no_deployment_holds_go(self, layout: Layout, tierctl: Program) -> None:
        held = {"name": "a", "version": "1", "build": "0", "channel": "c"}
        for number in (2, 3):
            record = Path(layout.packages_record(f"deployments/{number}"))
            record.write_text(
                f'{{"schema": 1, "environments": {{"x": [{held!r}]}}}}'.replace("'", '"')
            )
        for name in ("a-1-0", "b-1-0"):
            os.makedirs(f"{layout.cache}/{name}/info")
            Path(f"{layout.cache}/{name}.lock").touch()
        Path(f"{layout.cache}/c-1-0.conda").touch()
        os.mkdir(f"{layout.cache}/repodata")
        os.makedirs(f"{layout.cache}/.a-1-0x9YzAb/info")
        Path(f"{layout.cache}/.cache.lock").touch()
        done = tierctl("prune", "-t", layout.top, "--json").document
        assert [".a-1-0x9YzAb"] == done["cached"]  # 1, 4 and 5 do not say what they hold
        done = tierctl("prune", "-t", layout.top, *ALL, "--json").document
        assert ["b-1-0", "c-1-0.conda"] == done["cached"]
        left = [".cache.lock", "a-1-0", "a-1-0.lock", "repodata"]
        assert left == sorted(os.listdir(layout.cache))


class TestProcesses:
    def test_an_environment_counts(self, layout: Layout) -> None:
        environment = {"PATH": f"/usr/bin:{layout.deployments}/4/bin"}
        with subprocess.Popen(["/bin/sleep", "60"], env=environment) as running:
            time.sleep(0.1)
            seen = processes.uses(layout.deployments)
            running.kill()
        assert {4: f"process {running.pid}"} == seen.by_number

    def test_a_library_that_is_mapped_counts(self, layout: Layout) -> None:
        library = Path(layout.deployments, "5", "library with a space")
        library.write_bytes(bytes(4096))
        script = (
            "import mmap, sys\n"
            "with open(sys.argv[1], 'rb') as file:\n"
            "    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n"
            "print('mapped', flush=True)\n"
            "sys.stdin.read()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script, library], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as running:
            assert running.stdout is not None
            running.stdout.readline()
            seen = processes.uses(layout.deployments)
            running.kill()
        assert {5: f"process {running.pid}"} == seen.by_number
