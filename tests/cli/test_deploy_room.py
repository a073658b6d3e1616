"""``tierctl deploy`` where there is little room: for what is built, and for temporary files."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from archives import python, write_wheel
from lab import Lab, Served
from program import Ended, installed
from targets import listing
from tierctl.demo.channel import NOARCH, write_package
from tools import require_root, require_tool

pytest.importorskip("rattler")
pytest.importorskip("uv")

MB = 1 << 20


@contextlib.contextmanager
def small(place: Path, size: str) -> Iterator[Path]:
    """Have a filesystem of some size."""
    require_root()
    mount = require_tool("mount")
    place.mkdir()
    subprocess.run([mount, "-t", "tmpfs", "-o", f"size={size}", "none", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def leave(place: Path, free: int) -> None:
    """Fill a filesystem until only so much is left."""
    found = os.statvfs(place)
    with open(place / "filling", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - free)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A target on a filesystem of 64 MB; its channel is elsewhere."""
    with small(tmp_path / "small", "64m") as place:
        lab = Lab(place)
        lab.channel = tmp_path / "channel"
        yield lab


def test_a_build_that_costs_nothing_is_not_refused(lab: Lab) -> None:
    """All of its files are links into the cache."""
    text = os.urandom(4 * MB).hex()
    write_package(lab.channel, "data", "1", {"share/data": text}, subdir=NOARCH)
    lab.want("data")
    assert 0 == lab.deploy("staging").code
    leave(lab.channel.parent / "small", 2 * MB - (MB >> 1))
    done = lab.deploy("staging", "--rebuild", "-n")
    assert 0 == done.code, done.err
    done = lab.deploy("staging", "--rebuild")
    assert 0 == done.code, done.err


def test_a_wheel_in_the_cache_is_not_counted_again(lab: Lab) -> None:
    python().write(lab.channel)
    wheels = lab.definitions / "wheels"
    write_wheel(wheels, "wave", "1.0", data=os.urandom(3 * MB))
    lab.write_environment(
        f"channels: ['{lab.channel.as_uri()}']\n"
        "dependencies: [python, {pip: [--no-index, -f ../wheels, wave]}]\n"
    )
    assert 0 == lab.deploy("dev1").code
    assert 0 == lab.deploy("dev1", "--rebuild").code
    leave(lab.channel.parent / "small", 12 * MB)  # five times the wheel would be 15 MB
    done = lab.deploy("dev1", "--rebuild")
    assert 0 == done.code, done.err


def test_what_does_not_fit_is_told_before(lab: Lab) -> None:
    text = os.urandom(2 * MB).hex()
    write_package(lab.channel, "data", "1", {"share/data": text}, subdir=NOARCH)
    lab.want("data")
    leave(lab.channel.parent / "small", 6 * MB)
    before = listing(lab.layout.infrastructure)
    done = lab.deploy("dev1", "-n")
    assert (1, True) == (done.code, "are missing" in done.err), done.err
    assert before == listing(lab.layout.infrastructure)


class TestTemporaryDirectory:
    @pytest.fixture
    def fetched(self, tmp_path: Path) -> Iterator[Lab]:
        """A target that has in its cache what a server lists, which is a lot, and a wheel."""
        lab = Lab(tmp_path)
        lab.channel = tmp_path / "channel"
        python().write(lab.channel)
        for number in range(600):
            write_package(lab.channel, f"some{number}", "1", {}, subdir=NOARCH)
        write_wheel(lab.definitions / "wheels", "wave", "1.0", data=os.urandom(MB))
        with Served(lab.channel) as server:
            lab.write_environment(
                f"channels: ['{server.url}']\n"
                "dependencies: [python, {pip: [--no-index, -f ../wheels, wave]}]\n"
            )
            done = lab.deploy("dev1")
            assert 0 == done.code, done.err
            yield lab

    def dry_run(self, lab: Lab, place: Path) -> Ended:
        done = subprocess.run(
            [installed(), *lab.command("dev1", "--rebuild", "-n")[1:]],
            capture_output=True,
            text=True,
            env={**os.environ, "TMPDIR": str(place)},
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def test_a_dry_run_copies_no_large_file(self, fetched: Lab, tmp_path: Path) -> None:
        cache = Path(fetched.layout.cache)
        listed = [path for path in (cache / "repodata").iterdir() if path.stat().st_size > 1 << 16]
        assert listed  # it would not fit
        before = listing(fetched.layout.top)
        with small(tmp_path / "small", f"{listed[0].stat().st_size + (1 << 16)}") as place:
            done = self.dry_run(fetched, place)
            assert 0 == done.code, done.err
            assert [] == list(place.iterdir())
        assert before == listing(fetched.layout.top)

    def test_without_room_for_anything_it_says_what_to_set(
        self, fetched: Lab, tmp_path: Path
    ) -> None:
        with small(tmp_path / "small", "4k") as place:
            done = self.dry_run(fetched, place)
            assert (1, True) == (done.code, "No space left on device" in done.err), done.err
            assert "TMPDIR=DIR" in done.err
            assert [] == list(place.iterdir())
