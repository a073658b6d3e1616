"""Who may change a target, and whose records are believed: real users, real files."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from program import installed
from reporters import Heard
from targets import links, listing, make_target
from tierctl.change import change
from tierctl.change.requests import Promotion
from tierctl.errors import NotWritable, Untrusted
from tierctl.fs import mounts
from tierctl.fs.local import OsFileSystem
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import Author
from tools import as_user, require_root

ADA, BOB, LAB = 10011, 10012, 10013


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that other users can reach, as pytest's own are not."""
    require_root()
    with TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def give(directory: Path, uid: int, gid: int, *, group_writes: bool = False) -> None:
    """Give a tree to a user and a group."""
    for path in (directory, *directory.rglob("*")):
        os.lchown(path, uid, gid)
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o2775 if group_writes else 0o755)


def run_as(uid: int, *arguments: object, groups: tuple[int, ...] = ()) -> tuple[int, str]:
    """Run the installed program as another user; return its exit code and what it said."""
    user = as_user(uid, *groups) if uid else []
    command = [*user, sys.executable, installed(), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("record", ["history.jsonl", "lock"])
def test_a_record_that_cannot_be_written_is_found_before_anything_moves(
    place: Path, record: str
) -> None:
    layout = make_target(place / "lab", blue=42, green=41)
    give(place / "lab", ADA, ADA)
    assert 0 == run_as(ADA, "promote-staging", "-t", layout.top)[0]
    os.chown(f"{layout.control}/{record}", 0, 0)
    os.chmod(f"{layout.control}/{record}", 0o644)
    before = links(layout), sorted(os.listdir(layout.control))
    real = run_as(ADA, "rollback", "-t", layout.top)
    assert real[0] == 1
    assert f"no permission to write to {layout.control}/{record}: only root can" in real[1]
    assert (1, real[1]) == run_as(ADA, "rollback", "-n", "-t", layout.top)
    assert before == (links(layout), sorted(os.listdir(layout.control)))


def test_where_another_member_s_link_cannot_be_moved_no_other_link_ever_is(place: Path) -> None:
    """In a sticky directory: nothing is moved, and moved back, to find that out."""
    layout = make_target(place / "lab", blue=42, green=41)
    give(place / "lab", ADA, LAB, group_writes=True)
    assert 0 == run_as(ADA, "promote-staging", "-t", layout.top, groups=(LAB,))[0]
    os.chmod(layout.infrastructure, 0o3775)
    os.chown(layout.infrastructure, 0, LAB)
    os.lchown(layout.within("staging"), BOB, LAB)
    before = {name: os.lstat(layout.within(name)) for name in links(layout)}
    code, said = run_as(ADA, "rollback", "-t", layout.top, groups=(LAB,))
    assert (1, True) == (code, "nothing was changed" in said), said
    assert "Operation not permitted" in said
    assert before == {name: os.lstat(layout.within(name)) for name in links(layout)}


def test_what_root_makes_in_somebody_s_target_they_can_go_on_with(place: Path) -> None:
    layout = make_target(place / "lab", blue=42, green=41)
    give(place / "lab", ADA, ADA)
    assert 0 == run_as(0, "promote-staging", "-t", layout.top)[0]
    owners = {name: os.stat(f"{layout.control}/{name}").st_uid for name in _records(layout)}
    assert {".": ADA, "history.jsonl": ADA, "holder.json": ADA, "lock": ADA} == owners
    assert 0 == run_as(ADA, "rollback", "-t", layout.top)[0]


def test_members_of_a_group_go_on_where_another_one_stopped(place: Path) -> None:
    """In a target made by hand there is no policy that names the group."""
    layout = make_target(place / "lab", blue=42, green=41)
    give(place / "lab", ADA, LAB, group_writes=True)
    assert 0 == run_as(BOB, "promote-staging", "-t", layout.top, groups=(LAB,))[0]
    assert 0 == run_as(ADA, "rollback", "-t", layout.top, groups=(LAB,))[0]
    assert (1, True) == _refused(run_as(BOB + 5, "rollback", "-t", layout.top))
    newest = json.loads(Path(layout.history).read_text().splitlines()[-1])
    assert ("rollback", str(ADA)) == (newest["kind"], newest["user"])


def test_a_group_is_not_believed_where_only_the_owner_writes(place: Path) -> None:
    layout = make_target(place / "lab", blue=42, green=41)
    give(place / "lab", ADA, LAB)
    assert 0 == run_as(ADA, "promote-staging", "-t", layout.top)[0]
    os.chown(layout.history, BOB, LAB)
    _, said = run_as(ADA, "status", "-t", layout.top)
    assert "not trusted" in said


def test_records_that_everybody_may_write_to_are_refused(tmp_path: Path) -> None:
    layout = make_target(tmp_path / "lab")
    os.mkdir(layout.control)
    os.chmod(layout.control, 0o777)
    before = listing(layout.infrastructure)
    with pytest.raises(Untrusted, match="can be written by everybody"):
        _promote(layout)
    assert before == listing(layout.infrastructure)


def test_records_put_elsewhere_while_waiting_for_the_lock_are_not_followed(tmp_path: Path) -> None:
    layout = make_target(tmp_path / "lab")
    os.mkdir(layout.control)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def swap() -> None:
        time.sleep(0.1)
        os.rename(layout.control, f"{layout.control}.old")
        os.symlink(elsewhere, layout.control)

    swapping = threading.Thread(target=swap)
    with OsFileSystem().lock(layout.lock, mode=0o600, timeout=0):
        swapping.start()
        waiting = subprocess.Popen(
            [sys.executable, installed(), "promote-staging", "-t", layout.top],
            stderr=subprocess.PIPE,
        )
        swapping.join()
        time.sleep(0.3)
        os.link(f"{layout.control}.old/lock", elsewhere / "lock")
    (_, said) = waiting.communicate(timeout=30)
    assert 1 == waiting.returncode
    # It had opened the directory when that was replaced, or came later.
    known = (f"{layout.control}: Replaced by something else", f"{layout.control} is a symlink")
    assert any(words in said.decode() for words in known)
    assert ["lock"] == os.listdir(elsewhere)
    assert {"production": "green", "staging": "blue"}.items() <= links(layout).items()


@pytest.mark.parametrize("kind", ["fifo", "directory"])
def test_what_is_no_file_is_no_lock(tmp_path: Path, kind: str) -> None:
    layout = make_target(tmp_path / "lab")
    os.mkdir(layout.control)
    os.mkfifo(layout.lock) if kind == "fifo" else os.mkdir(layout.lock)
    with pytest.raises(Exception, match=r"Not a regular file|Is a directory"):
        _promote(layout)


def test_a_read_only_filesystem_is_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = make_target(tmp_path / "lab")
    mount = mounts.Mount("ext4", "/software", ("ro",))
    monkeypatch.setattr(mounts, "find", lambda path: mount)
    monkeypatch.setattr(OsFileSystem, "is_writable", lambda self, path: False)
    with pytest.raises(NotWritable, match="the filesystem on /software is mounted read-only"):
        _promote(layout)


def _records(layout: Layout) -> list[str]:
    return [".", *os.listdir(layout.control)]


def _refused(ended: tuple[int, str]) -> tuple[int, bool]:
    return ended[0], "no permission to write to" in ended[1]


def _promote(layout: Layout) -> None:
    change.carry_out(
        Target(OsFileSystem(), layout), Promotion(), Author("ada", "lab"), Heard(), lock_timeout=0
    )


class _Silent:
    """A reporter that nobody hears."""

    def recovered(self, event: object) -> None: ...

    def done(self, outcome: object) -> None: ...

    def warn(self, text: str) -> None: ...
