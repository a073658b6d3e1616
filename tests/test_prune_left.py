"""A prune that cannot remove something at once: what is in use waits, an error is told."""

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from open_files import OpenFiles
from program import Program
from targets import make_deployment, make_target
from tierctl.deploy import numbering
from tierctl.fs import tree
from tierctl.fs.local import OsFileSystem
from tierctl.prune.processes import Uses
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import user_name

FS = OsFileSystem()
ALL = ("--keep", "0", "--older-than", "0d")


@pytest.fixture
def layout(tmp_path: Path, mocker: MockerFixture) -> Layout:
    """Production shows 2, staging 3; nobody is seen to use 1, 4 and 5, which hold a file each."""
    mocker.patch("tierctl.prune.processes.uses", return_value=Uses({}, 0))
    layout = make_target(tmp_path / "lab", green=2, blue=3, deployments=(1, 4, 5))
    for number in (1, 4, 5):
        Path(f"{layout.deployments}/{number}", f"file{number}").write_text("x")
    return layout


def there(layout: Layout) -> list[str]:
    return sorted(os.listdir(layout.deployments))


def fail(
    mocker: MockerFixture, call: str, number: int, fits: Callable[[str], bool]
) -> Callable[[], None]:
    """Have a call of ``os`` fail for the names that fit; returns what ends that."""
    real = getattr(os, call)

    def failing(name: str, *arguments: object, **options: object) -> object:
        if fits(name):
            raise OSError(number, os.strerror(number), name)
        return real(name, *arguments, **options)

    patch = mocker.patch(f"os.{call}", failing)
    return lambda: mocker.stop(patch)


class TestInUse:
    def test_what_is_in_use_waits_and_the_rest_goes(
        self, layout: Layout, tierctl: Program, mocker: MockerFixture
    ) -> None:
        opened = OpenFiles(mocker, "file4")
        path = f"{layout.deployments}/.4.going"
        waits = f"still in use: {path}, by a process that cannot be seen; a later prune removes it"
        for removed in (3, 0):
            done = tierctl("prune", "-t", layout.top, *ALL)
            assert (0, [".4.going", "2", "3"]) == (done.code, there(layout))
            assert f"{waits}\nremoved: {removed} deployments, 0 cached packages" in done.out
        opened.close()
        done = tierctl("prune", "-t", layout.top, *ALL)
        assert (0, ["2", "3"], False) == (done.code, there(layout), "still in use" in done.out)

    def test_the_document_tells_of_it_and_who_uses_it(
        self, layout: Layout, tierctl: Program, mocker: MockerFixture
    ) -> None:
        OpenFiles(mocker, "file4")
        path = f"{layout.deployments}/.4.going"
        place = f"{layout.deployments}/4"
        with subprocess.Popen(["sleep", "60"], cwd=place) as running:
            try:
                done = tierctl("prune", "-t", layout.top, *ALL, "--json").document
            finally:
                running.kill()
        user = f"process {running.pid} of {user_name(os.getuid())}"
        assert [{"path": path, "used_by": user}] == done["left"]
        assert (True, [5, 4, 1]) == (done["ok"], done["removed"])
        done = tierctl("prune", "-t", layout.top, *ALL, "--json").document
        assert ([{"path": path, "used_by": None}], []) == (done["left"], done["removed"])

    def test_only_what_has_gone_counts_as_freed(
        self, layout: Layout, tierctl: Program, mocker: MockerFixture
    ) -> None:
        os.mkdir(f"{layout.deployments}/4/lib")
        Path(f"{layout.deployments}/4/lib/open").write_bytes(bytes(1_000_000))
        opened = OpenFiles(mocker, "open")
        first = tierctl("prune", "-t", layout.top, *ALL, "--json").document["freed"]
        opened.close()
        second = tierctl("prune", "-t", layout.top, *ALL, "--json").document["freed"]
        assert (True, True) == (first < 100_000, second >= 1_000_000)

    def test_a_package_in_use_has_lost_its_name(
        self, layout: Layout, tierctl: Program, mocker: MockerFixture
    ) -> None:
        for number in (2, 3):
            record = Path(layout.packages_record(f"deployments/{number}"))
            record.write_text('{"schema": 1, "environments": {}}')
        for name in ("a-1-0", "b-1-0"):
            os.makedirs(f"{layout.cache}/{name}")
            Path(f"{layout.cache}/{name}/of-{name}").touch()
            Path(f"{layout.cache}/{name}.lock").touch()
        opened = OpenFiles(mocker, "of-a-1-0")
        path = f"{layout.cache}/.a-1-0.going"
        done = tierctl("prune", "-t", layout.top, *ALL, "--json").document
        assert ["a-1-0", "b-1-0"] == done["cached"]
        assert ([path], [".a-1-0.going"]) == (
            [left["path"] for left in done["left"]],
            os.listdir(layout.cache),
        )
        opened.close()
        done = tierctl("prune", "-t", layout.top, *ALL, "--json").document
        assert ([], [], []) == (done["cached"], done["left"], os.listdir(layout.cache))


