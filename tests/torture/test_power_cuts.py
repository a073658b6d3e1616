"""Real power cuts, at every system call of a command and at any moment of a target's life."""

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from harness import strace
from harness.lives import FS, commands, definitions, lost, reported, require_whole
from harness.scenarios import SCENARIOS, concerned, is_between, links_of, reference, shape
from harness.volumes import JOURNALLED, Volume, WithoutExchange, each_of
from program import Ended, Program, installed, run, run_installed
from reporters import Heard, carry_out
from targets import links
from thorough import every, times
from tierctl.change.ending import Outcome
from tierctl.change.requests import Promotion
from tierctl.fs import tree
from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import FileSystem, exists
from tierctl.journal import history
from tierctl.rotation.state import Content, promoted
from tierctl.target.links import observe
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.testing import Fault, FaultyFileSystem, Killed
from tools import require_tool

CUTS = times(2, 200)
SWAPPED = {"production": "blue", "staging": "green"}


outlet = each_of(JOURNALLED)


# Before every system call


@pytest.mark.parametrize("name", [*SCENARIOS][: times(1, len(SCENARIOS))])
def test_whenever_the_power_is_cut_the_next_command_ends_it(name: str, outlet: Volume) -> None:
    """And what had been said to be done is done."""
    scenario, place = SCENARIOS[name], outlet.place()
    undisturbed = reference(scenario, place)
    for call in every(undisturbed.calls, 3):
        layout, words = scenario.prepare(place / "it")
        outlet.flush()
        done = strace.killed(words, concerned(layout), call)
        outlet.cut_power()
        outlet.restart()
        assert -9 == done.code, call
        assert is_between(links_of(layout), undisturbed.before, undisturbed.wanted), call
        assert not done.out or links_of(layout) == undisturbed.wanted, call
        assert [] == lost(layout), call
        run(scenario.next_command(layout, done))
        assert undisturbed.after == shape(layout), call
        assert [] == lost(layout), call


@pytest.mark.parametrize(
    "fs", [OsFileSystem(), WithoutExchange()], ids=lambda fs: type(fs).__name__
)
def test_a_promotion_that_a_power_cut_stopped_is_ended_by_the_next(
    fs: FileSystem, outlet: Volume
) -> None:
    """Where links cannot be exchanged too; cut before any operation on the filesystem."""
    counting = FaultyFileSystem(fs, Fault(0))
    wanted = carry_out(outlet.target(blue=2, green=1), Promotion(), fs=counting).after
    for at in every(range(1, counting.operations + 1), 3):
        layout = outlet.target(blue=2, green=1)
        before = links(layout)
        with pytest.raises(Killed):
            carry_out(layout, Promotion(), fs=FaultyFileSystem(fs, Fault(at, None)))
        outlet.cut_power()
        outlet.restart()
        assert is_between(links(layout), before, before | SWAPPED), at
        carry_out(layout, Promotion(), fs=fs)
        assert wanted == observe(Target(fs, layout))
        assert 1 == len([*history.newest_first(Target(fs, layout))])
        assert not exists(fs, layout.intent)


# At the moment of the report, and in the middle of a line


class Cutting(Heard):
    """Cuts the power as soon as it hears of the change."""

    def __init__(self, outlet: Volume) -> None:
        super().__init__()
        self.outlet = outlet

    def done(self, outcome: Outcome) -> None:
        super().done(outcome)
        self.outlet.cut_power()


def test_what_was_reported_outlives_a_power_cut_at_that_moment(outlet: Volume) -> None:
    layout = outlet.target(blue=2, green=1)
    after = promoted(observe(Target(FS, layout)))
    done = carry_out(layout, Promotion(), heard=Cutting(outlet))
    outlet.restart()
    assert (after, done.event) == (observe(Target(FS, layout)), history.newest(Target(FS, layout)))
    assert exists(FS, layout.intent)
    carry_out(layout, Promotion())
    assert [done.event] == list(history.newest_first(Target(FS, layout)))
    assert (after, False) == (observe(Target(FS, layout)), exists(FS, layout.intent))


