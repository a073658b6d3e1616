"""Bootstrap beside others: who planted something, who is faster, what fails half way."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from program import Program, installed
from targets import BOOTSTRAPPED, links, listing, make_target
from tierctl.change import bootstrap
from tierctl.errors import ChangeUnfinished
from tierctl.fs.local import OsFileSystem
from tierctl.target.paths import Layout
from tierctl.target.users import Author
from tierctl.testing import Fault, FaultyFileSystem, Killed
from tools import as_user, require_root, require_tool

ADA, EVE = 10021, 10022
AUTHOR = Author("ada", "lab")


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory in which everybody may make things, as in ``/tmp``."""
    require_root()
    with TemporaryDirectory() as name:
        os.chmod(name, 0o1777)
        yield Path(name)


def plant_directory(path: Path, elsewhere: Path) -> None:
    path.mkdir()
    (path / "blue").mkdir()


def plant_link(path: Path, elsewhere: Path) -> None:
    path.symlink_to(elsewhere)


@pytest.mark.parametrize("plant", [plant_directory, plant_link])
def test_what_somebody_else_planted_is_not_built_on(
    open_place: Path, plant: object, tmp_path: Path
) -> None:
    half_built, elsewhere = open_place / ".infrastructure.bootstrap", open_place / "elsewhere"
    elsewhere.mkdir()
    plant(half_built, elsewhere)  # type: ignore[operator]
    for path in (half_built, elsewhere, *half_built.glob("*")):
        os.lchown(path, EVE, EVE)
    before = listing(open_place)
    for options in ([], ["--dry-run"]):
        command = [sys.executable, installed(), "bootstrap", str(open_place), *options]
        done = subprocess.run([*as_user(ADA), *command], capture_output=True, text=True)
        assert 1 == done.returncode
        assert f"not trusted: {half_built} " in done.stderr
        assert f"rm -r {half_built}" in done.stderr
    assert before == listing(open_place)


def test_what_everybody_may_write_to_is_not_built_on(tierctl: Program, tmp_path: Path) -> None:
    half_built = tmp_path / ".infrastructure.bootstrap"
    half_built.mkdir()
    half_built.chmod(0o777)
    done = tierctl("bootstrap", tmp_path)
    assert 1 == done.code
    assert "can be written by everybody" in done.err
    assert [half_built] == list(tmp_path.iterdir())


def test_until_it_is_whole_nobody_else_can_reach_it(tmp_path: Path) -> None:
    """Wherever it is stopped, what is there under the other name is closed."""
    seen = set()
    for at in range(1, 500):
        target = tmp_path / str(at)
        fs = FaultyFileSystem(OsFileSystem(), Fault(at, None))
        try:
            bootstrap.create(fs, str(target), AUTHOR, None, lock_timeout=0)
        except Killed:
            half_built = target / ".infrastructure.bootstrap"
            if half_built.exists() and not _is_about_to_be_renamed(fs):
                seen.add(half_built.stat().st_mode & 0o7777)
        else:
            break
        if not (target / "infrastructure").exists():
            bootstrap.create(OsFileSystem(), str(target), AUTHOR, None, lock_timeout=0)
        assert 0o755 == (target / "infrastructure").stat().st_mode & 0o7777
    assert {0o700} == seen


def _is_about_to_be_renamed(fs: FaultyFileSystem) -> bool:
    return "set_mode" in {operation.verb for operation in fs.trace[:-1]}


def test_of_several_at_once_one_makes_it_and_the_others_say_so(tmp_path: Path) -> None:
    for attempt in range(4):
        target = tmp_path / str(attempt)
        target.mkdir()
        command = [sys.executable, installed(), "bootstrap", str(target)]
        running = [
            subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(6)
        ]
        ended = [(process.communicate(timeout=60)[1], process.returncode) for process in running]
        losers = [said for said, code in ended if code == 1]
        assert 5 == len(losers), ended
        assert all("already exists" in said for said in losers), losers
        assert ["conda_package_cache", "infrastructure"] == sorted(os.listdir(target))
        assert BOOTSTRAPPED == links(Layout.of_target(str(target)))


