"""Thousands of promotions and hundreds of deploys in one target: nothing grows but history."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import pytest

from model.living import deploying_files_only
from places import on_memory
from program import Program
from reporters import Heard
from thorough import THOROUGH, times
from tierctl.change import bootstrap, change
from tierctl.change.requests import Promotion
from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import Entry
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import Author
from tierctl.testing import Fault, FaultyFileSystem

ADA = Author("ada", "lab")
CYCLES, PROMOTIONS = times(8, 200), times(30, 50)
# Until both colors are deployments, and as many of them are there as prune leaves.
WARM_UP = 4
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
# What Python's own memory goes up and down by.
MOST_KIB_MORE = 4096


class Counting(OsFileSystem):
    """This host's filesystem, and how many bytes were read."""

    read_bytes = 0

    def load(self, path: str, start: int = 0, length: int = -1) -> tuple[Entry, bytes]:
        entry, data = super().load(path, start, length)
        self.read_bytes += len(data)
        return entry, data


class Figures(NamedTuple):
    """What a cycle costs, and what there is after it.

    Of the promotions the most operations and bytes read of one, and the time of
    all. ``kib`` and ``inodes`` are of the target and of temporary files, without history.
    """

    operations: int
    read_bytes: int
    seconds: float
    resident_kib: int
    descriptors: int
    inodes: int
    kib: int


class Life:
    """A target, with places of its own for definitions and temporary files."""

    def __init__(self, place: Path, fs: Counting, tierctl: Program) -> None:
        self.place, self.fs, self.tierctl = place, fs, tierctl
        self.layout = Layout.of_target(str(place / "lab"))
        (place / "definitions" / "tier" / "bin").mkdir(parents=True)
        (place / "definitions" / "tier" / "bin" / "hello").write_text("echo hello\n")
        bootstrap.create(fs, self.layout.top, ADA, None, lock_timeout=0)

    def cycle(self) -> Figures:
        """Deploy, promote many times, prune; return the figures."""
        of_target = ("-t", self.layout.top)
        definitions = ("--definitions", self.place / "definitions")
        assert 0 == self.tierctl("deploy", "staging", "--rebuild", *definitions, *of_target).code
        begun, costs = time.perf_counter(), [self.promote() for _ in range(PROMOTIONS)]
        seconds = time.perf_counter() - begun
        prune = ("prune", "--keep", "2", "--older-than", "0d")
        assert 0 == self.tierctl(*prune, *of_target).code
        operations, read_bytes = map(max, zip(*costs, strict=True))
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_KIB
        descriptors = len(os.listdir("/proc/self/fd"))
        return Figures(operations, read_bytes, seconds, resident, descriptors, *self.disk())

    def promote(self) -> tuple[int, int]:
        """Promote; return how many operations that took and how many bytes were read."""
        before, counted = self.fs.read_bytes, FaultyFileSystem(self.fs, Fault(0))
        request = Promotion(force=True)
        change.carry_out(Target(counted, self.layout), request, ADA, Heard(), lock_timeout=0)
        return counted.operations, self.fs.read_bytes - before

    def disk(self) -> tuple[int, int]:
        found = [path.lstat() for path in self.place.rglob("*") if path.name != "history.jsonl"]
        return len(found), sum(status.st_blocks for status in found) // 2


def live(place: Path, fs: Counting, tierctl: Program, cycles: int) -> list[Figures]:
    life = Life(place, fs, tierctl)
    return [life.cycle() for _ in range(cycles)]


def require_steady(found: list[Figures]) -> None:
    """Have what the last cycles take be what the first ones took, when it had all begun."""
    first, last = found[WARM_UP], found[-1]
    assert first.operations == last.operations
    assert first.read_bytes == last.read_bytes
    assert first.descriptors == last.descriptors
    assert first.inodes == last.inodes
    assert first.kib == last.kib
    assert last.resident_kib <= first.resident_kib + MOST_KIB_MORE


def report(found: list[Figures]) -> str:
    tenth = max(1, len(found) // 10)
    first, last = found[WARM_UP], found[-1]
    of_first, of_last = (
        1000 * sum(figures.seconds for figures in part) / len(part) / PROMOTIONS
        for part in (found[WARM_UP : WARM_UP + tenth], found[-tenth:])
    )
    lines = [
        f"{CYCLES * PROMOTIONS} promotions, {CYCLES} deploys and prunes",
        f"a promotion takes {of_first:.2f} ms, then {of_last:.2f} ms: {of_last / of_first:.2f}",
    ]
    for name in ("operations", "read_bytes", "resident_kib", "descriptors", "inodes", "kib"):
        lines.append(f"{name}: {getattr(first, name)}, then {getattr(last, name)}")
    return "\n".join(lines)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory for a target, and for whatever deploys keep elsewhere."""
    with on_memory() as directory:
        monkeypatch.setattr(tempfile, "tempdir", str(directory))
        yield directory


def test_nothing_grows_but_history(place: Path, tierctl: Program) -> None:
    with nullcontext() if THOROUGH else deploying_files_only():
        found = live(place, Counting(), tierctl, CYCLES)
    print(report(found))
    require_steady(found)


class Descriptors(Counting):
    """Leaves a descriptor open at every flush."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[int] = []

    def sync(self, path: str) -> None:
        super().sync(path)
        self.left.append(os.open(path, os.O_RDONLY))


class Files(Counting):
    """Leaves a file behind at every flush."""

    def sync(self, path: str) -> None:
        super().sync(path)
        tempfile.mkstemp(dir=path)


class Memory(Counting):
    """Remembers at every flush more than it will ever need."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[bytes] = []

    def sync(self, path: str) -> None:
        super().sync(path)
        self.kept.append(os.urandom(100_000))


class Rereading(Counting):
    """Reads all of a file, whatever is asked for."""

    def load(self, path: str, start: int = 0, length: int = -1) -> tuple[Entry, bytes]:
        entry, data = super().load(path)
        return entry, data[start:] if length < 0 else data[start : start + length]


@pytest.mark.parametrize("leaking", [Descriptors, Files, Memory, Rereading])
def test_what_grows_is_seen(place: Path, tierctl: Program, leaking: type[Counting]) -> None:
    fs = leaking()
    try:
        with deploying_files_only(), pytest.raises(AssertionError):
            require_steady(live(place, fs, tierctl, WARM_UP + 2))
    finally:
        for descriptor in getattr(fs, "left", ()):
            os.close(descriptor)
