"""One cause is one finding, told with its place."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from damage import append, bootstrapped, found, problems
from tierctl.doctor import diagnose
from tierctl.fs.local import OsFileSystem
from tierctl.target.paths import Layout
from tierctl.target.target import Target


class Full(OsFileSystem):
    """A disk on which nothing more finds room, not even a symlink or a file's bytes."""

    def write(
        self,
        path: str,
        data: bytes,
        *,
        mode: int | None = None,
        at: int = 0,
        durable: bool = True,
    ) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def make_link(self, path: str, target: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A target in a path that has to be quoted."""
    return bootstrapped(tmp_path / "my lab")


def test_a_full_disk_is_told_of_once_and_not_as_the_clock(layout: Layout) -> None:
    (finding,) = problems(layout, Full())
    assert "guarantee" == finding.subject
    assert finding.text.endswith(": No space left on device")


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (b"{}\n", "1 line of {} is no event: line 2"),
        (b"{}\n[1]\n", "2 lines of {} are no events: lines 2, 3"),
        (b"{}\n" * 7, "7 lines of {} are no events: lines 2, 3, 4, 5, 6, ..."),
    ],
)
def test_lines_that_are_no_events_are_told_by_number(
    layout: Layout, lines: bytes, text: str
) -> None:
    append(layout, lines)
    finding = found(layout, " of ")
    assert text.format(layout.history) == finding.text


def test_the_first_of_them_is_shown_and_removed_by_what_is_typed(layout: Layout) -> None:
    append(layout, b"{}\nrubbish\n")
    advice = found(layout, "are no events").advice
    show, _, remove = advice.removeprefix("To see the first: ").partition(". ")
    assert "{}\n" == subprocess.run(["sh", "-c", show], capture_output=True, text=True).stdout
    subprocess.run(["sh", "-c", remove.rpartition(": ")[2]], check=True)
    assert "is no event: line 2" in found(layout, "is no event").text
    assert b"{}\n" not in Path(layout.history).read_bytes()


def test_what_an_interrupted_bootstrap_left_is_removed_by_what_is_typed(layout: Layout) -> None:
    Path(layout.half_built, "blue").mkdir(parents=True)
    command = found(layout, "an interrupted bootstrap left").advice.rpartition(": ")[2]
    subprocess.run(["sh", "-c", command], check=True)
    assert not Path(layout.half_built).exists()


def test_a_newer_versions_change_is_moved_away_by_what_is_typed(layout: Layout) -> None:
    Path(layout.intent).write_text('{"schema": 9, "kind": "promotion"}')
    command = problems(layout)[0].advice.rpartition(": ")[2]
    subprocess.run(["sh", "-c", command], check=True)
    assert [] == problems(layout)


def test_a_link_that_is_damaged_is_not_said_to_have_been_moved_too(layout: Layout) -> None:
    Path(layout.within("staging")).unlink()
    assert 1 == len(problems(layout))
    texts = [finding.text for finding in diagnose(Target(OsFileSystem(), layout))]
    assert not any("without tierctl" in text for text in texts)
