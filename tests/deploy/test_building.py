"""Building a deployment: its number, what is in it, and what is left when it fails."""

import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from os import path as paths
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

import archives
from archives import PLACEHOLDER
from hostile import Hostile
from targets import make_deployment, make_target
from tierctl.demo.channel import SUBDIR, write_package
from tierctl.deploy import build, definitions, numbering, records
from tierctl.deploy.engine import client
from tierctl.deploy.engine.client import Engine
from tierctl.deploy.engine.failures import EngineFailed, Incomplete
from tierctl.deploy.engine.progress import Step
from tierctl.deploy.wanted import Build
from tierctl.errors import Locked
from tierctl.fs import sealing, tree
from tierctl.fs.listing import Directory, Tree, Whole
from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import exists, read
from tierctl.fs.tree import Held
from tierctl.journal import history
from tierctl.journal.events import EventKind, new_event
from tierctl.rotation.state import Color, Content, State
from tierctl.rotation.trail import Past
from tierctl.target import packages
from tierctl.target.packages import Package
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import Author
from tierctl.testing import MemoryFileSystem
from tools import as_user, require_root

pytest.importorskip("rattler")

FS = OsFileSystem()
ADA = Author("ada", "lab", "numpy 2")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return make_target(tmp_path / "my lab")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Definitions of one environment and a command of their own."""
    top = tmp_path / "definitions"
    channel = tmp_path / "channel"
    write_package(channel, "base", "1", {"share/base": "base"})
    write_package(
        channel, "hello", "1.0", {"bin/hello": "#!/bin/sh\necho hello\n"}, depends=["base"]
    )
    (top / "environments").mkdir(parents=True)
    (top / "environments" / "tools.yaml").write_text(
        f"channels: ['{channel.as_uri()}']\ndependencies: [hello]\n"
    )
    (top / "tier" / "bin").mkdir(parents=True)
    (top / "tier" / "bin" / "greet").write_text("#!/bin/sh\nhello\n")
    (top / "tier" / "bin" / "greet").chmod(0o755)
    return top


@pytest.fixture
def started(layout: Layout) -> Iterator[Engine]:
    with client.started(layout.cache) as running:
        yield running


def mark(step: Step, what: str) -> None:
    """Hear of a step, and do nothing."""


def prepared(repository: Path, running: Engine) -> Build:
    found = definitions.read(str(repository), SUBDIR, running.wrong_spec)
    return Build(found, running.solve(found.environments, SUBDIR), ADA)


def deploy(layout: Layout, repository: Path, running: Engine) -> int:
    wanted = prepared(repository, running)
    with numbering.reserved(Target(FS, layout), lock_timeout=5) as (number, _):
        build.build(Target(FS, layout), number, wanted, running, mark)
    return number


class TestBuilding:
    def test_nobody_else_reaches_an_environment_before_it_is_sealed(
        self, layout: Layout, repository: Path, started: Engine, mocker: MockerFixture
    ) -> None:
        """Packages may let the group write: somebody could add a name that no package lists."""
        modes = []
        install = started.install

        def watched(prefixes: dict[str, str], *rest: Any) -> str:
            done = install(prefixes, *rest)
            modes.append(os.stat(paths.dirname(prefixes["tools"])).st_mode & 0o777)
            return done

        mocker.patch.object(started, "install", watched)
        number = deploy(layout, repository, started)
        environments = layout.within(f"deployments/{number}/conda/envs")
        assert [0o700, 0o555] == [*modes, os.stat(environments).st_mode & 0o777]

    def test_what_cannot_be_closed_in_the_end_is_not_finished(
        self, layout: Layout, repository: Path, started: Engine, mocker: MockerFixture
    ) -> None:
        seal = sealing.seal

        def fails_on_records(held: Held, path: str = "", **options: str) -> Tree:
            if path == "meta":
                raise OSError(errno.EIO, "failing disk")
            return seal(held, path, **options)

        mocker.patch.object(sealing, "seal", fails_on_records)
        with pytest.raises(OSError, match="failing disk"):
            deploy(layout, repository, started)
        assert [] == os.listdir(layout.deployments)

    def test_what_is_built_can_be_loaded_and_run(
        self, layout: Layout, repository: Path, started: Engine
    ) -> None:
        number = deploy(layout, repository, started)
        profile = f"{layout.within(f'deployments/{number}')}/etc/profile.sh"
        done = subprocess.run(
            ["bash", "-c", '. "$0" && greet && echo "$IAC_DEPLOYMENT"', profile],
            capture_output=True,
            text=True,
        )
        assert (0, f"hello\n{number}\n", "") == (done.returncode, done.stdout, done.stderr)

    def test_its_records_say_what_it_is(
        self, layout: Layout, repository: Path, started: Engine
    ) -> None:
        directory = f"deployments/{deploy(layout, repository, started)}"
        record = json.loads(Path(layout.deployment_record(directory)).read_text())
        assert ("ada", "lab", "numpy 2") == (record["user"], record["host"], record["reason"])
        assert (1, str(repository), {"tools": 2}) == (
            record["number"],
            record["definitions"]["path"],
            record["environments"],
        )
        found = packages.read(Target(FS, layout), directory)
        assert ["base", "hello"] == [package.name for package in found["tools"]]

    def test_nobody_can_change_it_and_everyone_can_read_it(
        self, layout: Layout, repository: Path, started: Engine
    ) -> None:
        top = Path(layout.within(f"deployments/{deploy(layout, repository, started)}"))
        for path in [top, *top.rglob("*")]:
            mode = path.stat().st_mode & 0o777
            assert (0o555 == mode) if path.is_dir() else (mode & 0o444 == 0o444), path

    def test_a_second_one_shares_its_files_with_the_first(
        self, layout: Layout, repository: Path
    ) -> None:
        numbers = []
        for _ in range(2):
            with client.started(layout.cache) as running:
                numbers.append(deploy(layout, repository, running))
        assert [1, 2] == numbers
        file = "conda/envs/tools/share/base"
        one, two = (os.stat(f"{layout.within(f'deployments/{n}')}/{file}") for n in numbers)
        assert one.st_ino == two.st_ino


class TestFailing:
    def test_one_that_fails_leaves_nothing(
        self, layout: Layout, repository: Path, started: Engine
    ) -> None:
        wanted = prepared(repository, started)
        for archive in (repository.parent / "channel" / SUBDIR).glob("hello*"):
            archive.write_bytes(b"rubbish")
        with (
            numbering.reserved(Target(FS, layout), lock_timeout=5) as (number, _),
            pytest.raises(EngineFailed),
        ):
            build.build(Target(FS, layout), number, wanted, started, mark)
        assert [] == os.listdir(layout.deployments)
        assert not any(name.startswith("building") for name in os.listdir(layout.control))

    def test_one_that_was_killed_is_removed_by_the_next(
        self, layout: Layout, repository: Path, started: Engine
    ) -> None:
        script = (
            "import os, signal, sys\n"
            "from tierctl.deploy import numbering\n"
            "from tierctl.fs import sealing, tree\n"
            "from tierctl.fs.local import OsFileSystem\n"
            "from tierctl.target.paths import Layout\n"
            "from tierctl.target.target import Target\n"
            "layout = Target(OsFileSystem(), Layout(sys.argv[1]))\n"
            "with numbering.reserved(layout, lock_timeout=5) as (number, _):\n"
            "    top = layout.within(f'deployments/{number}')\n"
            "    os.mkdir(top + '/conda')\n"
            "    with tree.held(top) as held:\n"
            "        sealing.seal(held)\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        subprocess.run([sys.executable, "-c", script, layout.infrastructure])
        assert ["1"] == os.listdir(layout.deployments)
        assert [1] == numbering.abandoned(Target(FS, layout))
        assert [1] == numbering.remove_unfinished(Target(FS, layout), lock_timeout=5)
        assert 1 == deploy(layout, repository, started)

    def test_no_number_is_taken_while_it_cannot_be_read_which_were(
        self, layout: Layout, mocker: MockerFixture
    ) -> None:
        mocker.patch.object(OsFileSystem, "load", side_effect=OSError(errno.EIO, "failing disk"))
        with (
            pytest.raises(OSError, match="failing disk"),
            numbering.reserved(Target(FS, layout), lock_timeout=5),
        ):
            pytest.fail("a number was taken")

    def test_one_s_own_that_cannot_be_opened_is_not_taken_for_another_s(
        self, layout: Layout, mocker: MockerFixture
    ) -> None:
        error = PermissionError(errno.EACCES, "refused")
        with numbering.reserved(Target(FS, layout), lock_timeout=5):
            mocker.patch.object(OsFileSystem, "is_locked", side_effect=error)
            with pytest.raises(PermissionError, match="refused"):
                numbering.abandoned(Target(FS, layout))

    def test_one_that_is_being_built_is_left_alone(self, layout: Layout) -> None:
        with numbering.reserved(Target(FS, layout), lock_timeout=5) as (one, _):
            assert [] == numbering.remove_unfinished(Target(FS, layout), lock_timeout=5)
            with numbering.reserved(Target(FS, layout), lock_timeout=5) as (two, _):
                assert (1, 2) == (one, two)
                assert [] == numbering.abandoned(Target(FS, layout))
        assert [] == os.listdir(layout.deployments)

    def test_one_that_was_made_by_hand_is_left_alone(self, layout: Layout) -> None:
        make_deployment(layout, 7, finished=False)
        assert [] == numbering.remove_unfinished(Target(FS, layout), lock_timeout=5)
        with numbering.reserved(Target(FS, layout), lock_timeout=5) as (number, _):
            assert 8 == number
        assert ["7"] == os.listdir(layout.deployments)

    def test_a_removal_that_was_killed_is_finished(
        self, layout: Layout, mocker: MockerFixture
    ) -> None:
        mocker.patch("os.rmdir", side_effect=KeyboardInterrupt)
        with (
            pytest.raises(KeyboardInterrupt),
            numbering.reserved(Target(FS, layout), lock_timeout=5),
        ):
            pass
        assert [".1.going"] == os.listdir(layout.deployments)
        mocker.stopall()
        assert [1] == numbering.remove_unfinished(Target(FS, layout), lock_timeout=5)
        assert [] == os.listdir(layout.deployments)
        assert [] == numbering.abandoned(Target(FS, layout))

    def test_one_that_was_finished_and_killed_then_stays(
        self, layout: Layout, repository: Path, started: Engine
    ) -> None:
        number = deploy(layout, repository, started)
        Path(layout.building(number)).touch()
        assert [number] == numbering.remove_unfinished(Target(FS, layout), lock_timeout=5)
        assert [str(number)] == os.listdir(layout.deployments)
        assert not Path(layout.building(number)).exists()

    def test_ctrl_c_leaves_nothing(self, layout: Layout) -> None:
        def interrupted() -> None:
            with numbering.reserved(Target(FS, layout), lock_timeout=5) as (number, _):
                Path(layout.within(f"deployments/{number}/half")).touch()
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert [] == os.listdir(layout.deployments)

    def test_what_cannot_be_removed_is_no_failure_of_what_is_built(self, layout: Layout) -> None:
        class Stuck(OsFileSystem):
            def remove(self, path: str) -> None:
                raise OSError(errno.EIO, os.strerror(errno.EIO), path)

        with numbering.reserved(Target(Stuck(), layout), lock_timeout=5) as (number, _):
            make_deployment(layout, number)
        assert [number] == numbering.remove_unfinished(Target(FS, layout), lock_timeout=5)
        assert [str(number)] == os.listdir(layout.deployments)
        assert not Path(layout.building(number)).exists()


class TestNumbers:
    def test_the_next_one_follows_the_highest(self, layout: Layout) -> None:
        make_deployment(layout, 41)
        with numbering.reserved(Target(FS, layout), lock_timeout=5) as (number, _):
            assert 42 == number

    def test_one_that_was_removed_is_not_given_again(self, layout: Layout) -> None:
        state = State(Color.BLUE, Color.GREEN, Content("deployments/50"), Content("green"))
        past = Past((Content("deployments/49"),), (51,))
        os.mkdir(layout.control)
        history.append(Target(FS, layout), new_event(EventKind.ROLLBACK, ADA, state, state, past))
        with numbering.reserved(Target(FS, layout), lock_timeout=5) as (number, _):
            assert 52 == number

    def test_one_that_is_being_removed_is_known_after_a_power_cut(self) -> None:
        memory = MemoryFileSystem()
        memory.make_directory("/lab", 0o755)
        layout = make_target("/lab", deployments=(50,), fs=memory)
        memory.make_directory(layout.control, 0o755)
        for path in ("/", "/lab", layout.infrastructure, layout.control):
            memory.sync(path)
        numbering.remember(Target(memory, layout), [])
        assert not exists(memory, layout.highest)
        numbering.remember(Target(memory, layout), [50])
        memory.cut_power()
        assert b"50\n" == read(memory, layout.highest)

    def test_whatever_has_one_keeps_it(self, layout: Layout) -> None:
        os.mkdir(layout.deployments)
        os.symlink("deployments/8", f"{layout.deployments}/7")
        with numbering.reserved(Target(FS, layout), lock_timeout=5) as (number, _):
            assert 8 == number

    def test_one_before_it_is_kept_for_a_plain_directory_that_may_give_way(
        self, layout: Layout
    ) -> None:
        with numbering.reserved(Target(FS, layout), lock_timeout=5, spare=True) as one:
            with numbering.reserved(Target(FS, layout), lock_timeout=5, spare=True) as two:
                assert ((2, 1), (4, 3)) == (one, two)
            assert ["2"] == os.listdir(layout.deployments)

    def test_none_is_kept_where_colors_are_deployments(self, tmp_path: Path) -> None:
        layout = make_target(tmp_path / "lab", blue=41, green=42)
        with numbering.reserved(Target(FS, layout), lock_timeout=5, spare=True) as reserved:
            assert (43, None) == reserved

    def test_whoever_takes_one_excludes_others(self, layout: Layout) -> None:
        os.mkdir(layout.control)
        with (
            FS.lock(layout.numbers, timeout=0),
            pytest.raises(Locked),
            numbering.reserved(Target(FS, layout), lock_timeout=0),
        ):
            pytest.fail("both have a number")

    def test_in_a_group_s_target_the_next_member_goes_on(self, tmp_path: Path) -> None:
        require_root()
        layout = make_target(tmp_path / "shared")
        os.mkdir(layout.control)
        for path in (layout.infrastructure, layout.control):
            os.chown(path, 10051, 10053)
            os.chmod(path, 0o2775)
        for uid in (10051, 10052):
            script = (
                "import os, sys\n"
                "from tierctl.deploy import numbering\n"
                "from tierctl.fs.local import OsFileSystem\n"
                "from tierctl.target.paths import Layout\n"
                "from tierctl.target.target import Target\n"
                "layout = Target(OsFileSystem(), Layout(sys.argv[1]))\n"
                "with numbering.reserved(layout, lock_timeout=5) as (number, _):\n"
                "    print(number, oct(os.stat(layout.within('deployments/1')).st_mode))\n"
            )
            command = [*as_user(uid, 10053), sys.executable, "-c", script, layout.infrastructure]
            done = subprocess.run(command, capture_output=True, text=True)
            # Nobody else puts a link there that the build would go through.
            assert (0, "1 0o42755\n", "") == (done.returncode, done.stdout, done.stderr)
        assert 0o2775 == os.stat(layout.deployments).st_mode & 0o7777


HELD = (Package("base", "1", channel="c"), Package("hello", "1.0", channel="c"))


def verify(running: Engine, prefix: str, packages: tuple[Package, ...] = HELD) -> None:
    """Seal and verify a prefix; then open it for changes again."""
    top = str(Path(prefix).parents[2])
    with tree.held(top) as held:
        running.seal(held)
        for directory, _, _ in os.walk(top):
            os.chmod(directory, 0o755)
        Path(top, "meta", "manifest").unlink(missing_ok=True)
        rest = Whole({"meta": Directory(stat.S_IFDIR | 0o555, {})}, {})
        records.sha256s(held, {"tools": "conda/envs/tools"})
        running.verify(held, {"tools": prefix}, {"tools": packages}, rest)


class TestVerifying:
    @pytest.fixture
    def prefix(self, layout: Layout, repository: Path, started: Engine, tmp_path: Path) -> str:
        prepared(repository, started)
        prefix = tmp_path / "41" / "conda" / "envs" / "tools"
        prefix.parent.mkdir(parents=True)
        (tmp_path / "41" / "meta").mkdir()
        started.install({"tools": str(prefix)}, {})
        verify(started, str(prefix))
        return str(prefix)

    def test_a_file_that_is_missing_is_named(self, started: Engine, prefix: str) -> None:
        os.unlink(f"{prefix}/share/base")
        with pytest.raises(Incomplete, match="share/base is missing"):
            verify(started, prefix)

    def test_a_file_that_is_cut_is_named(self, started: Engine, prefix: str) -> None:
        os.unlink(f"{prefix}/share/base")
        Path(prefix, "share/base").write_text("b")
        with pytest.raises(Incomplete, match="share/base has 1 bytes instead of 4"):
            verify(started, prefix)

    def test_of_a_file_that_two_packages_bring_that_of_the_later_one_is_verified(
        self, layout: Layout, repository: Path, tmp_path: Path
    ) -> None:
        files = {"bin/hello": "#!/bin/sh\necho hello\n", "share/base": "greeting"}
        write_package(repository.parent / "channel", "hello", "1.0", files, depends=["base"])
        prefix = str(tmp_path / "41" / "conda" / "envs" / "tools")
        Path(prefix).parent.mkdir(parents=True)
        (tmp_path / "41" / "meta").mkdir()
        with client.started(layout.cache) as running:
            prepared(repository, running)
            running.install({"tools": prefix}, {})
            verify(running, prefix)
            os.unlink(f"{prefix}/share/base")
            Path(prefix, "share/base").write_text("g")
            with pytest.raises(Incomplete, match="share/base has 1 bytes instead of 8"):
                verify(running, prefix)

    def test_a_command_that_the_engine_has_made_and_that_is_cut_is_named(
        self, layout: Layout, repository: Path, tmp_path: Path
    ) -> None:
        channel = repository.parent / "channel"
        version = {"version": "3.12.0"}
        python = Hostile("python", {"bin/python": b"#!/bin/sh\n"}, index=version, record=version)
        python.write(channel)
        points = {"type": "python", "entry_points": ["go = x:main"]}
        entry_points = {"noarch": points, "package_metadata_version": 1}
        any_python = {"noarch": "python", "version": "2.0"}
        files = {"site-packages/x.py": b"x = 1\n"}
        depends = ["python", "base"]
        Hostile(
            "hello", files, index=any_python, record=any_python, link=entry_points, depends=depends
        ).write(channel)
        prefix = str(tmp_path / "41" / "conda" / "envs" / "tools")
        Path(prefix).parent.mkdir(parents=True)
        (tmp_path / "41" / "meta").mkdir()
        held = (*HELD, Package("python", "1", channel="c"))
        with client.started(layout.cache) as running:
            prepared(repository, running)
            running.install({"tools": prefix}, {})
            verify(running, prefix, held)
            os.chmod(f"{prefix}/bin/go", 0o755)
            os.truncate(f"{prefix}/bin/go", 3)
            with pytest.raises(Incomplete, match="bin/go has 3 bytes instead of"):
                verify(running, prefix, held)

    def test_what_cannot_be_sealed_is_named(self, started: Engine, prefix: str) -> None:
        top = Path(prefix).parents[2]
        (top / "conda").rename(top / "mamba")
        with tree.held(str(top)) as held, pytest.raises(FileNotFoundError) as caught:
            started.seal(held)
        assert f"{top}/conda/envs" == caught.value.filename

    def test_another_tree_in_the_place_is_not_sealed(
        self, started: Engine, prefix: str, tmp_path: Path
    ) -> None:
        """As a member of the group could put it there."""
        (tmp_path / "build").mkdir()
        with tree.held(f"{tmp_path}/build") as held:
            (tmp_path / "build").rename(tmp_path / "aside")
            (tmp_path / "build" / "conda" / "envs").mkdir(parents=True)
            with pytest.raises(OSError, match="Replaced by something else"):
                started.seal(held)
        assert 0o200 & (tmp_path / "build" / "conda" / "envs").stat().st_mode

    def test_a_file_behind_a_link_to_a_directory_is_found(
        self, started: Engine, prefix: str
    ) -> None:
        os.rename(f"{prefix}/share", f"{prefix}/shared")
        os.symlink("shared", f"{prefix}/share")
        verify(started, prefix)
        Path(prefix, "shared/base").unlink()
        with pytest.raises(Incomplete, match="share/base is missing"):
            verify(started, prefix)

    def test_a_wheel_counts_once_though_a_link_leads_to_its_modules(
        self, started: Engine, prefix: str
    ) -> None:
        """Python's own packages bring such links: lib/python3.1 shows lib/python3.11."""
        described = Path(prefix, "lib/python3.11/site-packages/wave_form-1.dist-info")
        described.mkdir(parents=True)
        (described / "RECORD").write_text("wave.py,,4\n../../../bin/wave,,2\n")
        (described.parent / "wave.py").write_text("wave")
        Path(prefix, "bin/wave").write_text("go")
        os.symlink("python3.11", f"{prefix}/lib/python3.1")
        held = (*HELD, Package("Wave-Form", "1"))
        verify(started, prefix, held)
        Path(prefix, "bin/wave").write_text("gone")
        with pytest.raises(Incomplete, match="bin/wave has 4 bytes instead of 2"):
            verify(started, prefix, held)

    @pytest.mark.parametrize("mode", ["text", "binary"])
    def test_a_file_that_was_not_told_its_prefix_is_named(
        self, layout: Layout, repository: Path, tmp_path: Path, mode: str
    ) -> None:
        told = {"share/told": f"{PLACEHOLDER}/share\0".encode()}
        archives.Package("base", "1", told, prefixed={"share/told": mode}).write(
            repository.parent / "channel"
        )
        prefix = str(tmp_path / "41" / "conda" / "envs" / "tools")
        Path(prefix).parent.mkdir(parents=True)
        (tmp_path / "41" / "meta").mkdir()
        with client.started(layout.cache) as running:
            prepared(repository, running)
            running.install({"tools": prefix}, {})
            verify(running, prefix)
            os.unlink(f"{prefix}/share/told")
            Path(prefix, "share/told").write_bytes(told["share/told"])
            with pytest.raises(Incomplete, match="share/told was not told where it is"):
                verify(running, prefix)

    def test_what_everyone_is_to_read_everyone_can(self, started: Engine, prefix: str) -> None:
        os.chmod(f"{prefix}/share/base", 0o600)
        verify(started, prefix)
        assert 0o444 == os.stat(f"{prefix}/share/base").st_mode & 0o777

    @pytest.mark.parametrize("text", ["", "[]", "{}"])
    def test_a_record_that_a_full_disk_left_is_named(
        self, started: Engine, prefix: str, text: str
    ) -> None:
        Path(prefix, "conda-meta/base-1-0.json").write_text(text)
        with pytest.raises(Incomplete, match=r"base-1-0\.json cannot be read"):
            verify(started, prefix)

    def test_a_package_that_is_missing_is_missed(self, started: Engine, prefix: str) -> None:
        os.unlink(f"{prefix}/conda-meta/base-1-0.json")
        with pytest.raises(Incomplete, match="1 packages are there, 2 were to be"):
            verify(started, prefix)
