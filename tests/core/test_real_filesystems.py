"""Changes on real filesystems, under the eyes of readers, and through real power cuts.

Each filesystem is made for the purpose and mounted, so only root runs these.
"""

import errno
import fcntl
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

from targets import make_deployment, make_target
from tierctl import changes, history
from tierctl.changes import Outcome
from tierctl.events import Author, Event
from tierctl.filesystem import ExchangeUnsupported, FileSystem, OsFileSystem, exists
from tierctl.layout import Layout
from tierctl.observe import observe
from tierctl.request import Promotion, Request, Rollback
from tierctl.rotation import Exchange, State, promoted
from tierctl.testing import Fault, FaultyFileSystem, Killed, Operation
from tools import missing, require_root, require_tool

SMALLEST = 300 * 1024 * 1024  # what XFS needs; the images have holes
SHUTDOWN, WITHOUT_FLUSHING_THE_LOG = 0x8004587D, struct.pack("I", 2)

CHANGES, READERS = 200, 4


class Heard:
    """A reporter that remembers, and does something as soon as it hears of the change."""

    def __init__(self, on_done: Callable[[], object] | None = None) -> None:
        self.outcomes: list[Outcome] = []
        self.on_done = on_done

    def recovered(self, event: Event) -> None:
        pass

    def done(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        if self.on_done is not None:
            self.on_done()

    def warn(self, text: str) -> None:
        pass


def carry_out(
    layout: Layout,
    request: Request,
    *,
    fs: FileSystem | None = None,
    on_done: Callable[[], object] | None = None,
) -> Outcome:
    heard = Heard(on_done)
    fs = fs or OsFileSystem()
    changes.carry_out(fs, layout, request, Author("ada", "lab"), heard, lock_timeout=1)
    (outcome,) = heard.outcomes
    return outcome


# The filesystems


def run(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{' '.join(map(str, command))}: {done.stderr}")


class Volume:
    """A mounted filesystem."""

    def __init__(self, kind: str, top: Path) -> None:
        self.kind = kind
        self.top = top
        self.point = top / "point"
        self._numbers = count()

    def make(self) -> None:
        for name in ("point", "lowerdir", "upperdir", "workdir"):
            (self.top / name).mkdir()
        if self.kind in ("ext4", "xfs", "btrfs"):
            (self.top / "image").touch()
            os.truncate(self.top / "image", SMALLEST)
            run(f"mkfs.{self.kind}", "-q", self.top / "image")

    def mount(self) -> None:
        match self.kind:
            case "tmpfs":
                run("mount", "-t", "tmpfs", "tmpfs", self.point)
            case "overlay":
                parts = [
                    f"{name}={self.top / name}" for name in ("lowerdir", "upperdir", "workdir")
                ]
                run("mount", "-t", "overlay", "overlay", "-o", ",".join(parts), self.point)
            case "bindfs":
                run("bindfs", self.top / "upperdir", self.point)
            case _:
                run("mount", "-o", "loop", self.top / "image", self.point)

    def unmount(self) -> None:
        run("umount", self.point)

    def cut_power(self) -> None:
        """Lose what is not flushed: the filesystem does nothing more until it is mounted again."""
        fd = os.open(self.point, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, WITHOUT_FLUSHING_THE_LOG)
        finally:
            os.close(fd)

    def restart(self) -> None:
        self.unmount()
        self.mount()

    def target(self, **links: object) -> Layout:
        """Make a target of its own, flushed."""
        layout = make_target(self.point / f"target{next(self._numbers)}", **links)
        run("sync", "-f", self.point)
        return layout


@contextmanager
def mounted(kind: str, top: Path) -> Iterator[Volume]:
    """Make a filesystem and mount it; skip where that cannot be done."""
    require_root()
    for tool in TOOLS.get(kind, ()):
        require_tool(tool)
    with ExitStack() as mounts:
        try:
            # In memory, so that flushing takes no time.
            run("mount", "-t", "tmpfs", "tmpfs", top)
            mounts.callback(run, "umount", "-l", top)
            volume = Volume(kind, top)
            volume.make()
            volume.mount()
            mounts.callback(run, "umount", "-l", volume.point)
        except OSError as error:
            missing(f"no {kind} here: {error}")
        yield volume


TOOLS = {
    "ext4": ["mkfs.ext4"],
    "xfs": ["mkfs.xfs"],
    "btrfs": ["mkfs.btrfs"],
    "bindfs": ["bindfs"],
}
EXCHANGING = ("ext4", "xfs", "btrfs", "tmpfs", "overlay")


@pytest.fixture(scope="module", params=[*EXCHANGING, "bindfs"])
def volume(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Volume]:
    """Each filesystem."""
    with mounted(request.param, tmp_path_factory.mktemp(request.param)) as volume:
        yield volume


# What a change does there


def promotion(volume: Volume) -> tuple[Layout, Request]:
    return volume.target(blue=42, green=41), Promotion()


def first_promotion(volume: Volume) -> tuple[Layout, Request]:
    return volume.target(production=None), Promotion()


def rollback(volume: Volume) -> tuple[Layout, Request]:
    layout, request = promotion(volume)
    carry_out(layout, request)
    return layout, Rollback()


def rollback_of_color(volume: Volume) -> tuple[Layout, Request]:
    layout, request = rollback(volume)
    make_deployment(layout, 43)
    os.unlink(layout.within("green"))
    os.symlink("deployments/43", layout.within("green"))
    return layout, request


SWAP = ("exchange production and staging",)
ONE_BY_ONE = ("point production to {after.production}", "point staging to {after.staging}")
# By exchange, and without.
STEPS = {
    promotion: (SWAP, ONE_BY_ONE),
    first_promotion: (ONE_BY_ONE[::-1], ONE_BY_ONE[::-1]),
    rollback: (SWAP, ONE_BY_ONE),
    rollback_of_color: (
        ("point green to deployments/41", *SWAP),
        ("point green to deployments/41", *ONE_BY_ONE),
    ),
}


@pytest.mark.parametrize("build", STEPS)
def test_it_takes_the_steps_that_the_filesystem_can(
    volume: Volume, build: Callable[[Volume], tuple[Layout, Request]]
) -> None:
    layout, request = build(volume)
    done = carry_out(layout, request)
    expected = STEPS[build][0 if volume.kind in EXCHANGING else 1]
    assert [step.format(after=done.after) for step in expected] == list(map(str, done.steps))
    assert done.after == observe(OsFileSystem(), layout)
    assert done.event == history.newest(OsFileSystem(), layout)


def test_what_can_be_exchanged_is_foretold(volume: Volume) -> None:
    layout, request = promotion(volume)
    foretold = OsFileSystem().can_exchange(layout.infrastructure)
    steps = carry_out(layout, request).steps
    assert foretold is any(isinstance(step, Exchange) for step in steps)


# What readers see

READER = """
import json, os, sys
os.chdir(sys.argv[1])
tiers, inodes = ("production", "staging"), set(map(int, sys.argv[2:]))
reads = missing = unlisted = torn = 0
print("ready", flush=True)
os.set_blocking(0, False)
while sys.stdin.buffer.read(1) is None:
    for tier in tiers:
        try:
            os.stat(tier)
        except FileNotFoundError:
            missing += 1
    # Exchanging moves the links, so names and inodes of one scan belong together.
    with os.scandir(".") as entries:
        found = [entry.inode() for entry in entries if entry.name in tiers]
    unlisted += len(found) != 2
    torn += len(found) == 2 and set(found) != inodes
    reads += 1
print(json.dumps([reads, missing, unlisted, torn]))
"""


class Sight(NamedTuple):
    """What readers have seen: how often they looked, and how often something was wrong.

    A tier was missing to who loads it; not in a list of the directory; the two
    in one list were not two that belong together.
    """

    reads: int
    missing: int
    unlisted: int
    torn: int


@contextmanager
def readers(layout: Layout, found: list[Sight]) -> Iterator[None]:
    """Let readers in other processes look at the links, and add what they saw."""
    inodes = [str(os.lstat(layout.within(tier)).st_ino) for tier in ("production", "staging")]
    command = [sys.executable, "-c", READER, layout.infrastructure, *inodes]
    with ExitStack() as processes:
        started = [
            processes.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            )
            for _ in range(READERS)
        ]
        for process in started:
            processes.callback(process.kill)
            assert b"ready\n" == process.stdout.readline()
        yield
        for process in started:
            out, _ = process.communicate(b"stop")
            found.append(Sight(*json.loads(out)))


def seen_during_changes(layout: Layout, fs: FileSystem) -> Sight:
    """Return what all readers together have seen while there were changes."""
    found: list[Sight] = []
    with readers(layout, found):
        for _ in range(CHANGES):
            carry_out(layout, Promotion(), fs=fs)
    assert READERS == len(found)
    assert all(sight.reads > CHANGES // 10 for sight in found)
    return Sight(*map(sum, zip(*found, strict=True)))


def test_no_reader_finds_a_link_missing_and_an_exchange_is_seen_whole_or_not_at_all(
    volume: Volume,
) -> None:
    """As far as the filesystem lets a renaming be one.

    bindfs answers a reader that already holds the old link with ENOENT, and
    btrfs leaves a name out of a list that is read while it is renamed; both do
    so for any program that renames one link over another.
    """
    seen = seen_during_changes(volume.target(), OsFileSystem())
    if volume.kind != "bindfs":
        assert 0 == seen.missing
        assert 0 == seen.torn
    if volume.kind != "btrfs":
        assert 0 == seen.unlisted


class WithoutExchange(OsFileSystem):
    """Cannot swap two names, as NFS cannot."""

    def exchange(self, first: str, second: str) -> None:
        raise ExchangeUnsupported(errno.EINVAL, os.strerror(errno.EINVAL), first, None, second)


@pytest.mark.parametrize("volume", ["xfs", "tmpfs"], indirect=True)
def test_no_reader_finds_a_link_missing_where_they_are_replaced_one_by_one(volume: Volume) -> None:
    seen = seen_during_changes(volume.target(), WithoutExchange())
    assert (0, 0) == (seen.missing, seen.unlisted)


class Unlinking(OsFileSystem):
    """Takes the old link away before it makes the new one, as the usual script does."""

    def exchange(self, first: str, second: str) -> None:
        texts = os.readlink(first), os.readlink(second)
        for path, text in zip((first, second), reversed(texts), strict=True):
            os.unlink(path)
            os.symlink(text, path)


@pytest.mark.parametrize("volume", ["tmpfs"], indirect=True)
def test_readers_find_a_link_missing_where_it_is_unlinked_first(volume: Volume) -> None:
    """They look closely enough."""
    seen = seen_during_changes(volume.target(), Unlinking())
    assert seen.missing > 0
    assert seen.torn + seen.unlisted > 0


# Power cuts


@pytest.fixture(scope="module", params=["ext4", "xfs"])
def outlet(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Volume]:
    """A filesystem whose power can be cut."""
    with mounted(request.param, tmp_path_factory.mktemp(request.param)) as volume:
        yield volume


def found_after(layout: Layout) -> tuple[State, int, bool]:
    """Return the state, how many events there are, and whether an intent stands."""
    fs = OsFileSystem()
    events = list(history.newest_first(fs, layout))
    return observe(fs, layout), len(events), exists(fs, layout.intent)


def test_what_was_reported_outlives_a_power_cut_at_that_moment(outlet: Volume) -> None:
    layout, request = promotion(outlet)
    after = promoted(observe(OsFileSystem(), layout))
    carry_out(layout, request, on_done=outlet.cut_power)
    outlet.restart()
    assert (after, 1, True) == found_after(layout)
    carry_out(layout, request)
    assert (after, 1, False) == found_after(layout)


def test_what_is_over_outlives_a_power_cut(outlet: Volume) -> None:
    layout, request = rollback_of_color(outlet)
    after = carry_out(layout, request).after
    outlet.cut_power()
    outlet.restart()
    assert (after, 2, False) == found_after(layout)


@pytest.mark.parametrize(
    "last",
    [
        Operation("exchange", "production"),
        Operation("sync", ""),
        Operation("write", ".tierctl/history.jsonl"),
        Operation("remove", ".tierctl/intent.json"),
    ],
    ids=lambda operation: operation.verb,
)
def test_a_change_that_a_power_cut_stopped_is_ended_by_the_next_command(
    outlet: Volume, last: Operation
) -> None:
    """Cut just before its step, its flushing, its record, and the end of its intent."""
    layout, request = rollback(outlet)
    after = promoted(observe(OsFileSystem(), layout))
    with pytest.raises(Killed):
        carry_out(layout, request, fs=DyingAt(layout.within(last.path).rstrip("/"), last.verb))
    outlet.cut_power()
    outlet.restart()
    carry_out(layout, request)
    assert (after, 2, False) == found_after(layout)


class DyingAt(FaultyFileSystem):
    """This host's filesystem, until the first operation of one kind on one path."""

    def __init__(self, path: str, verb: str) -> None:
        super().__init__(OsFileSystem(), Fault(0, None))
        self.last = Operation(verb, path)

    def _do(self, verb: str, path: str, *operations: Callable[[], object] | None) -> object:
        if Operation(verb, path) == self.last:
            self.fault = self.fault._replace(at=self.operations + 1)
        return super()._do(verb, path, *operations)


class Unflushing(OsFileSystem):
    """Flushes nothing."""

    def write(
        self,
        path: str,
        data: bytes,
        *,
        mode: int | None = None,
        at: int = 0,
        durable: bool = True,
    ) -> None:
        super().write(path, data, mode=mode, at=at, durable=False)

    def sync(self, path: str) -> None:
        pass


def test_without_flushing_a_power_cut_takes_what_was_reported(outlet: Volume) -> None:
    """The cut is one."""
    layout, request = promotion(outlet)
    before = observe(OsFileSystem(), layout)
    carry_out(layout, request, fs=Unflushing(), on_done=outlet.cut_power)
    outlet.restart()
    assert (before, 0, False) == found_after(layout)
