"""Anything in the place of anything in a target: told, never followed out of it, never waited for.

Beside the target stands its twin, to which links lead. No command may change that.
"""

import contextlib
import io
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from program import installed
from targets import listing, make_deployment, make_target
from thorough import every, times
from tierctl.cli.main import main
from tierctl.deploy import numbering
from tierctl.fs import tree
from tierctl.journal import store
from tierctl.target.paths import Layout
from tools import require_root

LONGEST_S = 20
READING = (
    ["status"],
    ["status", "--json"],
    ["history", "--json"],
    ["diff", "1", "2"],
    ["promote-staging", "-n"],
    ["rollback", "-n"],
    ["prune", "-n", "--keep", "0", "--older-than", "0d"],
    ["deploy", "dev1", "-n"],
    ["run", "no-such-tier", "true"],
)
CHANGING = (
    ["promote-staging", "--force"],
    ["rollback"],
    ["prune", "--keep", "0", "--older-than", "0d"],
    ["doctor"],
    ["doctor", "--fix"],
    ["promote-staging"],
    ["deploy", "staging"],
)
# What a target is made of, and what commands make in it.
PLACES = (
    *("production", "staging", "blue", "green", "dev1", "test-\n", "dev\udcff", "-h"),
    *("deployments", "deployments/1", "deployments/3", "deployments/4", "deployments/.3.going"),
    *("deployments/1/meta", "deployments/3/meta", "deployments/2/etc"),
    *("../conda_package_cache", "../conda_package_cache/repodata"),
    *("deployments/1/meta/deployment.json", "deployments/1/meta/packages.json"),
    *("deployments/2/etc/profile.sh", ".tierctl", ".production.new", ".staging.new", ".blue.new"),
    *(f".tierctl/{name}" for name in ("lock", "holder.json", "intent.json", "history.jsonl")),
    *(f".tierctl/{name}" for name in ("config.toml", "numbers", "highest", ".highest.new")),
    *(f".tierctl/{name}" for name in ("building-3", "building-4", "scratch", "leases")),
)
TEXTS = ("/", ".", "..", "production", "deployments/1/", "./blue", "blue\n", "\udcff", "x" * 4000)
TEXTS = (*TEXTS, "/dev/zero", "/proc/self/root", "deployments/../../../twin", "deployments/01")


class Hung(BaseException):
    """A command waited for what nobody was going to do; not to be caught by it."""


Put = Callable[[str], None]


def link(text: str) -> Put:
    return lambda path: os.symlink(text, path)


def to_the_twin(path: str) -> None:
    os.symlink(path.replace("/lab/", "/twin/"), path)


def bind_socket(path: str) -> None:
    with contextlib.chdir(os.path.dirname(path)), socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.basename(path))


def full_directory(path: str) -> None:
    os.mkdir(path)
    for number in range(times(50, 2_000)):
        Path(path, f"{number}\n").touch()
    os.mkfifo(f"{path}/lock")


def device(minor: int) -> Put:
    return lambda path: os.mknod(path, 0o020644, os.makedev(1, minor))


