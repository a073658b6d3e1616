"""The engine's process: when it is started, and when it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import wait_until_ended
from program import installed
from tierctl.deploy.engine import process
from tierctl.deploy.engine.process import Worker
from tools import require_tool

pytest.importorskip("rattler")

CHECK = {
    "verb": "check",
    "cache": "/nonexistent",
    "confined": False,
    "within": [],
    "offline": False,
    "shared": False,
    "timeout": 60,
    "specs": [">"],
}
# Calls a program with one of the standard streams closed.
WITHOUT = 'exec "$0" "$@" {}>&-'
TALK = """
import json, os, sys
from tierctl.deploy.engine.process import Worker
worker = Worker()
worker.ask(json.dumps({asked!r}).encode() + b"\\n")
answer = next(worker.answers())
worker.kill()
worker.wait()
with open(sys.argv[1], "wb") as file:
    file.write(answer)
"""


def ask(worker: Worker) -> bool:
    """Ask a worker for something; say whether the answer makes sense, and end it."""
    worker.ask(json.dumps(CHECK).encode() + b"\n")
    answer = json.loads(next(worker.answers()))
    worker.kill()
    worker.wait()
    return bool(answer["wrong"][0])


def test_one_that_was_started_early_is_the_one_that_is_asked() -> None:
    process.start_early()
    (early,) = process._waiting
    taken, other = process.take(), process.take()
    assert early is taken
    assert early is not other
    assert [True, True] == [ask(taken), ask(other)]


@pytest.mark.parametrize(
    ("words", "is_early"),
    [
        (["deploy", "-t", "/nonexistent", "dev1"], True),
        (["deploy", "--help"], False),
        (["status", "-t", "/nonexistent"], False),
        (["promote-staging", "-t", "/nonexistent"], False),
    ],
)
def test_a_deploy_starts_it_before_it_knows_what_for(
    words: list[str], is_early: bool, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    strace = [
        require_tool("strace"),
        "-f",
        "-qq",
        "-s",
        "999",
        "-e",
        "trace=execve",
        "-o",
        str(trace),
    ]
    subprocess.run([*strace, installed(), *words], capture_output=True, check=False)
    started = [line for line in trace.read_text().splitlines() if "worker.serving" in line]
    assert is_early == (len(started) == 1)


def test_it_ends_with_a_process_that_never_asks_it_anything() -> None:
    """It is in its group's place, not the caller's: nothing else would end it."""
    script = "from tierctl.deploy.engine.process import Worker\nprint(Worker().pid)"
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True, timeout=30
    )
    wait_until_ended(int(told.stdout))


@pytest.mark.parametrize("stream", ["0", "1", "2", "0<&- 1"])
def test_a_standard_stream_that_is_closed_is_not_taken_for_its_pipe(
    stream: str, tmp_path: Path
) -> None:
    place = tmp_path / "answer"
    talk = [sys.executable, "-c", TALK.format(asked=CHECK), str(place)]
    subprocess.run(["sh", "-c", WITHOUT.format(stream), *talk], check=True, timeout=30)
    assert json.loads(place.read_bytes())["wrong"][0]


def test_it_is_told_of_the_caller_s_environment_what_it_needs_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RATTLER_AUTH_FILE", "/secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    worker = Worker()
    try:
        worker.ask(json.dumps(CHECK).encode() + b"\n")
        next(worker.answers())  # by now it is the program that was to be started
        environment = Path(f"/proc/{worker.pid}/environ").read_bytes().split(b"\0")
    finally:
        worker.kill()
        worker.wait()
    assert b"HTTPS_PROXY=http://proxy.example" in environment
    assert b"HOME=/nonexistent" in environment
    assert not [entry for entry in environment if entry.startswith(b"RATTLER")]


def test_it_imports_from_where_the_caller_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from PYTHONPATH, which it is not told of; a directory that is relative is left out."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend("relative")
    says = process._PROGRAM.replace("main()", "import json; print(json.dumps(sys.path))")
    monkeypatch.setattr(process, "_PROGRAM", says)
    worker = Worker()
    places = json.loads(next(worker.answers()))
    worker.wait()
    assert str(tmp_path) in places
    assert places.index(str(tmp_path)) > places.index(os.path.dirname(json.__path__[0]))
    assert "relative" not in places


def test_one_that_lacks_something_says_what(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = process._PROGRAM.replace("worker.serving", "worker.nothing")
    monkeypatch.setattr(process, "_PROGRAM", broken)
    worker = Worker()
    (said,) = json.loads(next(worker.answers()))["failed"].values()
    worker.wait()
    assert "it cannot be started: No module named 'tierctl.deploy.engine.worker.nothing'" == said


def test_what_the_caller_has_open_is_not_the_engine_s(tmp_path: Path) -> None:
    """A lock that a job holds on a file is not to outlive it, nor the file to be written."""
    with (tmp_path / "job.lock").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        worker = Worker()
        try:
            worker.ask(json.dumps(CHECK).encode() + b"\n")
            next(worker.answers())
            opened = Path(f"/proc/{worker.pid}/fd").iterdir()
            assert str(tmp_path / "job.lock") not in map(os.readlink, opened)
        finally:
            worker.kill()
            worker.wait()


def test_nobody_need_wait_for_it() -> None:
    """As where the caller's caller ignores SIGCHLD."""
    script = (
        "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "from tierctl.deploy.engine.process import Worker\n"
        "worker = Worker(); worker.kill(); worker.wait(); worker.kill()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=30)
    assert (0, b"") == (done.returncode, done.stderr)
