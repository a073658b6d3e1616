"""What is printed comes out whole, or its loss is told; a change that is made stays one."""

import fcntl
import json
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from program import installed, run_installed
from targets import links, make_target
from tierctl.target.paths import Layout

UNBUFFERED = pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
# Below what a pipe takes at once.
_PIPE_BYTES = 4096


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return make_target(tmp_path / "lab", blue=41, green=42)


@pytest.fixture
def long(layout: Layout) -> Layout:
    """A history that is longer than a pipe is wide."""
    for words in (["promote-staging"], ["rollback"]):
        assert 0 == run_installed(*words, "-t", layout.top, "-m", "x" * 900).code
    lines = Path(layout.history).read_bytes()
    Path(layout.history).write_bytes(lines * 100)
    return layout


def into(stdout: int, *words: str, unbuffered: str = "") -> tuple[int, str]:
    done = subprocess.run(
        [installed(), *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )
    return done.returncode, done.stderr


def read_slowly(fd: int, found: list[bytes]) -> None:
    """Read what comes, a little late; the first time later than it takes to fill the pipe."""
    time.sleep(0.3)
    while data := os.read(fd, 1 << 16):
        found.append(data)
        time.sleep(0.002)


@UNBUFFERED
@pytest.mark.parametrize("waits", [True, False], ids=["blocking", "not blocking"])
@pytest.mark.parametrize("words", [["history", "--json"], ["history"]], ids=" ".join)
def test_a_slow_reader_gets_all_of_it(
    long: Layout, words: list[str], unbuffered: str, *, waits: bool
) -> None:
    expected = run_installed(*words, "-t", long.top).out
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    os.set_blocking(theirs, waits)
    found: list[bytes] = []
    reading = threading.Thread(target=read_slowly, args=[ours, found])
    reading.start()
    code, err = into(theirs, *words, "-t", long.top, unbuffered=unbuffered)
    os.close(theirs)
    reading.join()
    os.close(ours)
    assert (0, "") == (code, err)
    assert len(expected) > 100_000
    assert expected == b"".join(found).decode()


@UNBUFFERED
def test_a_disk_that_takes_only_part_is_told(long: Layout, tmp_path: Path, unbuffered: str) -> None:
    """As one that gets full: a limit on the size of files has the last write be a short one."""
    script = f'ulimit -f 64; exec "$0" "$@" > {tmp_path}/out'
    done = subprocess.run(
        ["bash", "-c", script, installed(), "history", "--json", "-t", long.top],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )
    assert (1, True) == (done.returncode, "standard output: File too large" in done.stderr)


@UNBUFFERED
@pytest.mark.parametrize("json_", [[], ["--json"]], ids=["text", "json"])
def test_a_full_disk_is_told_and_makes_no_change_a_failure(
    layout: Layout, json_: list[str], unbuffered: str
) -> None:
    target = ["-t", layout.top]
    with open("/dev/full", "wb") as full:
        for words in (["--version"], ["promote-staging", "--help"], ["status", *target]):
            code, err = into(full.fileno(), *words, unbuffered=unbuffered)
            assert (1, True) == (code, "standard output: No space left" in err)
        code, err = into(full.fileno(), "promote-staging", *target, *json_, unbuffered=unbuffered)
    assert (0, True) == (code, "the change could not be printed" in err)
    assert "blue" == links(layout)["production"]


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full 2>&1"])
def test_no_stream_that_is_missing_makes_a_change_a_failure(layout: Layout, closed: str) -> None:
    shell = ["sh", "-c", f'exec "$0" "$@" {closed}', installed()]
    done = subprocess.run([*shell, "promote-staging", "-t", layout.top], timeout=60)
    assert 0 == done.returncode
    assert "blue" == links(layout)["production"]


@UNBUFFERED
@pytest.mark.parametrize("encoding", ["ascii:strict", "utf-8:strict", "latin-1", "utf-16"])
def test_every_character_comes_out(layout: Layout, encoding: str, unbuffered: str) -> None:
    done = subprocess.run(
        [
            installed(),
            "promote-staging",
            "-t",
            layout.top,
            "-m",
            b"caf\xc3\xa9 \xff \xe2\x98\x83",
        ],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUNBUFFERED": unbuffered},
    )
    assert 0 == done.returncode, done.stderr
    found = subprocess.run(
        [installed(), "history", "--json", "-t", layout.top],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUNBUFFERED": unbuffered},
    )
    document = json.loads(found.stdout.decode(encoding.partition(":")[0]))
    assert "caf\xe9 \\xff \u2603" == document["events"][0]["reason"]


def test_a_terminal_that_hangs_up_makes_no_change_a_failure(layout: Layout) -> None:
    """Without SIGHUP, as below nohup: what is written fails with EIO."""
    ours, theirs = os.openpty()
    os.close(ours)
    code, err = into(theirs, "promote-staging", "-t", layout.top)
    os.close(theirs)
    assert (0, True) == (code, "the change could not be printed" in err)
    assert "blue" == links(layout)["production"]
