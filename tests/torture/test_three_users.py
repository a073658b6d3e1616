"""One target and three users: its owner, a member of its group, and one outside of the group.

The owner and the member build, promote, roll back, prune and diagnose in turn, from one checkout
that either may own, with umasks that share everything or nothing. The one outside loads and
looks; nothing that they do changes a byte.
"""

import grp
import json
import os
import random
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from places import on_memory
from program import Ended, installed
from targets import links, listing
from thorough import every, times
from tierctl.demo.channel import NOARCH, write_package
from tierctl.target.paths import Layout, temporary
from tools import as_user, missing, require_root, require_tool

pytest.importorskip("rattler")

ADA, BOB, EVE = 10091, 10092, 10093
NAMES = {ADA: "the owner", BOB: "the member", EVE: "the one outside"}
UMASKS = (0o002, 0o077)
VERSIONS = ("1.0", "2.0")
NOW = ("--keep", "0", "--older-than", "0d")
# A shell of Eve's with no right but hers, which loads production.
LOADS = '. "$0/production/etc/profile.sh" && exec hello'
# Another one, which prints the files that it can open.
OPENS = 'for file in "$0" "$@"; do { : <"$file"; } 2>/dev/null && echo "$file"; done; true'
# Tries to change whatever there is below a directory, and prints what has worked.
ATTACKS = """
import os, stat, sys
top, own = sys.argv[1:]
mine = os.path.join(own, "mine")
open(mine, "w").close()
def attempt(what, path, call, *arguments, **options):
    try:
        made = call(*arguments, **options)
    except OSError:
        return
    print(what, path)
def opened(path, flags):
    os.close(os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW))
def reopened(path):
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        os.close(os.open(f"/proc/self/fd/{fd}", os.O_WRONLY))
    finally:
        os.close(fd)
def on_descriptor(path, call, *arguments):
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        call(fd, *arguments)
    finally:
        os.close(fd)
found = [top]
for directory, names, files in os.walk(top):
    found += [os.path.join(directory, name) for name in names + files]
for number, path in enumerate(found):
    status = os.lstat(path)
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND, os.O_WRONLY | os.O_TRUNC):
        if not stat.S_ISLNK(status.st_mode):
            attempt(f"opened {flags:o}", path, opened, path, flags)
    attempt("reopened", path, reopened, path)
    attempt("set its owner", path, os.chown, path, os.getuid(), -1, follow_symlinks=False)
    attempt("set its times", path, os.utime, path, (1, 1), follow_symlinks=False)
    attempt("removed", path, os.unlink, path)
    attempt("renamed", path, os.rename, path, f"{own}/taken{number}")
    attempt("renamed over", path, os.rename, mine, path)
    attempt("renamed beside", path, os.rename, path, path + ".old")
    if stat.S_ISLNK(status.st_mode):
        continue
    attempt("set its mode", path, os.chmod, path, 0o777)
    attempt("set the descriptor's mode", path, on_descriptor, path, os.fchmod, 0o777)
    attempt("set an attribute", path, os.setxattr, path, "user.x", b"x")
    attempt("truncated", path, os.truncate, path, 0)
    if stat.S_ISDIR(status.st_mode):
        new = os.path.join(path, "eve")
        attempt("made a file", path, opened, new, os.O_WRONLY | os.O_CREAT)
        attempt("made an unnamed file", path, opened, path, os.O_WRONLY | os.O_TMPFILE)
        attempt("made a directory", path, os.mkdir, new)
        attempt("made a symlink", path, os.symlink, "/etc", new)
        attempt("made a hard link", path, os.link, mine, new)
        attempt("made a pipe", path, os.mkfifo, new)
        attempt("removed a directory", path, os.rmdir, path)
    else:
        attempt("linked", path, os.link, path, f"{own}/link{number}")
os.symlink(f"{top}/infrastructure/production/etc/profile.sh", f"{own}/symlink")
attempt("opened through a symlink", top, open, f"{own}/symlink", "r+")
"""


