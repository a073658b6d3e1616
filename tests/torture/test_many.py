"""Many commands at once: one after the other, and every success in history exactly once."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from subprocess import PIPE

import pytest

from harness import broken
from program import installed, run_installed
from targets import links, make_target
from thorough import times
from tierctl.target.paths import Layout
from tools import require_tool

PROMOTE = ["promote-staging", "--force", "--lock-timeout", "60"]
MIXED = [
    PROMOTE,
    ["rollback", "--lock-timeout", "60"],
    ["deploy", "dev1", "--rebuild", "--lock-timeout", "60"],
    ["prune", "--keep", "0", "--older-than", "0d", "--lock-timeout", "60"],
    ["status"],
]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A target, and definitions of a few files."""
    (tmp_path / "tier" / "bin").mkdir(parents=True)
    (tmp_path / "tier" / "bin" / "hello").write_text("#!/bin/sh\necho hello\n")
    (tmp_path / "tierctl.toml").write_text('target = "lab"\n')
    return make_target(tmp_path / "lab", green=1, blue=2)


def start(program: Sequence[str], layout: Layout, words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*program, *words, "-t", layout.top, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(layout.top).parent,
    )


def test_they_are_serialised_and_recorded(layout: Layout) -> None:
    start_together([installed()], layout, times(20, 50), rounds=times(1, 20))


def test_it_would_be_noticed_if_nobody_were_locked_out(layout: Layout) -> None:
    with pytest.raises(AssertionError):
        start_together(broken.program(broken.locks_nobody_out), layout, 10, rounds=1)


def start_together(program: Sequence[str], layout: Layout, count: int, *, rounds: int) -> None:
    """Start commands of each kind at once, some times; then see what became of them."""
    expected: list[str] = []
    for _ in range(rounds):
        running = [start(program, layout, MIXED[n % len(MIXED)]) for n in range(count)]
        answers = [(*process.communicate(), process.returncode) for process in running]
        for out, err, code in answers:
            document = json.loads(out)
            # Only a rollback may have nothing to do: there may be nothing to go back to.
            assert code == 0 or (code, document["command"]) == (1, "rollback"), err
            if document.get("event"):
                expected.append(document["event"]["id"])
        require_agreement(layout, expected)


def require_agreement(layout: Layout, expected: Sequence[str]) -> None:
    """See that history holds each success once, one leading to the next, and the links the last."""
    events = run_installed("history", "-t", layout.top, "--json").document["events"]
    assert sorted(expected) == sorted(event["id"] for event in events)
    for older, newer in pairwise(reversed(events)):
        assert shown(older["after"]) == shown(newer["before"])
    assert shown(links(layout)) == shown(events[0]["after"])


def shown(state: dict[str, str]) -> dict[str, str]:
    """Return what a state, or the links, say of what everybody loads."""
    return {name: state[name] for name in ("production", "staging", "blue", "green")}


@pytest.fixture
def holding(layout: Layout, tmp_path: Path) -> Iterator[int]:
    """The process of a promotion that was stopped when it had removed its intent."""
    os.makedirs(layout.control)
    log = tmp_path / "log"
    run_installed("promote-staging", "-t", layout.top)
    stop = ["-P", layout.control, "-e", "inject=unlinkat:signal=SIGSTOP"]
    command = [require_tool("strace"), "-D", "-o", str(log), *stop, installed()]
    with subprocess.Popen([*command, *PROMOTE, "-t", layout.top], stderr=PIPE) as process:
        try:
            wait_for("stopped by SIGSTOP", log)
            yield process.pid
        finally:
            process.kill()


def wait_for(text: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while not log.exists() or text not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_stopped_holder_is_named(layout: Layout, holding: int) -> None:
    done = run_installed("promote-staging", "--lock-timeout", "0.2", "-t", layout.top)
    assert 1 == done.code
    assert f"(promotion, process {holding}, since 2" in done.err
    assert f"on {os.uname().nodename} " in done.err
    assert f"which is stopped; waited 0.2 s\nLet it go on with: kill -CONT {holding}" in done.err
    os.kill(holding, signal.SIGCONT)
    assert 0 == run_installed("rollback", "-t", layout.top).code


def test_a_killed_holder_blocks_nobody(layout: Layout, holding: int) -> None:
    os.kill(holding, signal.SIGKILL)
    assert 0 == run_installed("rollback", "--lock-timeout", "5", "-t", layout.top).code
