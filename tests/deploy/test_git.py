"""What git says of definitions: in one's own repository, in a colleague's, in a hostile one."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from lab import Lab, wait_until_ended
from program import run_installed
from targets import make_target
from tierctl.deploy import git
from tierctl.fs.local import OsFileSystem
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tools import require_root, require_tool

FS = OsFileSystem()
OWNER, STRANGER, GROUP = 10091, 10092, 10093


class Repository:
    """A repository with definitions in it, a target beside it."""

    def __init__(self, place: Path, *options: str) -> None:
        require_tool("git")
        self.layout: Layout = make_target(place / "lab")
        self.top = place / "repository"
        self.file = self.top / "definitions" / "tools.yaml"
        self.file.parent.mkdir(parents=True)
        self.file.write_text("a\n")
        self.run("init", "-q", *options)
        self.run("add", ".")
        self.run("commit", "-q", "-m", "x")

    def run(self, *words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "safe.directory=*")
        command = ["git", "-C", str(self.top), *who, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def state(self, directory: Path | None = None) -> git.State:
        return git.state(Target(FS, self.layout), str(directory or self.file.parent), 30)

    def expected(self, *, dirty: bool | None) -> git.State:
        commit, tree = self.run("rev-parse", "HEAD"), self.run("rev-parse", "HEAD^{tree}")
        return git.State({"commit": commit, "tree": tree, "dirty": dirty})

    def give(self, uid: int, gid: int) -> None:
        """Give the repository to somebody."""
        for path in (self.top, *self.top.rglob("*")):
            os.lchown(path, uid, gid)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_a_directory_without_a_repository_has_no_commit_and_nothing_is_said(
    tmp_path: Path,
) -> None:
    layout = make_target(tmp_path / "lab")
    assert git.State(None) == git.state(Target(FS, layout), str(tmp_path), 30)


@pytest.mark.parametrize("format", ["sha1", "sha256"])
def test_it_is_told_which_commit_is_checked_out(tmp_path: Path, format: str) -> None:
    repository = Repository(tmp_path, f"--object-format={format}")
    assert repository.expected(dirty=False) == repository.state()
    repository.file.write_text("b\n")
    assert repository.expected(dirty=True) == repository.state()


def test_a_new_file_makes_it_dirty_and_one_elsewhere_does_not(repository: Repository) -> None:
    (repository.top / "README").touch()
    assert repository.expected(dirty=False) == repository.state()
    (repository.file.parent / "new.yaml").touch()
    assert repository.expected(dirty=True) == repository.state()


def test_a_file_that_was_touched_does_not(repository: Repository) -> None:
    os.utime(repository.file, (1, 1))
    assert repository.expected(dirty=False) == repository.state()


def test_a_second_worktree_and_a_packed_repository_are_read(
    repository: Repository, tmp_path: Path
) -> None:
    repository.run("gc", "-q")
    repository.run("worktree", "add", "-q", str(tmp_path / "second"))
    assert repository.expected(dirty=False) == repository.state(tmp_path / "second/definitions")


def test_a_repository_without_a_commit_is_told_of(tmp_path: Path) -> None:
    layout = make_target(tmp_path / "lab")
    subprocess.run([require_tool("git"), "init", "-q", tmp_path / "new"], check=True)
    told, warning = git.state(Target(FS, layout), str(tmp_path / "new"), 30)
    assert told is None
    assert f"git -C {tmp_path}/new rev-parse HEAD" in warning


def test_without_git_the_commit_is_told_to_be_missing(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    told, warning = repository.state()
    assert (None, True) == (told, "git is not installed" in warning)


HOSTILE = """[core]
    fsmonitor = touch {executed}
    hooksPath = {place}/hooks
    pager = touch {executed}
    sshCommand = touch {executed}
    editor = touch {executed}
    gitProxy = touch {executed}
    alternateRefsCommand = touch {executed}
[alias]
    status = !touch {executed}
    rev-parse = !touch {executed}
[diff]
    external = touch {executed}
[diff "x"]
    textconv = touch {executed}
    command = touch {executed}