class Trio:
    """A target that a group shares, and a checkout of its definitions that Bob or Ada owns."""

    def __init__(self, place: Path, owner: int) -> None:
        self.place, self.owner = place, owner
        self.layout = Layout.of_target(str(place / "home" / "lab"))
        self.channel, self.definitions = place / "channel", place / "checkout"
        for version in VERSIONS:
            files = {"bin/hello": f"#!/bin/sh\necho hello {version}\n"}
            write_package(self.channel, "hello", version, files, subdir=NOARCH)
        for name, user in (("home", ADA), ("checkout", owner), ("eve", EVE)):
            (place / name).mkdir()
            os.chown(place / name, user, user)
        done = self.ask(ADA, "bootstrap", self.layout.top, "--group", group().gr_name)
        assert 0 == done.code, done
        self.check_out()

    def check_out(self) -> None:
        """Make a repository that the group shares, as one does for definitions."""
        (self.definitions / "environments").mkdir()
        (self.definitions / "tier" / "share").mkdir(parents=True)
        for path in (self.definitions, *self.definitions.rglob("*")):
            os.chown(path, self.owner, group().gr_gid)
            path.chmod(0o2775)
        self.git(self.owner, "init", "-q", "--shared=group")
        self.edit(self.owner, "1.0")

    def edit(self, user: int, version: str, umask: int = 0o002) -> None:
        """Have a user change the definitions in place, and commit that."""
        text = f"channels: ['{self.channel.as_uri()}']\ndependencies: [hello={version}]\n"
        for name, content in (
            ("environments/tools.yaml", text),
            ("tier/share/version", f"{version}\n"),
        ):
            path = self.definitions / name
            is_new = not path.exists()
            path.write_text(content)
            if is_new:
                os.chown(path, user, group().gr_gid)
                path.chmod(0o664)
        self.git(user, "add", ".", umask=umask)
        self.git(user, "commit", "-q", "--allow-empty", "-m", version, umask=umask)

    def git(self, user: int, *words: str, umask: int = 0o002) -> None:
        who = ["-c", "safe.directory=*", "-c", "user.name=a", "-c", "user.email=a@b"]
        git = [require_tool("git"), "-C", str(self.definitions), *who, *words]
        done = self.run(user, git, umask)
        assert 0 == done.code, done

    def run(self, user: int, command: list[str], umask: int = 0o022) -> Ended:
        groups = [] if user == EVE else [group().gr_gid]
        done = subprocess.run(
            [*as_user(user, *groups), *command],
            capture_output=True,
            text=True,
            umask=umask,
            timeout=120,
            cwd="/",
        )
        assert "Traceback" not in done.stderr, done
        assert "defect of tierctl" not in done.stderr, done
        return Ended(done.returncode, done.stdout, done.stderr)

    def ask(self, user: int, command: str, *words: str, umask: int = 0o022) -> Ended:
        target = [] if command == "bootstrap" else ["-t", self.layout.top]
        return self.run(user, [installed(), command, *target, *words], umask)

    def deploy(self, user: int, tier: str, *words: str, umask: int = 0o002) -> Ended:
        where = ("--definitions", str(self.definitions))
        return self.ask(user, "deploy", tier, *where, *words, umask=umask)

    def eve_loads(self) -> str:
        """Return what Eve's shell prints in production."""
        return self.eve_alone(LOADS, self.layout.infrastructure)

    def eve_alone(self, script: str, *words: str) -> str:
        """Return what a shell of Eve's prints; she has no right but everybody's."""
        alone = [require_tool("setpriv"), f"--reuid={EVE}", f"--regid={EVE}", "--clear-groups"]
        bare = [*alone, "--inh-caps=-all", "--bounding-set=-all"]
        shell = [*bare, "bash", "--norc", "-c", script, *words]
        done = subprocess.run(shell, capture_output=True, text=True, cwd="/")
        assert ("", 0) == (done.stderr, done.returncode)
        return done.stdout

    def content(self, user: int, *words: str) -> dict[str, object]:
        done = self.ask(user, *words, "--json")
        assert 0 == done.code, (words, done)
        return done.document

    def nobody_else_writes(self) -> None:
        """Fail if something is not the group's, or can be written by others or its own owner."""
        gid = group().gr_gid
        target, deployments = Path(self.layout.top), Path(self.layout.deployments)
        for path in (target, *target.rglob("*")):
            found = path.lstat()
            if path.is_symlink():
                continue
            mode = stat.S_IMODE(found.st_mode)
            assert 0 == mode & 0o4002, path
            assert gid == found.st_gid, path
            if deployments in path.parents:
                assert mode in ((0o555,) if path.is_dir() else (0o444, 0o555)), path


def group() -> grp.struct_group:
    """Return a group of this host."""
    try:
        return grp.getgrnam("users")
    except KeyError:
        missing("this host has no group users")
        raise


@pytest.fixture(params=[ADA, BOB], ids=["the owner's checkout", "the member's checkout"])
def trio(request: pytest.FixtureRequest) -> Iterator[Trio]:
    require_root()
    with on_memory() as place:
        os.chmod(place, 0o755)
        yield Trio(place, request.param)