class TestInterruptedBuilds:
    def test_one_in_use_stops_no_deploy(
        self, layout: Layout, tierctl: Program, mocker: MockerFixture
    ) -> None:
        os.mkdir(layout.control)
        opened = OpenFiles(mocker, "half")
        for _ in range(2):  # its number is given again
            make_deployment(layout, 9, finished=False)
            Path(f"{layout.deployments}/9/half").touch()
            Path(layout.building(9)).touch()
            assert [9] == numbering.remove_unfinished(Target(FS, layout), lock_timeout=5)
            assert [] == numbering.remove_unfinished(Target(FS, layout), lock_timeout=5)
        assert [".9.going", ".9~2.going"] == there(layout)[:2]
        opened.close()
        assert 0 == tierctl("prune", "-t", layout.top).code
        assert ["1", "2", "3", "4", "5"] == there(layout)

    def test_one_that_cannot_be_removed_keeps_nothing_else(
        self, layout: Layout, tierctl: Program, mocker: MockerFixture
    ) -> None:
        os.mkdir(layout.control)
        make_deployment(layout, 9, finished=False)
        Path(f"{layout.deployments}/9/half").touch()
        Path(layout.building(9)).touch()
        fail(mocker, "unlink", errno.EIO, lambda name: name == "half")
        done = tierctl("prune", "-t", layout.top, *ALL)
        assert (1, [".9.going", "2", "3"]) == (done.code, there(layout))
        assert f"{layout.deployments}/.9.going/half: Input/output error\n" in done.err


class TestErrors:
    @pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EROFS])
    def test_one_keeps_no_other_from_going_and_is_told_in_the_end(
        self, layout: Layout, tierctl: Program, mocker: MockerFixture, number: int
    ) -> None:
        end = fail(mocker, "unlink", number, lambda name: name == "file5")
        done = tierctl("prune", "-t", layout.top, *ALL)
        cause = f"{layout.deployments}/.5.going/file5: {os.strerror(number)}"
        assert (1, [".5.going", "2", "3"]) == (done.code, there(layout))
        assert f"Error: not everything could be removed:\n  {cause}\nFix the cause" in done.err
        assert "removed: 3 deployments" in done.out
        end()
        assert 0 == tierctl("prune", "-t", layout.top).code
        assert ["2", "3"] == there(layout)

    def test_the_document_has_the_error_and_what_was_removed(
        self, layout: Layout, tierctl: Program, mocker: MockerFixture
    ) -> None:
        fail(mocker, "unlink", errno.EIO, lambda name: name == "file5")
        done = tierctl("prune", "-t", layout.top, *ALL, "--json").document
        assert (False, "not-removed") == (done["ok"], done["error"]["code"])
        assert ([5, 4, 1], []) == (done["removed"], done["left"])

    def test_a_name_that_cannot_be_taken_away_stays_and_no_other(
        self, layout: Layout, tierctl: Program, mocker: MockerFixture
    ) -> None:
        fail(mocker, "rename", errno.EIO, lambda name: name == "5")
        done = tierctl("prune", "-t", layout.top, *ALL)
        cause = f"{layout.deployments}/5: Input/output error"
        assert (1, ["2", "3", "5"]) == (done.code, there(layout))
        assert f"deployment 5: kept: it could not be removed: {cause}\n" in done.out
        assert f"\n  {cause}\n" in done.err

    @pytest.mark.parametrize("number", [errno.ENOENT, errno.ESTALE])
    def test_what_another_prune_removes_meanwhile_is_no_error(
        self, layout: Layout, tierctl: Program, mocker: MockerFixture, number: int
    ) -> None:
        tree.retire(f"{layout.deployments}/1")
        rmdir = os.rmdir

        def gone(name: str, *, dir_fd: int | None = None) -> None:
            rmdir(name, dir_fd=dir_fd)
            raise OSError(number, os.strerror(number), name)

        mocker.patch("os.rmdir", gone)
        done = tierctl("prune", "-t", layout.top, *ALL)
        assert (0, ["2", "3"]) == (done.code, there(layout))

    @pytest.mark.parametrize("number", [errno.ENOENT, errno.ESTALE])
    def test_nor_is_what_vanishes_before_one_looks_whose_it_is(
        self, layout: Layout, tierctl: Program, mocker: MockerFixture, number: int
    ) -> None:
        path = tree.retire(f"{layout.deployments}/1")
        fail(mocker, "lstat", number, lambda name: name == path)
        assert 0 == tierctl("prune", "-t", layout.top, *ALL).code

    def test_one_of_which_cannot_be_seen_whose_it_is_stays_alone(
        self, layout: Layout, tierctl: Program, mocker: MockerFixture
    ) -> None:
        path = tree.retire(f"{layout.deployments}/1")
        fail(mocker, "lstat", errno.EIO, lambda name: name == path)
        done = tierctl("prune", "-t", layout.top, *ALL)
        assert (1, [".1.going", "2", "3"]) == (done.code, there(layout))
        assert f"{path}: Input/output error" in done.err
