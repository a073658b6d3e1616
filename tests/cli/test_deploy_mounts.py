"""``tierctl deploy`` on mounts that do not let it build, or keep what a color shows."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from archives import python, write_wheel
from lab import Lab
from program import run_installed
from targets import links, listing
from tools import require_root, require_tool

pytest.importorskip("rattler")

Mounting = Callable[..., None]


@pytest.fixture
def mount() -> Iterator[Mounting]:
    """Mount something at a place for the length of a test: options, what, where."""
    require_root()
    tool = require_tool("mount")
    with ExitStack() as mounted:

        def mounting(*words: str | Path) -> None:
            subprocess.run([tool, *map(str, words)], check=True)
            mounted.callback(subprocess.run, ["umount", str(words[-1])], check=True)

        yield mounting


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def require_foreseen(lab: Lab, *said: str) -> str:
    """Have a deploy into staging refused before anything is built, by a dry run too."""
    before = listing(lab.layout.top)
    dry = lab.deploy("staging", "-n")
    assert before == listing(lab.layout.top)
    done = lab.deploy("staging")
    assert (1, dry.err) == (done.code, done.err)
    assert "Building" not in done.err
    for text in said:
        assert text in dry.err
    return dry.err


def by_hand(said: str, number: str = "7") -> None:
    """Type what a refusal says."""
    command = said.partition("\n")[2].partition("\n")[2].strip().replace("NUMBER", number)
    subprocess.run(["sh", "-ec", command], check=True)


class TestAdoption:
    def test_a_color_that_is_a_mount_point_is_foreseen(
        self, lab: Lab, mount: Mounting, tmp_path: Path
    ) -> None:
        (tmp_path / "elsewhere").mkdir()
        mount("--bind", tmp_path / "elsewhere", lab.layout.within("blue"))
        require_foreseen(lab, "blue is a mount point, so it cannot be moved", "umount ")
        assert 0 == lab.deploy("dev1").code

    def test_what_is_to_be_typed_then_works(self, lab: Lab, tmp_path: Path) -> None:
        require_root()
        mount = require_tool("mount")
        subprocess.run([mount, "-t", "tmpfs", "none", lab.layout.within("blue")], check=True)
        Path(lab.layout.within("blue"), "kept").touch()
        Path(lab.layout.deployments).mkdir()
        by_hand(require_foreseen(lab))
        assert Path(lab.layout.within("deployments/7/kept")).exists()
        assert 0 == lab.deploy("staging").code
        assert links(lab.layout)["blue"] not in ("blue", "deployments/7")

    def test_deployments_on_another_mount_are_foreseen(self, lab: Lab, mount: Mounting) -> None:
        Path(lab.layout.deployments).mkdir()
        mount("-t", "tmpfs", "-o", "mode=755", "none", lab.layout.deployments)
        said = require_foreseen(lab, "blue is on another mount than")
        by_hand(said)
        assert 0 == lab.deploy("staging").code

    def test_a_color_of_a_lower_layer_is_foreseen_and_one_above_is_kept(
        self, lab: Lab, mount: Mounting, tmp_path: Path
    ) -> None:
        mount("-t", "tmpfs", "none", self.directory(tmp_path / "layers"))
        upper, work = (self.directory(tmp_path / "layers" / name) for name in ("upper", "work"))
        Path(lab.layout.within("blue"), "kept").touch()
        options = f"lowerdir={lab.layout.top},upperdir={upper},workdir={work}"
        mount("-t", "overlay", "overlay", "-o", options, lab.layout.top)
        Path(lab.layout.within("green"), "something").touch()
        said = require_foreseen(lab, "blue is in a lower layer of an overlay filesystem")
        assert Path(lab.layout.within("blue"), "kept").exists()
        by_hand(said)
        done = lab.deploy("staging")
        assert (0, "hello 1.0\n") == (done.code, lab.runs("staging")), done.err
        assert Path(lab.layout.within("deployments/1/kept")).exists()

    def directory(self, path: Path) -> Path:
        path.mkdir()
        return path


class TestNoexec:
    def test_a_target_where_nothing_can_be_started_is_foreseen(
        self, lab: Lab, mount: Mounting
    ) -> None:
        mount("--bind", lab.layout.top, lab.layout.top)
        subprocess.run(["mount", "-o", "remount,bind,noexec", lab.layout.top], check=True)
        said = require_foreseen(lab, f"{lab.layout.top} is mounted with noexec")
        assert f"mount -o remount,exec {lab.layout.top}" in said
        doctor = run_installed("doctor", "-t", lab.layout.top)
        assert "it is mounted with noexec: no command of a tier can be started" in doctor.out
        subprocess.run(["mount", "-o", "remount,bind,exec", lab.layout.top], check=True)
        assert 0 == lab.deploy("staging").code

    def test_what_brings_no_commands_is_built_there(self, lab: Lab, mount: Mounting) -> None:
        mount("--bind", lab.layout.top, lab.layout.top)
        subprocess.run(["mount", "-o", "remount,bind,noexec", lab.layout.top], check=True)
        (lab.definitions / "environments" / "tools.yaml").unlink()
        (lab.definitions / "tier" / "share").mkdir(parents=True)
        (lab.definitions / "tier" / "share" / "data").touch()
        done = lab.deploy("staging")
        assert 0 == done.code, done.err

    def test_nothing_is_started_from_the_temporary_directory(
        self, lab: Lab, mount: Mounting, tmp_path: Path
    ) -> None:
        pytest.importorskip("uv")
        (tmp_path / "tmp").mkdir()
        mount("-t", "tmpfs", "-o", "noexec", "none", tmp_path / "tmp")
        lab.channel = tmp_path / "channel"
        python().write(lab.channel)
        write_wheel(lab.definitions / "wheels", "wave", "1.0")
        lab.write_environment(
            f"channels: ['{lab.channel.as_uri()}']\n"
            "dependencies: [python, {pip: [--no-index, -f ../wheels, wave]}]\n"
        )
        environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
        done = subprocess.run(lab.command("dev1"), env=environment, capture_output=True, text=True)
        assert 0 == done.returncode, done.stderr
        assert "wave 1.0\n" == lab.runs("dev1", "wave")