@pytest.mark.parametrize(
    ("builder", "other", "umask"),
    every([(one, two, mask) for one, two in ((ADA, BOB), (BOB, ADA)) for mask in UMASKS], 2),
)
def test_what_one_builds_the_other_believes_and_goes_on_with(
    trio: Trio, builder: int, other: int, umask: int
) -> None:
    done = trio.deploy(builder, "staging", umask=umask)
    assert (0, False) == (done.code, "not recorded" in done.err), done
    again = trio.deploy(other, "staging", umask=umask)
    assert (0, True) == (again.code, "nothing to do" in again.out), again
    assert 0 == trio.ask(other, "promote-staging", umask=umask).code
    trio.edit(other, "2.0", umask)
    done = trio.deploy(other, "staging", umask=umask)
    assert 0 == done.code, done
    again = trio.deploy(builder, "staging", umask=umask)
    assert (0, True) == (again.code, "nothing to do" in again.out), again
    for user in NAMES:
        told = trio.ask(user, "diff", "production", "staging").out
        assert "hello  1.0 -> 2.0" in told
        assert "files of tier/ differ" in told
        for tier in ("production", "staging"):
            assert 0 == trio.ask(user, "verify", tier).code
    record = json.loads(Path(trio.layout.deployment_record("deployments/3")).read_text())
    assert (40, False, f"{other}") == (
        len(record["definitions"]["git"]["commit"]),
        record["definitions"]["git"]["dirty"],
        record["user"],
    )
    assert 0 == trio.ask(builder, "promote-staging", umask=umask).code
    assert "hello 2.0\n" == trio.eve_loads()
    assert 0 == trio.ask(other, "rollback", umask=umask).code
    assert "hello 1.0\n" == trio.eve_loads()
    for user in (builder, other):
        done = trio.ask(user, "doctor", "--fix", umask=umask)
        assert 0 == done.code, done
        assert 0 == trio.ask(user, "prune", *NOW, umask=umask).code
    trio.nobody_else_writes()


@pytest.mark.parametrize("trio", [ADA], indirect=True)
def test_the_one_outside_looks_and_changes_nothing(trio: Trio) -> None:
    for user, version in ((ADA, "1.0"), (BOB, "2.0")):
        trio.edit(user, version)
        assert 0 == trio.deploy(user, "staging").code
        assert 0 == trio.ask(user, "promote-staging").code
    eve_looks(trio, "2.0")
    eve_is_refused(trio)
    before = listing(trio.layout.top)
    worked = trio.run(EVE, [sys.executable, "-c", ATTACKS, trio.layout.top, f"{trio.place}/eve"])
    assert (0, []) == (worked.code, worked.out.splitlines()), worked
    assert before == listing(trio.layout.top)


@pytest.mark.parametrize("trio", [ADA], indirect=True)
def test_the_one_outside_can_open_no_lock_that_others_would_wait_for(trio: Trio) -> None:
    """A lock is held by whoever has it open, if only to read."""
    cache = Path(trio.layout.cache, ".cache.lock")
    cache.touch()
    cache.chmod(0o664)  # as an earlier version has left it
    os.chown(cache, ADA, group().gr_gid)
    for user, umask in ((ADA, 0o002), (BOB, 0o077)):
        assert 0 == trio.deploy(user, "staging", "--rebuild", umask=umask).code
        trio.edit(user, "2.0")
    assert 0 == trio.ask(BOB, "prune", *NOW).code
    control = Path(trio.layout.control)
    locks = [cache, control / "lock", control / "numbers", control / "cache"]
    assert all(path.exists() for path in locks)
    assert f"{control}/history.jsonl\n" == trio.eve_alone(
        OPENS, *map(str, [*locks, control / "history.jsonl"])
    )


@pytest.mark.parametrize("trio", [ADA], indirect=True)
def test_it_is_noticed_what_the_one_outside_can_write(trio: Trio) -> None:
    """The attacks of the test above find a directory and a file that all can write."""
    cache = Path(trio.layout.cache)
    (cache / "file").touch()
    for path in (cache, cache / "file"):
        path.chmod(0o777)
    worked = trio.run(EVE, [sys.executable, "-c", ATTACKS, trio.layout.top, f"{trio.place}/eve"])
    assert f"made a file {cache}\n" in worked.out
    assert f"opened {os.O_WRONLY:o} {cache}/file\n" in worked.out


def eve_looks(trio: Trio, version: str) -> None:
    """Have Eve do what everybody can."""
    assert f"hello {version}\n" == trio.eve_loads()
    for words in (["status"], ["history"], ["verify", "production"], ["verify", "staging"]):
        done = trio.ask(EVE, *words)
        assert 0 == done.code, (words, done)