[filter "x"]
    clean = touch {executed}; cat
    smudge = touch {executed}; cat
    process = touch {executed}
    required = true
[filter "x=y"]
    clean = touch {executed}; cat
[extensions]
    partialClone = origin
[remote "origin"]
    url = ext::touch {executed}
    promisor = true
    uploadpack = touch {executed};
[include]
    path = {place}/more
"""


class TestHostile:
    """Every setting that names a program, and a hook of each kind that git has."""

    @pytest.fixture
    def executed(self, repository: Repository, tmp_path: Path) -> Path:
        executed = tmp_path / "executed"
        more = f'[filter "z"]\n    clean = touch {executed}; cat\n'
        (tmp_path / "more").write_text(more)
        (tmp_path / "hooks").mkdir()
        for hook in ("post-index-change", "fsmonitor-watchman", "reference-transaction"):
            (tmp_path / "hooks" / hook).write_text(f"#!/bin/sh\ntouch {executed}\n")
            (tmp_path / "hooks" / hook).chmod(0o755)
        for number, name in enumerate(("x", "x=y", "z")):
            (repository.file.parent / f"{number}.txt").write_text("a")
            with open(repository.top / ".gitattributes", "a") as attributes:
                attributes.write(f"definitions/{number}.txt filter={name} diff=x\n")
        repository.run("add", ".")
        repository.run("commit", "-q", "-m", "y")
        with open(repository.top / ".git" / "config", "a") as config:
            config.write(HOSTILE.format(executed=executed, place=tmp_path))
        for number in range(3):
            (repository.file.parent / f"{number}.txt").write_text("b")
        return executed

    def test_nothing_is_executed(self, repository: Repository, executed: Path) -> None:
        told, warning = repository.state()
        assert not executed.exists()
        assert ("", True) == (warning, told is not None and told["dirty"])

    def test_nothing_is_fetched_that_is_missing(
        self, repository: Repository, executed: Path
    ) -> None:
        for path in (repository.top / ".git" / "objects").glob("??/*"):
            path.unlink()
        told, warning = repository.state()
        assert not executed.exists()
        assert (None, True) == (told, "is not recorded" in warning)

    def test_the_settings_would_be_executed_by_git_itself(
        self, repository: Repository, executed: Path
    ) -> None:
        subprocess.run(["git", "-C", repository.top, "status"], capture_output=True)
        assert executed.exists()


class TestColleague:
    @pytest.fixture(autouse=True)
    def shared(self, repository: Repository) -> None:
        require_root()
        os.chown(repository.layout.infrastructure, OWNER, GROUP)
        os.chmod(repository.layout.infrastructure, 0o2775)

    def test_root_takes_no_commit_from_a_repository_of_others(self, repository: Repository) -> None:
        repository.give(OWNER, GROUP)
        told, warning = repository.state()
        assert (None, True) == (told, f"belongs to user {OWNER}" in warning)


@pytest.mark.parametrize("hangs", ["exec sleep 600", "sleep 600 & echo $! >> {0}; wait"])
def test_one_that_hangs_is_told_and_ended(tmp_path: Path, hangs: str) -> None:
    lab = Lab(tmp_path)
    (lab.definitions / ".git").mkdir()
    git = tmp_path / "path" / "git"
    git.parent.mkdir()
    git.write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/pids\n{hangs.format(tmp_path / 'pids')}\n")
    git.chmod(0o755)
    done = run_installed(
        "deploy",
        "dev1",
        "--json",
        "--timeout",
        "1",
        "--definitions",
        lab.definitions,
        env={"PATH": f"{git.parent}:{os.environ['PATH']}"},
    )
    assert 0 == done.code, done.err
    (warning,) = done.document["warnings"]
    assert "is not recorded: git did not answer within 1 s" in warning
    assert "--timeout SECONDS" in warning
    record = json.loads(Path(lab.layout.deployment_record("deployments/1")).read_text())
    assert record["definitions"]["git"] is None
    for pid in (tmp_path / "pids").read_text().split():
        wait_until_ended(int(pid))
