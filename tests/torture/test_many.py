"""Many commands at once: one after the other, and every success in history exactly once."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from program import installed, run_installed
from targets import links, make_target
from thorough import times
from tierctl.layout import Layout

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


def start(layout: Layout, words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [installed(), *words, "-t", layout.target, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(layout.target).parent,
    )


def test_they_are_serialised_and_recorded(layout: Layout) -> None:
    count, expected = times(20, 50), []
    for _ in range(times(1, 20)):
        running = [start(layout, MIXED[n % len(MIXED)]) for n in range(count)]
        for process in running:
            out, err = process.communicate()
            document = json.loads(out)
            assert process.returncode in (0, 1), err
            if process.returncode == 1:  # a rollback that has nothing to go back to
                assert "rollback" == document["command"], err
            if document.get("event"):
                expected.append(document["event"]["id"])
    events = run_installed("history", "-t", layout.target, "--json").document["events"]
    assert sorted(expected) == sorted(event["id"] for event in events)
    for older, newer in zip(events[1:], events, strict=False):
        for name in ("production", "staging", "blue", "green"):
            assert older["after"][name] == newer["before"][name]
    found, newest = links(layout), events[0]["after"]
    assert {name: newest[name] for name in ("production", "staging", "blue", "green")} == {
        name: found[name] for name in ("production", "staging", "blue", "green")
    }


def test_a_holder_that_is_killed_blocks_nobody_and_a_stopped_one_is_named(
    layout: Layout,
) -> None:
    os.makedirs(layout.control)
    run_installed("promote-staging", "-t", layout.target)
    holding = subprocess.Popen(
        [
            "strace",
            *("-qq", "-o", "/dev/null", "-P", layout.intent, "-e", "inject=unlink:delay_enter=60s"),
            *(installed(), *PROMOTE, "-t", layout.target),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 20
    while not os.path.exists(layout.intent):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    done = run_installed("promote-staging", "--lock-timeout", "0.2", "-t", layout.target)
    assert 1 == done.code
    assert "promotion" in done.err
    (held,) = Path(f"/proc/{holding.pid}/task/{holding.pid}/children").read_text().split()
    assert held in done.err
    os.kill(int(held), signal.SIGKILL)
    holding.kill()
    holding.wait()
    assert 0 == run_installed("rollback", "--lock-timeout", "5", "-t", layout.target).code
