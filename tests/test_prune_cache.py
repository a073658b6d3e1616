"""What a prune removes of the package cache, and that no deploy is disturbed by that."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from archives import python, write_wheel
from damage import found
from lab import Hanging, Lab, children, wait_until_ended
from program import Ended, Program, run_installed
from targets import make_deployment, make_target
from tierctl.demo.channel import NOARCH, write_package
from tierctl.deploy import cachelock, numbering
from tierctl.doctor import Severity, leftovers
from tierctl.errors import Locked
from tierctl.fs import tree
from tierctl.fs.local import OsFileSystem
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.testing import MemoryFileSystem

pytest.importorskip("rattler")
pytest.importorskip("uv")

FS = OsFileSystem()
ALL = ("--keep", "0", "--older-than", "0d")


def prune(lab: Lab, *words: str) -> Ended:
    return run_installed("prune", "-t", lab.layout.top, *words)


def size_of(layout: Layout) -> int:
    """Return how many bytes deployments and cache take up; what has several names counts once."""
    blocks = {}
    for top in (layout.deployments, layout.cache):
        for directory, _, files in os.walk(top):
            for path in (directory, *(f"{directory}/{name}" for name in files)):
                status = os.lstat(path)
                blocks[status.st_ino] = status.st_blocks
    return sum(blocks.values()) * 512


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = Lab(tmp_path)
    text = os.urandom(1 << 18).hex()
    write_package(lab.channel, "big", "1.0", {"share/big": text}, subdir=NOARCH)
    return lab


STAGES: dict[str, tuple[str, str]] = {
    "what a channel lists": ("repodata.json", "repodata/.tmp"),
    "a conda package": (".tar.bz2", ".big-1.0-0"),
    "a wheel": (".whl", "uv/.tmp"),
}


class Halting(Hanging):
    """Sends most of a file, and then nothing until it is told to."""

    part = 0.9


def wanting(lab: Lab, url: str, stage: str) -> None:
    if stage != "a wheel":
        lab.want_from(url, "big")
        return
    python().write(lab.channel)
    write_wheel(lab.channel / "w", "wheely", "1.0")
    pip = f"pip: ['--find-links={url}/w/', '--no-index', 'wheely']"
    lab.write_environment(f"channels: ['{url}']\ndependencies: [python, {pip}]\n")


@pytest.fixture(params=STAGES)
def stopped(request: pytest.FixtureRequest, lab: Lab) -> Iterator["Stopped"]:
    """A deploy in the middle of a download, of each kind."""
    stage = request.param
    ending, leaves = STAGES[stage]
    with Halting(lab.channel, ending) as server:
        wanting(lab, server.url, stage)
        with subprocess.Popen(lab.command("dev1"), stderr=subprocess.DEVNULL) as process:
            try:
                server.wait_for_an_archive()
                yield Stopped(lab, process, server.go_on, leaves)
            finally:
                process.kill()


class Stopped:
    def __init__(
        self,
        lab: Lab,
        process: subprocess.Popen[bytes],
        go_on: Callable[[], None],
        leaves: str,
    ) -> None:
        self.lab, self.process, self.go_on, self._leaves = lab, process, go_on, leaves

    def half(self) -> list[str]:
        """Return what is half fetched, as paths in the cache."""
        head, _, name = self._leaves.rpartition("/")
        place = Path(self.lab.layout.cache, head)
        return [str(path) for path in place.glob(f"{name}*")] if place.is_dir() else []


class TestInterruptedDownloads:
    def test_what_a_killed_deploy_left_goes_and_its_bytes_are_told(self, stopped: Stopped) -> None:
        wait_for(stopped.half)
        workers = children(stopped.process.pid)
        stopped.process.send_signal(signal.SIGKILL)
        stopped.process.wait()
        for worker in workers:
            wait_until_ended(worker)
        dry = prune(stopped.lab, "-n", "--json").document
        assert stopped.half()
        before = size_of(stopped.lab.layout)
        done = prune(stopped.lab, "--json").document
        assert [] == stopped.half()
        assert before - size_of(stopped.lab.layout) == done["freed"] == dry["freed"] > 0
        assert done["cached"] == dry["cached"] != []
        assert "interrupted download" not in prune(stopped.lab).out

    def test_a_running_deploy_s_stay_and_it_ends_well(self, stopped: Stopped) -> None:
        wait_for(stopped.half)
        half = stopped.half()
        for words in (["-n"], []):
            done = prune(stopped.lab, *ALL, *words)
            assert (0, half) == (done.code, stopped.half())
            assert "the package cache stays as it is: a deploy is using it" in done.err
        stopped.go_on()
        assert 0 == stopped.process.wait(60)
        assert [] == stopped.half()
        assert ["1"] == stopped.lab.deployments


def wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class TestLocks:
    @pytest.fixture
    def layout(self, tmp_path: Path) -> Layout:
        """Production shows 2, staging 3; 1, an interrupted build and a package can go."""
        layout = make_target(tmp_path / "lab", green=2, blue=3, deployments=(1,))
        for number in (2, 3):
            record = Path(layout.packages_record(f"deployments/{number}"))
            record.write_text('{"schema": 1, "environments": {}}')
        os.makedirs(f"{layout.cache}/a-1-0")
        Path(f"{layout.cache}/a-1-0.lock").touch()
        os.mkdir(layout.control)
        make_deployment(layout, 9, finished=False)
        Path(layout.building(9)).touch()
        return layout

    def test_none_is_held_while_files_are_removed(
        self, layout: Layout, tierctl: Program, mocker: MockerFixture
    ) -> None:
        real, seen = tree.take_apart, []

        def removing(path: str) -> None:
            with (
                numbering.held(Target(FS, layout), 0),
                cachelock.shared(Target(FS, layout), 0),
                FS.lock(layout.lock, timeout=0),
            ):
                seen.append(os.path.basename(path))
                real(path)

        mocker.patch("tierctl.fs.tree.take_apart", removing)
        assert 0 == tierctl("prune", "-t", layout.top, *ALL).code
        names = [".1.going", ".9.going", ".a-1-0.going", ".a-1-0.lock.going"]
        assert names == sorted(seen)

    def test_nor_while_a_deploy_removes_what_an_interrupted_one_left(
        self, layout: Layout, mocker: MockerFixture
    ) -> None:
        def removing(path: str) -> None:
            with numbering.held(Target(FS, layout), 0):
                pass

        mocker.patch("tierctl.fs.tree.take_apart", side_effect=removing)
        assert [9] == numbering.remove_unfinished(Target(FS, layout), lock_timeout=0)
        assert not os.path.exists(f"{layout.deployments}/9")

    def test_names_are_taken_away_under_the_lock_of_where_they_are(
        self, layout: Layout, tierctl: Program, mocker: MockerFixture
    ) -> None:
        real = tree.retire

        def retiring(top: str, place: str = "") -> str:
            """Deploys take numbers while the cache is searched, which can take long."""
            assert FS.is_locked(layout.numbers) is top.startswith(layout.deployments)
            assert FS.is_locked(layout.using_cache)
            return real(top, place)

        mocker.patch("tierctl.fs.tree.retire", retiring)
        assert 0 == tierctl("prune", "-t", layout.top, *ALL).code
        assert [] == os.listdir(layout.cache)

    def test_what_a_killed_prune_had_taken_names_from_goes_with_the_next(
        self, layout: Layout, tierctl: Program, mocker: MockerFixture
    ) -> None:
        os.makedirs(f"{layout.cache}/uv/archive-v0/.tmpabcdef/x")
        mocker.patch("tierctl.fs.tree.take_apart", side_effect=KeyboardInterrupt)
        assert 130 == tierctl("prune", "-t", layout.top, *ALL).code
        left = [".a-1-0.going", ".a-1-0.lock.going", ".uv%archive-v0%.tmpabcdef.going", "uv"]
        assert left == sorted(os.listdir(layout.cache))
        assert [".1.going", ".9.going", "2", "3"] == sorted(os.listdir(layout.deployments))
        mocker.stopall()
        assert 0 == tierctl("prune", "-t", layout.top).code
        assert ["uv"] == os.listdir(layout.cache)
        assert ["2", "3"] == sorted(os.listdir(layout.deployments))

    def test_a_deploy_that_finds_no_end_of_a_prune_is_refused(self, layout: Layout) -> None:
        with cachelock.alone(Target(FS, layout)) as why_not:
            assert "" == why_not
            with (
                pytest.raises(Exception, match="locked by somebody who removes packages"),
                cachelock.shared(Target(FS, layout), 0),
            ):
                pytest.fail("it was let in")

    def test_nor_does_one_that_finds_the_numbers_taken_for_long_say_what_is_not_so(
        self, layout: Layout
    ) -> None:
        with (
            numbering.held(Target(FS, layout), 0),
            pytest.raises(Locked, match="by somebody who takes a number or removes deployments;"),
            numbering.held(Target(FS, layout), 0),
        ):
            pytest.fail("it was let in")

    def test_several_deploys_share_it(self, layout: Layout) -> None:
        with cachelock.shared(Target(FS, layout), 0), cachelock.shared(Target(FS, layout), 0):
            assert "a deploy is using it" == cachelock.why_kept(Target(FS, layout))
            with cachelock.alone(Target(FS, layout)) as why_not:
                assert "a deploy is using it" == why_not
        assert "" == cachelock.why_kept(Target(FS, layout))

    @pytest.mark.parametrize("dry", [[], ["-n"]])
    def test_a_lock_that_cannot_be_taken_is_not_said_to_be_a_deploy_s(
        self, layout: Layout, tierctl: Program, dry: list[str]
    ) -> None:
        os.mkdir(layout.using_cache)
        done = tierctl("prune", "-t", layout.top, *ALL, *dry)
        reason = f"whether a deploy is using it cannot be told: {layout.using_cache}: "
        assert f"the package cache stays as it is: {reason}" in " ".join(done.err.split())
        assert "a-1-0" in os.listdir(layout.cache)


@pytest.mark.parametrize("fs", [FS, MemoryFileSystem()], ids=["real", "memory"])
def test_shared_locks_keep_out_only_who_wants_it_alone(
    fs: OsFileSystem | MemoryFileSystem, tmp_path: Path
) -> None:
    path = f"{tmp_path}/lock" if fs is FS else "/lock"
    with fs.lock(path, timeout=0, shared=True):
        with fs.lock(path, timeout=0, shared=True), pytest.raises(OSError, match="unavailable"):
            fs.lock(path, timeout=0)
        with pytest.raises(OSError, match="unavailable"):  # the first one holds it still
            fs.lock(path, timeout=0)
    with fs.lock(path, timeout=0), pytest.raises(OSError, match="unavailable"):
        fs.lock(path, timeout=0, shared=True)


class TestFreed:
    def test_shared_files_count_when_all_their_names_go(self, lab: Lab) -> None:
        for tier in ("dev1", "dev2", "dev3"):
            lab.want("hello=1.0" if tier == "dev3" else "big")
            assert 0 == lab.deploy(tier).code
        first, second = (
            os.stat(lab.layout.within(f"deployments/{number}/conda/envs/tools/share/big"))
            for number in (1, 2)
        )
        assert first.st_ino == second.st_ino
        os.unlink(lab.layout.within("dev1"))
        self.require_agreement(lab, most=1 << 18)  # its names in the cache and in 2 stay
        os.unlink(lab.layout.within("dev2"))
        self.require_agreement(lab, least=1 << 19)

    def require_agreement(self, lab: Lab, *, least: int = 1, most: int = 1 << 40) -> None:
        dry = prune(lab, *ALL, "-n", "--json").document
        before = size_of(lab.layout)
        done = prune(lab, *ALL, "--json").document
        assert before - size_of(lab.layout) == done["freed"] == dry["freed"]
        assert least < done["freed"] < most
        assert dry["cached"] == done["cached"]

    @pytest.fixture
    def wheels(self, lab: Lab) -> Lab:
        """dev1 shows a version of a wheel, dev2 another one, dev3 another wheel."""
        python().write(lab.channel)
        for tier, name, version in (
            ("dev1", "wheely", "1.0"),
            ("dev2", "wheely", "2.0"),
            ("dev3", "other", "1.0"),
        ):
            write_wheel(lab.channel / "w", name, version)
            self.want_wheel(lab, f"{name}=={version}")
            assert 0 == lab.deploy(tier).code
        return lab

    def want_wheel(self, lab: Lab, spec: str) -> None:
        pip = f"pip: ['--find-links={(lab.channel / 'w').as_uri()}/', '--no-index', '{spec}']"
        lab.write_environment(
            f"channels: ['{lab.channel.as_uri()}']\ndependencies: [python, {pip}]\n"
        )

    def wheels_in(self, lab: Lab) -> list[str]:
        """Return the wheels that the cache holds, and those that uv finds there."""
        cache = Path(lab.layout.cache, "uv")
        unpacked = [path.name for path in cache.glob("archive-v*/*/*.dist-info")]
        noted = [
            f"{path.parent.name}-{path.name.partition('-')[0]}"
            for path in cache.glob("wheels-v*/*/*/*/*-*")
        ]
        return sorted([*unpacked, *set(noted)])

    def test_so_do_wheels(self, wheels: Lab) -> None:
        os.unlink(wheels.layout.within("dev1"))
        self.require_agreement(wheels, least=1 << 12)
        both = ["other-1.0", "other-1.0.dist-info", "wheely-2.0", "wheely-2.0.dist-info"]
        assert both == self.wheels_in(wheels)
        os.unlink(wheels.layout.within("dev2"))
        self.require_agreement(wheels, least=1 << 12)
        assert both[:2] == self.wheels_in(wheels)
        assert 0 == wheels.deploy("dev3", "--rebuild", "--offline").code

    def test_so_do_those_of_a_deployment_that_is_gone_already(self, wheels: Lab) -> None:
        """As a build that failed leaves them, or a prune that was killed."""
        os.unlink(wheels.layout.within("dev1"))
        tree.remove(wheels.layout.within("deployments/1"))
        (wheel,) = Path(wheels.layout.cache, "uv").glob("archive-v*/*/other.py")
        tree.remove(str(wheel.parent))
        assert ["other-1.0", "wheely-1.0"] == [
            name for name in self.wheels_in(wheels) if not name.endswith(("info", "2.0"))
        ]
        self.require_agreement(wheels, least=1 << 12)
        assert ["wheely-2.0", "wheely-2.0.dist-info"] == self.wheels_in(wheels)
        # What is fetched again lies in the cache as before.
        assert 0 == wheels.deploy("dev3", "--rebuild").code
        assert "other-1.0.dist-info" in self.wheels_in(wheels)

    def test_a_wheel_that_is_needed_stays_however_its_version_is_spelled(self, wheels: Lab) -> None:
        (listed,) = Path(wheels.layout.cache, "uv").glob("archive-v*/*/other-1.0.dist-info")
        listed.rename(listed.with_name("Other-01_0.dist-info"))
        prune(wheels, *ALL)
        assert "Other-01_0.dist-info" in self.wheels_in(wheels)


class TestManyDownloads:
    @pytest.fixture
    def layout(self, tmp_path: Path) -> Layout:
        layout = make_target(tmp_path / "lab")
        os.makedirs(f"{layout.cache}/repodata")
        os.mkdir(layout.control)
        with open(f"{layout.cache}/repodata/.tmpAbCd12", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, 1 << 20)
        return layout

    def test_doctor_lists_them_if_they_are_much(
        self, layout: Layout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(AssertionError):
            found(layout, "interrupted deploys left")
        monkeypatch.setattr(leftovers, "_MUCH_BYTES", 1 << 20)
        finding = found(layout, "interrupted deploys left")
        assert (Severity.NOTE, "prune") == (finding.severity, finding.command)
        assert "1.0 MB" in finding.text

    def test_not_while_a_deploy_runs(self, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(leftovers, "_MUCH_BYTES", 1 << 20)
        with cachelock.shared(Target(FS, layout), 0), pytest.raises(AssertionError):
            found(layout, "interrupted deploys left")


def test_a_wheel_s_own_files_are_no_downloads(tmp_path: Path, tierctl: Program) -> None:
    layout = make_target(tmp_path / "lab")
    kept = Path(layout.cache, "uv", "archive-v0", "x7", ".tmpabcdef")
    kept.mkdir(parents=True)
    with suppress(FileExistsError):
        os.mkdir(layout.control)
    assert [] == tierctl("prune", "-t", layout.top, "--json").document["cached"]
    assert kept.is_dir()
