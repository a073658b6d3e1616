"""What doctor says of records that those who may change the target cannot write."""

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

from damage import bootstrapped, close_record, fix, problems, replace, shared, some_group
from program import installed
from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import FileSystem
from tierctl.target.paths import Layout
from tools import as_user, require_root

RECORDS = ["lock", "history", "intent"]
ADA = 10005


class NotWritable(OsFileSystem):
    """A file that the caller may not write."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def is_writable(self, path: str) -> bool:
        return path != self._path and super().is_writable(path)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A target in a path that has to be quoted."""
    return bootstrapped(tmp_path / "my lab")


@pytest.fixture
def adas(layout: Layout) -> Layout:
    """A target that all belongs to ada."""
    require_root()
    give(layout.top)
    for path in Path(layout.top).rglob("*"):
        give(str(path))
    return layout


def give(path: str) -> None:
    os.chown(path, ADA, ADA, follow_symlinks=False)


def as_ada(layout: Layout, *options: str) -> dict[str, Any]:
    command = [*as_user(ADA), installed(), "doctor", "-t", layout.top, "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    return json.loads(done.stdout)


def wrong(layout: Layout, fs: FileSystem | None = None) -> list[str]:
    return [finding.text for finding in problems(layout, fs)]


@pytest.mark.parametrize("name", ["history", "lock"])
def test_what_root_made_is_a_problem_for_whose_target_it_is(adas: Layout, name: str) -> None:
    path = getattr(adas, name)
    assert [] == problems(adas)
    os.chown(path, 0, 0)
    (finding,) = problems(adas)
    assert f"{path} belongs to root: {ADA} cannot write it" == finding.text
    assert f"Type: chown {ADA} {shlex.quote(path)}" == finding.advice
    subprocess.run(["sh", "-c", finding.advice.removeprefix("Type: ")], check=True)
    assert [] == problems(adas)


def test_they_are_told_whom_to_ask(adas: Layout) -> None:
    os.chown(adas.history, 0, 0)
    findings = as_ada(adas)["findings"]
    assert isinstance(findings, list)
    (finding,) = [finding for finding in findings if finding["severity"] == "problem"]
    assert f"Ask root to type: chown {ADA} {shlex.quote(adas.history)}" == finding["advice"]


@pytest.mark.parametrize("name", ["history", "lock"])
def test_a_record_that_its_owner_closed_is_opened_by_what_is_typed(adas: Layout, name: str) -> None:
    path = getattr(adas, name)
    os.chmod(path, 0o400 if name == "lock" else 0o444)
    (finding,) = problems(adas)
    assert f"{path} cannot be written by {ADA}, whose it is" == finding.text
    assert f"Type: chmod u+rw {shlex.quote(path)}" == finding.advice
    subprocess.run(["sh", "-c", finding.advice.removeprefix("Type: ")], check=True)
    assert (0o600 if name == "lock" else 0o644) == os.stat(path).st_mode & 0o777
    assert [] == problems(adas)


@pytest.mark.parametrize("name", RECORDS)
def test_what_the_caller_cannot_write_is_told_of_with_its_owner(
    layout: Layout, mocker: MockerFixture, name: str
) -> None:
    path = getattr(layout, name)
    close_record(path, 0o600)
    mocker.patch("os.geteuid", return_value=os.stat(path).st_uid + 1)
    texts = wrong(layout, NotWritable(path))
    assert any(text.startswith(f"{path} belongs to ") for text in texts)
    assert any(text.endswith(": you cannot write it") for text in texts)


def test_where_the_links_cannot_be_changed_either_it_is_no_problem(
    layout: Layout, mocker: MockerFixture
) -> None:
    mocker.patch.object(OsFileSystem, "is_writable", return_value=False)
    assert [] == problems(layout)


def test_what_is_not_shared_with_the_group_is_one_problem(
    tmp_path: Path, mocker: MockerFixture
) -> None:
    layout = shared(tmp_path)
    os.chmod(layout.history, 0o444)
    (finding,) = problems(layout)
    assert f"{layout.history} is not shared with the group {some_group().name}" == finding.text
    fix(layout)
    assert [] == problems(layout)


@pytest.mark.parametrize("kind", ["directory", "fifo", "symlink"])
@pytest.mark.parametrize("name", RECORDS)
def test_what_is_no_file_is_moved_away_by_what_is_typed(
    layout: Layout, name: str, kind: str
) -> None:
    Path(f"{getattr(layout, name)}.old").touch()
    replace(getattr(layout, name), kind)
    (finding,) = problems(layout)
    subprocess.run(["sh", "-c", finding.advice.rpartition(": ")[2]], check=True)
    assert [] == problems(layout)
    assert os.path.lexists(f"{getattr(layout, name)}.old.2")


@pytest.mark.parametrize("name", ["control", "history", "config"])
def test_what_everybody_may_write_is_closed_by_what_is_typed(layout: Layout, name: str) -> None:
    os.chmod(getattr(layout, name), 0o777 if name == "control" else 0o666)
    (finding,) = problems(layout)
    subprocess.run(["sh", "-c", finding.advice.rpartition(": ")[2]], check=True)
    assert [] == problems(layout)


def test_a_strangers_record_is_given_back_by_what_is_typed(layout: Layout) -> None:
    require_root()
    os.chown(layout.history, ADA, ADA)
    (finding,) = problems(layout)
    assert "not trusted" in finding.text
    subprocess.run(["sh", "-c", finding.advice.rpartition(": ")[2]], check=True)
    assert [] == problems(layout)


@pytest.mark.parametrize("name", ["", "bin", "etc/profile.sh"])
def test_a_tier_that_everybody_may_write_is_closed_by_what_is_typed(
    layout: Layout, name: str
) -> None:
    path = Path(layout.within("green"), name)
    path.chmod(path.stat().st_mode | 0o002)
    found = {finding.subject: finding for finding in problems(layout)}
    assert {"permissions", "deployments"} == found.keys()
    finding = found["permissions"]
    subprocess.run(["sh", "-c", finding.advice], check=True)
    assert [] == problems(layout)


def test_a_record_that_somebody_closed_is_not_opened_by_a_repair(adas: Layout) -> None:
    os.chmod(adas.history, 0o444)
    (finding,) = [
        found for found in as_ada(adas, "--fix")["findings"] if found["severity"] == "problem"
    ]
    assert f"{adas.history} cannot be written by {ADA}, whose it is" == finding["text"]
    assert 0o444 == os.stat(adas.history).st_mode & 0o777


def test_what_root_closed_and_can_write_all_the_same_is_no_problem(layout: Layout) -> None:
    require_root()
    os.chmod(layout.history, 0o444)
    assert [] == problems(layout)
