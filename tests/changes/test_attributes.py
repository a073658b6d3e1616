"""History that an admin has protected with chattr: appended to, or a clear refusal."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from program import Program
from targets import links, make_target
from tierctl.target.paths import Layout
from tools import missing, require_root, require_tool


@pytest.fixture
def tierctl(capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(capsys)


@pytest.fixture
def layout(tmp_path: Path, tierctl: Program) -> Layout:
    layout = make_target(tmp_path / "lab", blue=41, green=42)
    assert 0 == tierctl("promote-staging", "-t", layout.top).code
    return layout


@contextmanager
def attribute(which: str, path: str) -> Iterator[None]:
    """Give a file an attribute; skip where the filesystem has none."""
    require_root()
    chattr = require_tool("chattr")
    if subprocess.run([chattr, f"+{which}", path], capture_output=True).returncode:
        missing("this filesystem has no attributes")
    try:
        yield
    finally:
        subprocess.run([chattr, f"-{which}", path], check=False)


def events(tierctl: Program, layout: Layout) -> list[str]:
    found = tierctl("history", "--json", "-t", layout.top).document["events"]
    return [event["kind"] for event in found]


def test_what_can_only_be_appended_to_is_appended_to(tierctl: Program, layout: Layout) -> None:
    with attribute("a", layout.history):
        done = tierctl("rollback", "-t", layout.top)
    assert (0, "") == (done.code, "".join(w for w in done.err.splitlines() if "profile" not in w))
    assert ["rollback", "promotion"] == events(tierctl, layout)
    assert "green" == links(layout)["production"]


def test_a_torn_line_there_is_told_with_what_to_type_and_the_change_is_finished_after_that(
    tierctl: Program, layout: Layout
) -> None:
    with open(layout.history, "a") as file:
        file.write('{"schema": 1, "id')
    torn = Path(layout.history).read_bytes()
    with attribute("a", layout.history):
        done = tierctl("rollback", "--json", "-t", layout.top)
        error = done.document["error"]
        assert (1, "unfinished") == (done.code, error["code"])
        assert f"chattr -a {layout.history}" in error["message"]
        fixed = tierctl("doctor", "--fix", "-t", layout.top)
        assert f"chattr -a {layout.history}" in fixed.out + fixed.err
        assert torn == Path(layout.history).read_bytes()
    assert 0 == tierctl("rollback", "-t", layout.top).code
    assert ["rollback", "promotion"] == events(tierctl, layout)
    assert "green" == links(layout)["production"]


@pytest.mark.parametrize("name", ["history", "lock", "control", "infrastructure"])
def test_what_is_immutable_is_told_before_anything_is_changed(
    tierctl: Program, layout: Layout, name: str
) -> None:
    path = getattr(layout, name)
    before = links(layout)
    with attribute("i", path):
        done = tierctl("rollback", "--json", "-t", layout.top)
        told = tierctl("doctor", "-t", layout.top).out
    error = done.document["error"]
    assert (1, "not-writable") == (done.code, error["code"])
    assert f"it is immutable (chattr -i {path}" in error["message"]
    assert f"chattr -i {path}" in told
    assert before == links(layout)