def test_what_a_faster_one_left_no_room_for_is_taken_away(tmp_path: Path) -> None:
    """The other one ends between this one's look and its first step."""
    target = str(tmp_path / "lab")

    class Overtaken(OsFileSystem):
        def is_writable(self, path: str) -> bool:
            bootstrap.create(OsFileSystem(), target, AUTHOR, None, lock_timeout=0)
            return super().is_writable(path)

    with pytest.raises(bootstrap.Exists):
        bootstrap.create(Overtaken(), target, AUTHOR, None, lock_timeout=0)
    assert ["conda_package_cache", "infrastructure"] == sorted(os.listdir(target))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_what_fails_half_way_can_be_finished(tmp_path: Path, number: int) -> None:
    target = str(tmp_path / "lab")
    faulty = FaultyFileSystem(OsFileSystem(), Fault(30, number))
    with pytest.raises(ChangeUnfinished, match=os.strerror(number)) as caught:
        bootstrap.create(faulty, target, AUTHOR, None, lock_timeout=0)
    assert "run the command again" in caught.value.hint
    bootstrap.create(OsFileSystem(), target, AUTHOR, None, lock_timeout=0)
    assert ["conda_package_cache", "infrastructure"] == sorted(os.listdir(target))


@pytest.mark.parametrize("below", ["infrastructure", "infrastructure/blue", "infrastructure/x/y"])
def test_a_target_within_an_infrastructure_is_refused(
    tierctl: Program, tmp_path: Path, below: str
) -> None:
    layout = make_target(tmp_path / "lab")
    before = listing(tmp_path)
    done = tierctl("bootstrap", tmp_path / "lab" / below)
    assert 1 == done.code
    assert f"lies in an infrastructure: {layout.infrastructure}" in done.err
    assert before == listing(tmp_path)


def test_a_link_that_leads_nowhere_is_said_to_be_one(tierctl: Program, tmp_path: Path) -> None:
    (tmp_path / "lab").symlink_to("gone")
    done = tierctl("bootstrap", tmp_path / "lab")
    assert (1, "") == (done.code, done.out)
    assert f"there is no directory {tmp_path}/lab" in done.err
    assert "symlink that leads nowhere" in done.err


@pytest.mark.parametrize(
    ("shell", "profile"),
    [("/bin/bash", "sh"), ("/usr/bin/fish", "fish"), ("/bin/tcsh", "csh"), ("", "sh")],
)
def test_it_says_how_the_caller_s_shell_loads_it(
    tierctl: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: str, profile: str
) -> None:
    monkeypatch.setenv("SHELL", shell)
    done = tierctl("bootstrap", tmp_path / "my lab")
    path = f"{tmp_path}/my lab/infrastructure/production/etc/profile.{profile}"
    assert f"Load it with: source '{path}'\n" == done.err
    assert Path(path).is_file()


@contextmanager
def seen_through(top: Path, *options: str) -> Iterator[Path]:
    """Show an empty directory, ``top/inside``, through bindfs."""
    require_root()
    inside, point = top / "inside", top / "point"
    inside.mkdir(mode=0o777)
    point.mkdir()
    subprocess.run([require_tool("bindfs"), *options, inside, point], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", point], check=True)


@pytest.mark.parametrize("where", ["new", ""], ids=["a new directory", "one that is there"])
def test_where_what_root_makes_belongs_to_nobody_nothing_is_left(
    tierctl: Program, tmp_path: Path, where: str
) -> None:
    """As on an NFS server that exports with root_squash."""
    as_nobody = ("--force-user=nobody", "--create-for-user=nobody", "-p", "a+w")
    with seen_through(tmp_path, *as_nobody) as point:
        done = tierctl("bootstrap", point / where)
    assert 1 == done.code
    assert "what root makes there (fuse" in done.err
    assert "Run bootstrap as the user who is to own the target." in done.err
    assert [] == os.listdir(tmp_path / "inside")


@pytest.mark.parametrize(
    ("option", "words", "said"),
    [
        ("--perms=a+w", [], "permissions are not kept there (fuse"),
        ("--chmod-deny", [], "permissions cannot be set there (fuse"),
        ("--chgrp-deny", ["--group", "users"], "nothing can be given to the group users"),
        ("--chgrp-ignore", ["--group", "users"], "it stays with the group root"),
        ("--chmod-ignore", ["--group", "users"], "it gets no permission to write"),
    ],
)
def test_where_owners_and_permissions_are_not_as_asked_nothing_is_left(
    tierctl: Program, tmp_path: Path, option: str, words: list[str], said: str
) -> None:
    with seen_through(tmp_path, option) as point:
        done = tierctl("bootstrap", point / "lab", *words)
    assert 1 == done.code
    assert said in done.err
    assert [] == os.listdir(tmp_path / "inside")
