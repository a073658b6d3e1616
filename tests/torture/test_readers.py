"""Readers of the links on each filesystem, while they change."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.readers import FILE, Clock, Judge, Sight, old_or_new, pair, reading
from harness.volumes import EXCHANGING, KINDS, Volume, WithoutExchange, each_of
from program import run_installed
from reporters import carry_out
from thorough import every, times
from tierctl.change.requests import Promotion
from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import FileSystem
from tierctl.target.paths import Layout

BY_PROGRAM, IN_PROCESS = times(1, 300), times(20, 20_000)
DEPLOYS = times(1, 50)

Changing = Callable[[Layout, Clock], None]


volume = each_of(KINDS)


def target(volume: Volume, **versions: str) -> Layout:
    """Make a target in which a file of each color says which version that is."""
    layout = volume.target(blue=1, green=2)
    for color, version in versions.items():
        path = Path(layout.within(color), FILE)
        path.parent.mkdir()
        path.write_text(version)
    return layout


def seen_during(
    volume: Volume, clock: Path, change: Changing, judge: Judge = pair, **versions: str
) -> Sight:
    """Return what all readers together have seen while there were changes."""
    layout = target(volume, **(versions or {"blue": "blue", "green": "green"}))
    found: list[Sight] = []
    with reading(layout.infrastructure, clock, judge, found) as ticking:
        change(layout, ticking)
    assert all(sight.looks > 5 for sight in found)
    return sum(found, Sight())


def promoting(fs: FileSystem, count: int = IN_PROCESS) -> Changing:
    def change(layout: Layout, clock: Clock) -> None:
        for _ in range(count):
            with clock.change():
                carry_out(layout, Promotion(force=True), fs=fs)

    return change


def promoting_by_program(layout: Layout, clock: Clock) -> None:
    for _ in range(BY_PROGRAM):
        with clock.change():
            done = run_installed("promote-staging", "--force", "-t", layout.top)
        assert 0 == done.code, done.err


def promoting_both_ways(layout: Layout, clock: Clock) -> None:
    promoting_by_program(layout, clock)
    promoting(OsFileSystem())(layout, clock)


def renaming(layout: Layout, clock: Clock) -> None:
    """Do what a promotion without exchange does, and nothing else."""
    colors = ["blue", "green"]
    for _ in range(IN_PROCESS):
        with clock.change():
            for tier, color in zip(("production", "staging"), colors, strict=True):
                os.symlink(color, layout.within("new"))
                os.rename(layout.within("new"), layout.within(tier))
        colors.reverse()


def until_noticed(change: Changing) -> Changing:
    """Repeat changes until a reader has noticed something wrong, a hundred times at most."""

    def repeat(layout: Layout, clock: Clock) -> None:
        for _ in range(100):
            change(layout, clock)
            if clock.noticed:
                break

    return repeat


def deploying(place: Path) -> Changing:
    file = place / "definitions" / "tier" / FILE
    file.parent.mkdir(parents=True)

    def change(layout: Layout, clock: Clock) -> None:
        words = ["deploy", "staging", "--definitions", place / "definitions"]
        for version in range(1, DEPLOYS + 1):
            file.write_text(str(version))
            with clock.change():
                done = run_installed(*words, "-t", layout.top)
            assert 0 == done.code, done.err

    return change


def forgetting(layout: Layout, clock: Clock) -> None:
    """Say that there were deploys, and do none."""
    for _ in range(DEPLOYS):
        with clock.change():
            time.sleep(0.1)
    time.sleep(0.1)


class Flushing(WithoutExchange):
    """Flushes after each renaming, also between those of the two tiers."""

    def rename(self, path: str, new: str) -> None:
        super().rename(path, new)
        self.sync(os.path.dirname(new))
        time.sleep(0.02)  # what a disk takes: the images are in memory


class Unlinking(OsFileSystem):
    """Takes the old link away before it makes the new one, as the usual script does."""

    def exchange(self, first: str, second: str) -> None:
        texts = os.readlink(first), os.readlink(second)
        for path, text in zip((first, second), reversed(texts), strict=True):
            os.unlink(path)
            os.symlink(text, path)


# As it is to be


@pytest.mark.parametrize("volume", EXCHANGING, indirect=True)
def test_no_reader_misses_a_link_or_sees_both_on_one_version(
    volume: Volume, tmp_path: Path
) -> None:
    """A list of the directory that is read meanwhile can lack a name on btrfs."""
    seen = seen_during(volume, tmp_path / "clock", promoting_both_ways)
    assert (0, 0) == (seen.missing, seen.wrong)
    assert seen.judged > IN_PROCESS
    assert 0 == seen.unlisted or volume.kind == "btrfs"


@pytest.mark.parametrize("volume", ["bindfs"], indirect=True)
def test_on_bindfs_who_misses_a_link_finds_it_by_looking_again(
    volume: Volume, tmp_path: Path
) -> None:
    seen = seen_during(volume, tmp_path / "clock", promoting_both_ways)
    assert 0 == seen.lost
    assert seen.judged > IN_PROCESS


@pytest.mark.parametrize("volume", ["bindfs"], indirect=True)
def test_on_bindfs_a_link_is_missed_whoever_renames_another_over_it(
    volume: Volume, tmp_path: Path
) -> None:
    """What is seen there during promotions is not their doing."""
    seen = seen_during(volume, tmp_path / "clock", until_noticed(renaming))
    assert seen.missing > 0
    assert 0 == seen.lost


@pytest.mark.parametrize("volume", every(EXCHANGING, 2), indirect=True)
def test_no_reader_misses_a_link_where_they_are_replaced_one_by_one(
    volume: Volume, tmp_path: Path
) -> None:
    """Slowly, so that they see both on one version: they can, on each filesystem."""
    flushing = until_noticed(promoting(Flushing(), times(20, 2_000)))
    seen = seen_during(volume, tmp_path / "clock", flushing)
    assert 0 == seen.missing
    assert seen.wrong > 0


@pytest.mark.parametrize("volume", every(KINDS, 2), indirect=True)
def test_through_staging_readers_get_the_old_or_the_new_version(
    volume: Volume, tmp_path: Path
) -> None:
    """Never an older one than was there when they looked; and production stays."""
    seen = seen_during(
        volume, tmp_path / "clock", deploying(tmp_path), old_or_new, blue="0", green="0"
    )
    assert (0, 0) == (seen.lost, seen.wrong)
    assert 0 == seen.missing or volume.kind == "bindfs"
    assert seen.judged > DEPLOYS


# Broken variants, to be seen


@pytest.mark.parametrize("volume", ["tmpfs"], indirect=True)
def test_readers_miss_a_link_that_is_unlinked_before_it_is_made(
    volume: Volume, tmp_path: Path
) -> None:
    seen = seen_during(volume, tmp_path / "clock", until_noticed(promoting(Unlinking(), 20)))
    assert seen.missing > 0


@pytest.mark.parametrize("volume", ["xfs"], indirect=True)
def test_readers_see_both_on_one_version_for_longer_if_there_is_flushing_in_between(
    volume: Volume, tmp_path: Path
) -> None:
    at_once, flushing = (
        seen_during(volume, tmp_path / "clock", promoting(fs, 25))
        for fs in (WithoutExchange(), Flushing())
    )
    assert 0 == at_once.missing == flushing.missing
    assert flushing.wrong / flushing.judged > 2 * at_once.wrong / at_once.judged


@pytest.mark.parametrize("volume", ["tmpfs"], indirect=True)
def test_readers_see_what_is_deployed_too_late(volume: Volume, tmp_path: Path) -> None:
    late = until_noticed(forgetting)
    seen = seen_during(volume, tmp_path / "clock", late, old_or_new, blue="0", green="0")
    assert seen.wrong > 0
