"""The way back on filesystems that are full, of bytes and of inodes, by the installed commands."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from harness import broken
from program import Ended, installed, run, run_installed
from targets import links, make_target, with_profiles
from tierctl.target.paths import Layout
from tools import require_root, require_tool

TMPFS = ("mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=64", "tmpfs")
EXT4 = ("mkfs.ext4", "-q", "-m", "0", "-N", "64")  # no blocks in reserve for root, few inodes


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A small filesystem."""
    require_root()
    place = tmp_path / "disk"
    place.mkdir()
    if request.param == "tmpfs":
        mount = [*TMPFS, str(place)]
    else:
        require_tool("mkfs.ext4")
        image = tmp_path / "image"
        image.touch()
        os.truncate(image, 4 << 20)
        subprocess.run([*EXT4, image], check=True)
        mount = ["mount", "-o", "loop", str(image), str(place)]
    subprocess.run(mount, check=True)
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.fixture
def layout(disk: Path) -> Layout:
    """A target there that was promoted, before the disk became full."""
    layout = with_profiles(make_target(disk / "lab", green=1, blue=3, deployments=(2,)))
    for command in ("promote-staging", "prune"):  # which makes the locks, and removes nothing yet
        assert 0 == run_installed(command, "-t", layout.top).code
    fill(disk / "filling")
    return layout


def fill(directory: Path) -> None:
    """Fill a filesystem to its last byte and its last inode."""
    directory.mkdir()
    with open(directory / "bytes", "wb", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            with suppress(OSError):
                while file.write(b"x" * size):
                    os.fsync(file.fileno())
    with suppress(OSError):
        for number in count():
            (directory / str(number)).touch()


def empty(directory: Path) -> None:
    for path in directory.iterdir():
        path.unlink()


def roll_back(layout: Layout, *program: str) -> Ended:
    """Roll back; production is what it was, and either history or the message says so."""
    done = run([*program, "rollback", "-t", layout.top])
    assert 0 == done.code, done.err
    assert ("green", "blue") == tuple(links(layout)[tier] for tier in ("production", "staging"))
    is_recorded = 2 == len(events(layout))
    assert is_recorded != ("this rollback is not in history" in done.err), done.err
    return done


def events(layout: Layout) -> list[dict[str, object]]:
    return run_installed("history", "-t", layout.top, "--json").document["events"]


def test_a_rollback_works(layout: Layout) -> None:
    roll_back(layout, installed())


def test_a_prune_makes_room(layout: Layout) -> None:
    done = run_installed("prune", "--keep", "0", "--older-than", "0d", "-t", layout.top)
    assert 0 == done.code, done.err
    assert ["1", "3"] == sorted(os.listdir(layout.deployments))


def test_it_would_be_noticed_if_it_needed_room(layout: Layout) -> None:
    with pytest.raises(AssertionError, match="rollback failed, nothing was changed"):
        roll_back(layout, *broken.program(broken.needs_room))


def test_a_promotion_is_refused_and_changes_nothing(layout: Layout) -> None:
    before = links(layout)
    done = run_installed("promote-staging", "--force", "-t", layout.top)
    assert 1 == done.code
    assert f"nothing was changed: {layout.control}" in done.err
    assert "No space left on device" in done.err
    assert before == links(layout)


def test_with_room_again_all_goes_on(layout: Layout, disk: Path) -> None:
    roll_back(layout, installed())
    before = len(events(layout))
    empty(disk / "filling")
    assert 0 == run_installed("doctor", "-t", layout.top).code
    assert 0 == run_installed("promote-staging", "--force", "-t", layout.top).code
    assert before + 1 == len(events(layout))
    assert 0 == run_installed("rollback", "-t", layout.top).code
    assert "green" == links(layout)["production"]
