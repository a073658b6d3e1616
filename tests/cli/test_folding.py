"""Long lines on a terminal: broken between words, and nowhere where a program reads."""

import os
from pathlib import Path

import pytest

from program import installed, run_installed
from targets import make_target
from terminal import Terminal
from tierctl.target.paths import Layout

COLUMNS = 80
LONG = "a-directory-with-a-name-that-is-long/and-another-one-in-it-so-that-no-line-has-room"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """One with much to say of it: a lock that is open, a line that is none, what is left."""
    (tmp_path / LONG).mkdir(parents=True)
    layout = make_target(tmp_path / LONG / "lab", green=2, blue=3, deployments=(1, 4))
    os.mkdir(layout.control)
    Path(layout.history).write_bytes(b"x\n")
    os.makedirs(f"{layout.deployments}/.9.going")
    return layout


def shown(*words: str) -> list[str]:
    """Return the lines of a command on a terminal of 80 columns."""
    with Terminal(
        "sh",
        "-c",
        '"$@"; echo done-',
        "sh",
        installed(),
        *words,
        env={**os.environ},
        columns=COLUMNS,
    ) as terminal:
        return terminal.wait_for("done-", 30).partition("done-")[0].splitlines()


@pytest.mark.parametrize(
    "command", [["doctor"], ["prune", "-n", "--keep", "0", "--older-than", "0d"]]
)
def test_no_line_is_longer_than_the_terminal_unless_it_is_one_word_or_a_command(
    layout: Layout, command: list[str]
) -> None:
    lines = shown(*command, "-t", layout.top)
    assert any(len(line) > COLUMNS // 2 for line in lines)
    for line in lines:
        is_whole = len(line.split()) == 1 or line.strip().startswith(("tierctl ", "sed "))
        assert len(line) <= COLUMNS or is_whole, line


def test_no_word_is_lost_or_broken(layout: Layout) -> None:
    whole = run_installed("doctor", "-n", "-t", layout.top).out
    assert any(len(line) > 2 * COLUMNS for line in whole.split("\n"))
    assert whole.split() == " ".join(shown("doctor", "-n", "-t", layout.top)).split()