KINDS: dict[str, Put] = {
    "the twin's": to_the_twin,
    "fifo": os.mkfifo,
    "socket": bind_socket,
    "null": device(3),
    "zero": device(5),
    "directory": os.mkdir,
    "full directory": full_directory,
    "file": lambda path: Path(path).write_bytes(b"\xff\n\0"),
    **{f"link to {text[:20]!r}": link(text) for text in TEXTS},
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A target that has seen some changes, its twin, and definitions."""
    require_root()
    top = tmp_path_factory.mktemp("hostile")
    for name in ("lab", "twin"):
        layout = make_target(top / name, green=1, blue=2, deployments=(3,))
        for number in (1, 2, 3):
            profile = Path(layout.within(f"deployments/{number}"), "etc", "profile.sh")
            profile.parent.mkdir()
            profile.write_text("export LOADED=1\n")
            Path(layout.packages_record(f"deployments/{number}")).write_text(
                '{"schema": 1, "environments": {}}\n'
            )
        assert 0 == run("promote-staging", "-t", layout.top)[0]
        make_deployment(layout, 5, finished=False)
        Path(layout.building(5)).touch()
        (top / name / "conda_package_cache").mkdir()
    hello = top / "definitions" / "tier" / "bin" / "hello"
    hello.parent.mkdir(parents=True)
    hello.write_text("#!/bin/sh\necho hello\n")
    return top


def run(*words: str) -> tuple[int, str]:
    """Run a command in this process, and no longer than anybody would wait for it."""
    said = io.StringIO()

    def hung(*_: object) -> None:
        raise Hung(f"{words} hangs: {said.getvalue()}")

    before = signal.signal(signal.SIGALRM, hung)
    signal.alarm(LONGEST_S)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = main(list(words))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return code, said.getvalue()


def pairs() -> list[tuple[str, str]]:
    """Return every place with every kind, well mixed."""
    kinds = list(KINDS)
    numbers = range(len(PLACES) * len(kinds))
    return [
        (PLACES[n % len(PLACES)], kinds[(n % len(PLACES) + n // len(PLACES)) % len(kinds)])
        for n in numbers
    ]


def put(kind: str, place: str, layout: Layout) -> None:
    """Have something of a kind in a place, instead of what was there."""
    path = os.path.normpath(layout.within(place))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
    KINDS[kind](path)


def why_wrong(words: list[str], target: Path) -> str:
    """Run a command and say what is wrong with how it ended."""
    try:
        code, said = run(*words, "-t", str(target))
    except Hung:
        return f"hangs: {words}"
    is_right = code in (0, 1) and "defect of tierctl" not in said and "Traceback" not in said
    return "" if is_right else f"{words} ended with {code}: {said}"


def problems(
    commands: tuple[list[str], ...], template: Path, place: Path, kind: str, where: str
) -> list[str]:
    """Say what goes wrong with commands where something of a kind is in a place."""
    shutil.copytree(template, place, symlinks=True)
    put(kind, where, Layout.of_target(str(place / "lab")))
    outside = {name: listing(place / name) for name in ("twin", "definitions")}
    with contextlib.chdir(place / "definitions"):
        found = [why_wrong(words, place / "lab") for words in commands]
    for name, before in outside.items():
        if before != listing(place / name):
            found.append(f"{name} was changed")
    shutil.rmtree(place)
    return [f"{where!r} is {kind}: {wrong}" for wrong in found if wrong]


@pytest.mark.parametrize("commands", [READING, CHANGING], ids=["reading", "changing"])
def test_nothing_in_a_target_brings_a_command_down_or_leads_it_out(
    template: Path, tmp_path: Path, commands: tuple[list[str], ...]
) -> None:
    found = [
        problem
        for where, kind in every(pairs(), 7)
        for problem in problems(commands, template, tmp_path / "place", kind, where)
    ]
    assert [] == found


def test_it_is_noticed_when_a_command_follows_a_link(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "require_directory", lambda fs, path: None)
    monkeypatch.setattr(tree, "TO_HOLD", os.O_RDONLY)
    (wrong,) = problems(CHANGING[2:3], template, tmp_path / "place", "the twin's", "deployments")
    assert wrong.endswith("twin was changed")


def test_it_is_noticed_when_a_command_waits(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "LONGEST_S", 1)
    monkeypatch.setattr(numbering, "read", lambda fs, path, *_: Path(path).read_bytes())
    (wrong,) = problems(CHANGING[2:3], template, tmp_path / "place", "fifo", ".tierctl/highest")
    assert "hangs" in wrong


WITH_LITTLE_MEMORY = ["bash", "-c", 'ulimit -v 2000000; exec "$@"', "bash"]
WHOLE = [name for name in PLACES if name.endswith((".json", ".jsonl", ".toml", "highest"))]


@pytest.mark.parametrize("name", every(WHOLE, 2))
def test_a_record_that_no_memory_could_hold_is_told(
    template: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(template, tmp_path / "place", symlinks=True)
    layout = Layout.of_target(str(tmp_path / "place" / "lab"))
    with open(layout.within(name), "wb") as file:
        file.truncate(1 << 40)
    for words in every((*READING, *CHANGING), 5):
        done = subprocess.run(
            [*WITH_LITTLE_MEMORY, installed(), *words, "-t", layout.top],
            capture_output=True,
            text=True,
            cwd=tmp_path / "place" / "definitions",
            timeout=LONGEST_S,
        )
        assert done.returncode in (0, 1), (words, done)
        assert "defect of tierctl" not in done.stderr, (words, done)