class Tearing(OsFileSystem):
    """Dies when only so many bytes of a line of history are on disk."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def write(self, path: str, data: bytes, **options: Any) -> None:
        if not path.endswith("history.jsonl"):
            return super().write(path, data, **options)
        super().write(path, data[: self.length], **options)
        raise Killed


def test_a_line_of_history_that_a_power_cut_tore_is_written_anew(outlet: Volume) -> None:
    layout = outlet.target(blue=2, green=1)
    carry_out(layout, Promotion())
    for length in every(range(1, os.path.getsize(layout.history) - 1), 3):
        with pytest.raises(Killed):
            carry_out(layout, Promotion(force=True), fs=Tearing(length))
        outlet.cut_power()
        outlet.restart()
        events = [*history.newest_first(Target(FS, layout))]
        assert length == history.torn_bytes(Target(FS, layout))
        done = carry_out(layout, Promotion(force=True))
        assert [done.event, *events] == [*history.newest_first(Target(FS, layout))]
        assert 0 == history.torn_bytes(Target(FS, layout))


# What a deployment holds


def promote_new(layout: Layout, place: Path, tierctl: Program) -> None:
    """Deploy and promote, in this process."""
    wanted = definitions(place, 1)
    assert 0 == tierctl("deploy", "staging", "--definitions", wanted, "-t", layout.top).code
    assert 0 == tierctl("promote-staging", "-t", layout.top).code


def test_a_deployment_that_was_promoted_is_whole_after_a_power_cut(
    outlet: Volume, tmp_path: Path, tierctl: Program
) -> None:
    layout = outlet.target(blue=2, green=1)
    promote_new(layout, tmp_path, tierctl)
    outlet.cut_power()
    outlet.restart()
    assert Content.of_deployment(3) == observe(Target(FS, layout)).served
    assert [] == lost(layout)


def test_without_flushing_its_filesystem_it_would_not_be(
    outlet: Volume, tmp_path: Path, tierctl: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "flush", lambda path: None)
    layout = outlet.target(blue=2, green=1)
    promote_new(layout, tmp_path, tierctl)
    outlet.cut_power()
    outlet.restart()
    assert Content.of_deployment(3) == observe(Target(FS, layout)).served
    assert "3/etc/data" in lost(layout)


# At any moment


def cut_during(
    outlet: Volume, command: list[str], moment: float | None, *, after: str = "/"
) -> Ended:
    """Run a command and cut the power some seconds after a path is there, or when it has ended."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while not os.path.exists(after) and process.poll() is None:
            time.sleep(0.0001)
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=moment)
        process.send_signal(signal.SIGSTOP)  # it does nothing more, but a call that it is in
        outlet.cut_power()
        process.kill()
        out, err = process.communicate()
    outlet.restart()
    return Ended(process.returncode, out, err)


def test_a_target_survives_power_cuts_at_any_moment_of_its_life(
    outlet: Volume, tmp_path: Path
) -> None:
    layout, told, cuts = outlet.target(blue=2, green=1), [], 0
    chance, life, lasts_s = random.Random(outlet.kind), commands(tmp_path), {}
    while cuts < CUTS:
        words = [*map(str, next(life)), "-t", layout.top, "--json"]
        done = Ended(1, "", "")
        if words[0] in lasts_s and chance.random() < 0.8:
            after, longest = chance.choice([("/", lasts_s[words[0]]), (layout.intent, 0.01)])
            moment = chance.uniform(0, longest)
            done = cut_during(outlet, [installed(), *words], moment, after=after)
            cuts += 1
            told += reported(done)
            require_whole(layout, told)
        if not done.out:  # who has not heard that it is done, again
            begun = time.monotonic()
            done = run_installed(*words)
            lasts_s[words[0]] = time.monotonic() - begun
            assert 0 == done.code, done
            told += reported(done)
            require_whole(layout, told)
            assert not exists(FS, layout.intent)


def test_a_program_that_does_not_flush_is_seen_to_lose_what_it_reported(outlet: Volume) -> None:
    """The cut is one."""
    layout = outlet.target(blue=2, green=1)
    before = links(layout)
    unflushing = [require_tool("strace"), "-qqf", "-o", "/dev/null", "-e", "inject=fsync:retval=0"]
    words = ["promote-staging", "-t", layout.top, "--json"]
    done = cut_during(outlet, [*unflushing, installed(), *words], None)
    assert 1 == len(reported(done))
    assert before == links(layout)
    with pytest.raises(AssertionError):
        require_whole(layout, reported(done))