def eve_is_refused(trio: Trio) -> None:
    """Have Eve try each command that changes something; each says who can, and none does it."""
    commands = (
        ["deploy", "staging", "--definitions", str(trio.definitions)],
        ["deploy", "dev9", "--definitions", str(trio.definitions)],
        ["promote-staging", "--force"],
        ["rollback"],
        ["prune", *NOW],
        ["doctor", "--fix"],
    )
    left = Path(temporary(trio.layout.within("staging")))
    left.symlink_to("blue")
    os.chown(left, ADA, group().gr_gid, follow_symlinks=False)
    before = listing(trio.layout.top)
    for words in commands:
        done = trio.ask(EVE, *words)
        assert 1 == done.code, (words, done)
        assert any(f"{who}" in done.err + done.out for who in (ADA, group().gr_name)), (words, done)
    assert before == listing(trio.layout.top)
    assert 0 == trio.ask(BOB, "doctor", "--fix").code
    assert not left.is_symlink()


class Walk:
    """Random operations of all three, and what production and staging must show after each."""

    def __init__(self, trio: Trio, seed: int) -> None:
        self.trio, self.chance = trio, random.Random(seed)
        self.wanted = "1.0"
        self.shows: dict[str, str | None] = {"production": None, "staging": None}
        self.served = [self.production]

    def step(self) -> str:
        """Do something; return what."""
        user, umask = self.chance.choice((ADA, BOB)), self.chance.choice(UMASKS)
        what = self.chance.choice(
            ("edit", "deploy", "deploy", "again", "promote", "rollback", "prune", "doctor", "eve")
        )
        getattr(self, what)(user, umask)
        self.check()
        return f"{what} by {NAMES[user]} with umask {umask:03o}"

    def edit(self, user: int, umask: int) -> None:
        self.wanted = self.chance.choice(VERSIONS)
        self.trio.edit(user, self.wanted, umask)

    def deploy(self, user: int, umask: int) -> None:
        done = self.trio.deploy(user, "staging", umask=umask)
        assert 0 == done.code, done
        assert ("nothing to do" in done.out) == (self.shows["staging"] == self.wanted), done
        self.shows["staging"] = self.wanted

    def again(self, user: int, umask: int) -> None:
        """Build what is there already, and have the other one be told so."""
        done = self.trio.deploy(user, "dev1", "--rebuild", umask=umask)
        assert 0 == done.code, done
        done = self.trio.deploy(ADA + BOB - user, "dev1", umask=umask)
        assert (0, True) == (done.code, "nothing to do" in done.out), done

    def promote(self, user: int, umask: int) -> None:
        done = self.trio.ask(user, "promote-staging", umask=umask)
        if self.was_done(done):
            production, staging = self.shows["production"], self.shows["staging"]
            self.shows = {"production": staging, "staging": production}
            self.served.append(self.production)

    def rollback(self, user: int, umask: int) -> None:
        """What production served before may be in no color any more, so it is not foreseen."""
        before = self.production
        if self.was_done(self.trio.ask(user, "rollback", umask=umask)):
            assert self.production != before
            assert self.production in self.served
            self.shows = {tier: self.version(tier) for tier in self.shows}

    def was_done(self, done: Ended) -> bool:
        """Say whether a switch was done; if not, it said why not."""
        assert done.code == 0 or (1, True) == (done.code, bool(done.err)), done
        return done.code == 0

    @property
    def production(self) -> Path:
        return Path(self.trio.layout.within("production")).resolve()

    def version(self, tier: str) -> str | None:
        """Return the version that a tier's own files are of, None in the empty tier."""
        shown = Path(self.trio.layout.within(tier), "share", "version")
        return shown.read_text().strip() if shown.exists() else None

    def prune(self, user: int, umask: int) -> None:
        done = self.trio.ask(user, "prune", *NOW, umask=umask)
        assert 0 == done.code, done

    def doctor(self, user: int, umask: int) -> None:
        done = self.trio.ask(user, "doctor", "--fix", umask=umask)
        assert 0 == done.code, done

    def eve(self, user: int, umask: int) -> None:
        eve_is_refused(self.trio)

    def check(self) -> None:
        """Fail unless all see what must be there, and nobody else can write it."""
        for tier, version in self.shows.items():
            assert version == self.version(tier), tier
            assert 0 == self.trio.ask(EVE, "verify", tier).code
        if self.shows["production"] is not None:
            assert f"hello {self.shows['production']}\n" == self.trio.eve_loads()
        tiers = links(self.trio.layout)
        assert {"blue", "green"} == {tiers["production"], tiers["staging"]}
        self.trio.nobody_else_writes()


@pytest.mark.parametrize("seed", range(times(1, 3)))
def test_whatever_the_three_do_all_see_what_they_must(trio: Trio, seed: int) -> None:
    walk = Walk(trio, seed)
    done: list[str] = []
    for _ in range(times(20, 300)):
        try:
            done.append(walk.step())
        except AssertionError as error:
            pytest.fail(f"after {done}: {error}")
