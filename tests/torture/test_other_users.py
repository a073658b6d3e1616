"""Another user swaps directories for links while the owner works: nothing is followed out.

Ada owns the target and shares it with her group, so Bob may rename what is in its directories. He
puts links there, to a target of Ada's that is hers alone: her commands must not touch that.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from program import Ended, installed
from targets import listing, make_target
from thorough import every, times
from tierctl.demo.channel import write_package
from tierctl.target.paths import Layout
from tools import as_user, require_root

ADA, BOB, GROUP = 10081, 10082, 10083
COMMANDS = (
    ["promote-staging", "--force"],
    ["prune", "--keep", "0", "--older-than", "0d"],
    ["rollback"],
    ["doctor", "--fix"],
    ["deploy", "dev1", "--rebuild", "--definitions", "{definitions}"],
)
# As fast as one can: a directory, a link, a directory, ...
SWAP = """
import os, sys
from tierctl.fs.syscalls import exchange
path, elsewhere = sys.argv[1:]
mine = path + ".bob"
os.symlink(elsewhere, mine)
while True:
    exchange(os.fsencode(path), os.fsencode(mine))
"""


class Shared:
    """A target that a group shares, one beside it that it does not, and definitions of Ada's."""

    def __init__(self, place: Path) -> None:
        self.place = place
        for name in ("lab", "own"):
            layout = make_target(place / name, green=1, blue=2, deployments=(3, 4))
            os.mkdir(layout.control)
            cache = Path(layout.cache)
            cache.mkdir()
            (cache / "hello-1-0.tar.bz2").touch()
            (cache / "hello-1-0").mkdir()
            (cache / "hello-1-0.lock").touch()
        self.layout = Layout.of_target(str(place / "lab"))
        hello = place / "definitions" / "tier" / "bin" / "hello"
        hello.parent.mkdir(parents=True)
        hello.write_text("#!/bin/sh\n")
        channel = place / "channel"
        write_package(channel, "data", "1", {"share/data": "data"})
        tools = place / "definitions" / "environments" / "tools.yaml"
        tools.parent.mkdir()
        tools.write_text(f"channels: [{channel.as_uri()}]\ndependencies: [data]\n")
        for path in (place, *place.rglob("*")):
            os.lchown(path, ADA, GROUP if path.is_relative_to(place / "lab") else ADA)
        for directory in [place / "lab", *(place / "lab").rglob("*")]:
            if directory.is_dir() and not directory.is_symlink():
                directory.chmod(0o2775)

    def run(
        self,
        user: int,
        words: Sequence[str],
        program: Sequence[str] = (installed(),),
        more: Sequence[str] = (),
    ) -> Ended:
        """Run a command in the target; ``more`` stands behind its options."""
        definitions = str(self.place / "definitions")
        done = subprocess.run(
            [
                *(as_user(user, GROUP) if user else []),
                *program,
                *(definitions if word == "{definitions}" else word for word in words),
                *("-t", self.layout.top),
                *more,
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )
        return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def shared() -> Iterator[Shared]:
    """Where other users get to."""
    require_root()
    pytest.importorskip("rattler")
    with TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        os.mkdir(f"{name}/place")
        yield Shared(Path(name, "place"))


@contextlib.contextmanager
def swapping(shared: Shared, name: str) -> Iterator[None]:
    """Have Bob swap something in the target for a link to the same of the other one."""
    paths = (shared.place / "lab" / name, shared.place / "own" / name)
    bob = subprocess.Popen([*as_user(BOB, GROUP), sys.executable, "-c", SWAP, *map(str, paths)])
    try:
        deadline = time.monotonic() + 20
        while not os.path.lexists(f"{paths[0]}.bob"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield
        assert bob.poll() is None
    finally:
        bob.kill()
        bob.wait()


SWAPPED = (
    *("infrastructure/.tierctl", "conda_package_cache"),
    *("infrastructure/deployments", "infrastructure/deployments/3"),
)


@pytest.mark.parametrize(
    ("name", "user"), every([(name, user) for user in (ADA, 0) for name in SWAPPED], 3)
)
def test_nothing_is_followed_while_it_is_swapped(shared: Shared, name: str, user: int) -> None:
    before = listing(shared.place / "own")
    with swapping(shared, name):
        for _ in range(times(1, 30)):
            for words in COMMANDS:
                done = shared.run(user, words)
                assert done.code in (0, 1), (words, done)
                assert "defect of tierctl" not in done.err, (words, done)
                assert before == listing(shared.place / "own"), (words, done)


FOLLOWING = """
import os
from tierctl.fs import local
local.TO_HOLD ^= os.O_NOFOLLOW
from tierctl.__main__ import run
run()
"""


def test_it_is_noticed_when_the_records_are_followed(shared: Shared) -> None:
    before = listing(shared.place / "own")
    program = (sys.executable, "-c", FOLLOWING)
    with swapping(shared, SWAPPED[0]):
        for _ in range(100):
            shared.run(ADA, COMMANDS[0], program)
            if before != listing(shared.place / "own"):
                return
    pytest.fail("nothing was followed")


def test_root_runs_nothing_that_was_swapped_in(shared: Shared) -> None:
    """Bob exchanges the directory in which root's profile is; what he puts there would run."""
    tier = shared.place / "lab" / "infrastructure" / "deployments" / "1"
    for place in (tier, shared.place / "own" / "infrastructure" / "deployments" / "1"):
        (place / "etc").mkdir()
        (place / "etc" / "profile.sh").write_text(f"touch {shared.place}/executed\n")
    for path in (shared.place / "lab", *(shared.place / "lab").rglob("*")):
        os.lchown(path, 0, GROUP)
    (tier / "etc" / "profile.sh").write_text("")
    with swapping(shared, "infrastructure/deployments/1"):
        for _ in range(times(3, 100)):
            done = shared.run(0, ["run"], (installed(),), ["green", "true"])
            assert 1 == done.code, done
    assert not (shared.place / "executed").exists()
