"""What doctor says of tiers that cannot be loaded, or that load something else."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from damage import bootstrapped, by_hand, found, problems
from targets import make_target, opened
from tierctl import profiles
from tierctl.doctor import Severity, diagnose
from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import Entry
from tierctl.target.paths import Layout
from tierctl.target.target import Target

FS = OsFileSystem()


class Closed(OsFileSystem):
    """A file that the caller may not read."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def load(self, path: str, start: int = 0, length: int = -1) -> tuple[Entry, bytes]:
        if os.path.realpath(path) == self._path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return super().load(path, start, length)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A target with two deployments, and a third that no tier shows."""
    layout = make_target(tmp_path / "my lab", blue=42, green=41, deployments=(40,))
    for number in (40, 41, 42):
        add_profile(layout, f"deployments/{number}")
    return layout


def add_profile(layout: Layout, directory: str) -> None:
    etc = Path(layout.within(directory), "etc")
    etc.mkdir()
    (etc / "profile.sh").write_text(profiles.files(layout, directory)["profile.sh"])


class TestProfile:
    def test_production_that_was_made_to_be_loaded_and_cannot_is_a_problem(
        self, tmp_path: Path
    ) -> None:
        layout = bootstrapped(tmp_path / "lab")
        os.unlink(opened(layout, 1) / "etc/profile.sh")
        (finding,) = problems(layout)
        assert ("blue and green have no etc/profile.sh", "Nobody can load production.") == (
            finding.text,
            finding.meaning,
        )

    def test_an_empty_directory_made_by_hand_is_none(self, tmp_path: Path) -> None:
        layout = make_target(tmp_path)
        assert [] == problems(layout)
        assert Severity.NOTE is found(layout, "green has no etc/profile.sh").severity

    @pytest.mark.parametrize(
        ("color", "severity"), [("green", Severity.PROBLEM), ("blue", Severity.NOTE)]
    )
    def test_one_that_cannot_be_read_is_as_bad_as_none(
        self, layout: Layout, color: str, severity: Severity
    ) -> None:
        profile = os.path.realpath(layout.within(f"{color}/etc/profile.sh"))
        finding = found(layout, f"{color} has an etc/profile.sh that cannot be", Closed(profile))
        assert severity is finding.severity

    @pytest.mark.parametrize("kind", ["directory", "special file"])
    def test_nor_is_anything_else_one(self, layout: Layout, kind: str) -> None:
        profile = layout.within("green/etc/profile.sh")
        os.unlink(profile)
        os.mkdir(profile) if kind == "directory" else os.mkfifo(profile)
        (finding,) = problems(layout)
        assert f"green has an etc/profile.sh that is a {kind}" == finding.text

    def test_one_that_is_a_link_to_a_file_is_well(self, layout: Layout) -> None:
        profile = Path(layout.within("green/etc/profile.sh"))
        profile.rename(profile.with_name("common.sh"))
        profile.symlink_to("common.sh")
        assert not any("profile.sh" in finding.text for finding in diagnose(Target(FS, layout)))

    def test_a_deployment_that_cannot_be_looked_into_hides_nothing_of_the_others(
        self, layout: Layout
    ) -> None:
        shutil.rmtree(layout.within("deployments/41/meta"))
        Path(layout.within("deployments/41/meta")).symlink_to("meta")
        os.unlink(layout.within("blue/etc/profile.sh"))
        (finding,) = problems(layout)
        assert finding.text.startswith("green cannot be looked into: ")
        assert Severity.NOTE is found(layout, "blue has no etc/profile.sh").severity

    def test_nor_does_one_that_no_tier_shows(self, layout: Layout) -> None:
        shutil.rmtree(layout.within("deployments/40/meta"))
        Path(layout.within("deployments/40/meta")).symlink_to("meta")
        Path(layout.within("staging")).unlink()
        Path(layout.within("staging")).symlink_to("gone")
        assert Severity.NOTE is found(layout, "deployment 40 cannot be looked into: ").severity
        (finding,) = problems(layout)
        assert "/staging is dangling" in finding.text


class TestMoved:
    def test_what_is_typed_moves_it_back(self, layout: Layout, tmp_path: Path) -> None:
        old, new = Path(layout.top), tmp_path / "it's elsewhere"
        assert [] == problems(layout)
        old.rename(new)
        moved = Layout.of_target(str(new))
        for finding in problems(moved):
            assert "A target cannot be moved" in finding.meaning
        command = problems(moved)[0].advice.rpartition(": ")[2]
        subprocess.run(["sh", "-c", command], check=True)
        assert [] == problems(layout)

    def test_a_copy_is_not_moved_over_the_original(self, layout: Layout, tmp_path: Path) -> None:
        shutil.copytree(layout.top, tmp_path / "copy", symlinks=True)
        copy = Layout.of_target(str(tmp_path / "copy"))
        assert [] == problems(layout)
        assert problems(copy)
        assert not any("mv " in finding.advice for finding in problems(copy))

    def test_a_deployment_that_no_tier_shows_is_looked_at_too(self, layout: Layout) -> None:
        shutil.copytree(layout.within("deployments/41"), layout.within("deployments/43"))
        (finding,) = problems(layout)
        assert (
            f"the profile of deployments/43 leads to {layout.within('deployments/41')}"
            == finding.text
        )

    def test_a_deployment_that_was_a_color_has_not_been_moved_away(self, tmp_path: Path) -> None:
        layout = make_target(tmp_path, blue=42, green=41, deployments=(1,))
        Path(layout.within("deployments/1/etc")).mkdir()
        text = profiles.files(layout, "blue")["profile.sh"]
        Path(layout.within("deployments/1/etc/profile.sh")).write_text(text)
        assert not any("leads to" in finding.text for finding in diagnose(Target(FS, layout)))

    def test_a_profile_is_never_run(self, tmp_path: Path) -> None:
        layout = by_hand(tmp_path / "lab")
        line = f"export IAC_TIER_DIR=$(touch {tmp_path}/run)\n"
        Path(layout.within("green/etc/profile.sh")).write_text(line)
        diagnose(Target(FS, layout))
        assert not (tmp_path / "run").exists()
