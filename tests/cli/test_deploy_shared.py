"""``tierctl deploy`` where others are: a group's target, odd umasks, no rights, no room."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lab import Hanging, Lab, Served
from program import Ended, installed
from targets import links, listing
from tierctl.demo.channel import NOARCH, write_package
from tools import as_user, require_root, require_tool

pytest.importorskip("rattler")

ADA, BOB, CARL, EVE, GROUP = 10051, 10052, 10054, 10059, 10053


class Shared(Lab):
    """A target that a group shares."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        os.mkdir(self.layout.control)
        for directory, names, files in os.walk(self.layout.top):
            for path in [directory, *(os.path.join(directory, name) for name in names + files)]:
                os.chown(path, ADA, GROUP, follow_symlinks=False)
            os.chmod(directory, 0o2775)

    def words(self, user: int, *words: str) -> list[str]:
        groups = [] if user == EVE else [GROUP]
        return [*as_user(user, *groups), *words]

    def ask(self, user: int, *words: str, umask: int = 0o022) -> Ended:
        done = subprocess.run(
            self.words(user, installed(), *words), capture_output=True, text=True, umask=umask
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def deploy_as(self, user: int, tier: str, *words: str, umask: int = 0o022) -> Ended:
        return self.ask(user, *self.command(tier, *words)[1:], umask=umask)

    def runs_as(self, user: int, tier: str) -> Ended:
        return self.ask(user, "run", "-t", self.layout.top, tier, "hello")

    def kill_while_fetching(self, user: int, tier: str, spec: str) -> None:
        """Kill a user's deploy of a package that its server does not send."""
        with Hanging(self.channel) as server:
            self.want_from(server.url, spec)
            running = subprocess.Popen(
                self.words(user, *self.command(tier)), stderr=subprocess.DEVNULL
            )
            server.wait_for_an_archive()
            running.send_signal(signal.SIGKILL)
            running.wait()


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    require_root()
    return Shared(tmp_path)


def groups_not(gid: int, *tops: str) -> list[str]:
    """Return what has another group than this one, of directories and what is in them."""
    found = [path for top in tops for path in (Path(top), *Path(top).rglob("*"))]
    return [str(path) for path in found if not path.is_symlink() and path.stat().st_gid != gid]


class TestGroup:
    def test_members_deploy_in_turn_with_one_cache(self, shared: Shared) -> None:
        for user, tier in ((ADA, "staging"), (BOB, "dev1"), (ADA, "dev1"), (BOB, "staging")):
            done = shared.deploy_as(user, tier, "--rebuild")
            assert 0 == done.code, done.err
            assert "hello 1.0\n" == shared.runs_as(EVE, tier).out
        files = [
            os.stat(f"{shared.layout.within(f'deployments/{number}')}/conda/envs/tools/bin/hello")
            for number in ("2", "3", "4", "6")
        ]
        assert [ADA, BOB, ADA, BOB] == [file.st_uid for file in files]
        # Of one user the files are the same; the kernel gives nobody a link to another's.
        assert files[0].st_ino == files[2].st_ino

    @pytest.mark.parametrize("umask", [0o002, 0o077])
    @pytest.mark.parametrize("handing_on", [0o2000, 0], ids=["setgid", "no setgid"])
    def test_members_believe_each_others_records(
        self, shared: Shared, umask: int, handing_on: int
    ) -> None:
        """Whoever builds, and whether or not directories hand their group on."""
        for directory, _, _ in os.walk(shared.layout.top):
            os.chmod(directory, 0o775 | handing_on)
        for builder, reader in ((ADA, BOB), (BOB, ADA)):
            done = shared.deploy_as(builder, "dev1", "--rebuild", umask=umask)
            assert 0 == done.code, done.err
            again = shared.deploy_as(reader, "dev1", umask=umask)
            assert (0, True) == (again.code, "nothing to do" in again.out), again
            assert 3 == shared.ask(reader, "diff", "-t", *self.compared(shared)).code
        assert "hello 1.0\n" == shared.runs_as(EVE, "dev1").out
        assert [] == groups_not(GROUP, shared.layout.deployments, shared.layout.control)

    def compared(self, shared: Shared) -> list[str]:
        return [shared.layout.top, "dev1", "staging", "--exit-code"]

    def test_a_color_that_a_member_replaced_is_kept_for_the_group(self, shared: Shared) -> None:
        assert 0 == shared.deploy_as(BOB, "staging").code
        assert 0 == shared.deploy_as(ADA, "staging", "--rebuild").code
        assert [] == groups_not(GROUP, shared.layout.deployments, shared.layout.control)

    def test_the_next_member_reads_what_the_first_one_fetched(self, shared: Shared) -> None:
        with Served(shared.channel) as server:
            for user, tier in ((ADA, "dev1"), (BOB, "dev2")):
                shared.want_from(server.url, "hello=1.0")
                done = shared.deploy_as(user, tier)
                assert 0 == done.code, done.err
                assert 0 == shared.deploy_as(user, tier, "-n", "--rebuild").code
        # These users read whatever there is: what others could read, the modes say.
        fetched = list(Path(shared.layout.cache, "repodata").iterdir())
        assert fetched
        for path in fetched:
            assert 0o064 == path.stat().st_mode & 0o064, path

    def test_a_cache_that_does_not_hand_its_group_on_is_shared_all_the_same(
        self, shared: Shared
    ) -> None:
        os.mkdir(shared.layout.cache)
        os.chown(shared.layout.cache, ADA, GROUP)
        os.chmod(shared.layout.cache, 0o775)
        for user, spec in ((ADA, "hello=1.0"), (BOB, "hello=2.0")):
            shared.want(spec)
            done = shared.deploy_as(user, "dev1")
            assert 0 == done.code, done.err
        cache = Path(shared.layout.cache)
        locks = [".cache.lock", "hello-1.0-0.lock", "hello-2.0-0.lock"]
        opened = [cache / name for name in (*locks, "repodata", "uv")]
        assert sorted(cache.glob("*.lock")) == sorted(opened[:3])
        assert {GROUP} == {path.stat().st_gid for path in opened}
        assert {0o060} == {path.stat().st_mode & 0o060 for path in opened}
        # What Ada fetched is not fetched again for Bob.
        fetched = os.stat(cache / "hello-1.0-0").st_ino
        shared.want("hello=1.0")
        assert 0 == shared.deploy_as(BOB, "dev2").code
        assert fetched == os.stat(cache / "hello-1.0-0").st_ino

    def test_a_removal_that_was_killed_is_in_no_other_s_way(self, shared: Shared) -> None:
        assert 0 == shared.deploy_as(ADA, "dev1").code
        os.rename(f"{shared.layout.deployments}/1", f"{shared.layout.deployments}/.1.going")
        Path(shared.layout.building(1)).touch()
        os.chown(shared.layout.building(1), ADA, GROUP)
        os.chmod(shared.layout.building(1), 0o660)
        os.unlink(shared.layout.within("dev1"))
        assert 0 == shared.deploy_as(BOB, "dev2").code
        assert 0 == shared.deploy_as(ADA, "dev3").code
        assert ".1.going" not in shared.deployments

    def test_root_builds_nothing_in_a_target_of_somebody_else(self, shared: Shared) -> None:
        before = listing(shared.layout.top)
        done = shared.deploy("dev1")
        assert (1, True) == (done.code, f"belongs to {ADA}" in done.err), done.err
        assert before == listing(shared.layout.top)

    def test_a_member_goes_on_where_another_was_killed(self, shared: Shared) -> None:
        shared.kill_while_fetching(ADA, "dev1", "hello=1.0")
        shared.want("hello=1.0")
        assert ["1"] == shared.deployments
        done = shared.deploy_as(BOB, "dev1")
        assert (0, "hello 1.0\n") == (done.code, shared.runs_as(BOB, "dev1").out), done.err
        assert 0 == shared.deploy_as(ADA, "dev2").code
        assert ["2", "3"] == shared.deployments

    def test_another_s_killed_deploy_keeps_no_member_from_pruning_the_cache(
        self, shared: Shared
    ) -> None:
        shared.want("hello=1.0")
        assert 0 == shared.deploy_as(BOB, "dev1").code
        shared.kill_while_fetching(ADA, "dev2", "hello=2.0")
        half = f"{shared.layout.cache}/.hello-2.0-0x9YzAb"
        os.mkdir(half, 0o700)
        os.chown(half, ADA, GROUP)
        os.unlink(shared.layout.within("dev1"))
        prune = ("prune", "-t", shared.layout.top, "--keep", "0", "--older-than", "0d")
        for words in (["-n"], []):
            done = shared.ask(BOB, *prune, *words)
            assert 0 == done.code, done.err
            assert f"deployment 2: kept: a deploy of {ADA} was interrupted" in done.out
            # Besides the package what the killed deploy's engine had begun to fetch, or not yet.
            assert re.search(r"1 deployment, (1 cached package|2 cached packages)\b", done.out), (
                done.out
            )
            assert f"interrupted downloads of {ADA} stay in the package cache" in done.err
            assert os.path.isdir(half)
        assert "hello-1.0-0" not in os.listdir(shared.layout.cache)
        assert ["2"] == shared.deployments

        told = shared.ask(BOB, "doctor", "-t", shared.layout.top, "--fix")
        assert f"an interrupted deploy of {ADA} left: deployment 2" in told.out
        assert f"{ADA} or root removes it with: tierctl prune --target" in told.out
        assert "removed" not in told.err
        assert 0 == shared.ask(ADA, *prune).code
        assert ([], False) == (shared.deployments, os.path.exists(half))

    def test_a_member_prunes_what_is_theirs(self, shared: Shared) -> None:
        for user in (ADA, BOB, ADA):
            assert 0 == shared.deploy_as(user, "dev1", "--rebuild").code
        prune = ("prune", "-t", shared.layout.top, "--keep", "0", "--older-than", "0d")
        done = shared.ask(BOB, *prune)
        assert (0, ["1", "3"]) == (done.code, shared.deployments), done.err
        assert f"deployment 1: kept: only its owner ({ADA}) or root can remove it\n" in done.out
        assert 0 == shared.ask(ADA, *prune).code
        assert ["3"] == shared.deployments


class TestCheckout:
    """Definitions that Bob has checked out for the group; Carl is the third member."""

    @pytest.fixture(params=[(GROUP, 0o664), (GROUP, 0o644)], ids=["group writes", "owner writes"])
    def checkout(self, request: pytest.FixtureRequest) -> Iterator[Shared]:
        require_root()
        with TemporaryDirectory() as place:  # where git of other users gets to
            os.chmod(place, 0o755)
            yield self.checked_out(Shared(Path(place)), *request.param)

    def checked_out(self, shared: Shared, gid: int, mode: int) -> Shared:
        """Return a target after Bob has checked out its definitions."""
        git = [require_tool("git"), "-C", str(shared.definitions)]
        for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
            who = ["-c", "user.name=a", "-c", "user.email=a@b"]
            subprocess.run([*git, *who, *words], check=True)
        for path in (shared.definitions, *shared.definitions.rglob("*")):
            os.chown(path, BOB, gid)
            path.chmod(0o2775 if path.is_dir() else mode)
        return shared

    def deploy(self, shared: Shared, user: int, tier: str, *words: str, loaded: str = "") -> Ended:
        """Deploy from within the definitions, as one does who has changed there."""
        done = subprocess.run(
            shared.words(user, installed(), "deploy", tier, *words),
            capture_output=True,
            text=True,
            cwd=shared.definitions / "environments",
            env={**os.environ, "IAC_TIER_DIR": loaded},
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def test_every_member_deploys_it_and_the_record_names_its_commit(
        self, checkout: Shared
    ) -> None:
        green, target = checkout.layout.within("green"), checkout.layout.top
        who = [(BOB, "", ()), (CARL, green, ()), (ADA, "", ()), (CARL, "", ("-t", target))]
        for number, (user, loaded, words) in enumerate(who, 1):
            done = self.deploy(checkout, user, "dev1", "--rebuild", *words, loaded=loaded)
            assert (0, False) == (done.code, "not recorded" in done.err), done.err
            record = checkout.layout.deployment_record(f"deployments/{number}")
            found = json.loads(Path(record).read_text())["definitions"]["git"]
            assert (40, False) == (len(found["commit"]), found["dirty"])
            assert f"{user}" == json.loads(Path(record).read_text())["user"]

    def test_who_has_loaded_nothing_is_told_whose_it_is_and_what_it_names(
        self, checkout: Shared
    ) -> None:
        done = self.deploy(checkout, CARL, "dev1")
        assert (1, "") == (done.code, done.out)
        assert f"tierctl.toml belongs to user {BOB}" in done.err
        assert f"say so: --target {checkout.layout.top}\n" in done.err

    def test_a_stranger_s_file_in_a_directory_above_does_not_matter(self, checkout: Shared) -> None:
        """Bob has loaded a tier, and his definitions have no file of their own."""
        (checkout.definitions / "tierctl.toml").unlink()
        above = checkout.definitions.parent / "tierctl.toml"
        above.write_text("target = '/elsewhere'")
        os.chown(above, EVE, EVE)
        done = subprocess.run(
            checkout.words(BOB, installed(), "deploy", "dev1"),
            capture_output=True,
            text=True,
            cwd=checkout.definitions,
            env={**os.environ, "IAC_TIER_DIR": checkout.layout.within("green")},
        )
        assert 0 == done.returncode, done.stderr

    def test_others_deploy_nothing_from_it(self, checkout: Shared) -> None:
        before = listing(checkout.layout.top)
        for loaded in ("", checkout.layout.within("green")):
            assert 1 == self.deploy(checkout, EVE, "dev1", loaded=loaded).code
        assert before == listing(checkout.layout.top)

    def test_root_builds_nothing_of_it(self, checkout: Shared) -> None:
        done = checkout.deploy("dev1", "-t", checkout.layout.top)
        assert 1 == done.code

    def test_what_a_stranger_has_put_there_is_not_built(self, checkout: Shared) -> None:
        os.chown(checkout.definitions / "environments" / "tools.yaml", EVE, EVE)
        done = self.deploy(checkout, BOB, "dev1")
        assert (1, True) == (done.code, f"belongs to user {EVE}" in done.err), done.err
        assert "Fix that, or deploy a clone of your own.\n" in done.err

    def test_a_commit_of_a_stranger_s_repository_is_not_recorded_and_that_is_said(
        self, checkout: Shared
    ) -> None:
        os.chown(checkout.definitions / ".git", EVE, EVE)
        done = self.deploy(checkout, BOB, "dev1")
        assert 0 == done.code, done.err
        assert f"not recorded: not trusted: {checkout.definitions}/.git belongs" in done.err
        record = Path(checkout.layout.deployment_record("deployments/1")).read_text()
        assert json.loads(record)["definitions"]["git"] is None


class TestUmask:
    @pytest.mark.parametrize("umask", [0o077, 0o002, 0o027])
    def test_everybody_can_read_and_nobody_change_what_was_deployed(
        self, shared: Shared, umask: int
    ) -> None:
        script = shared.definitions / "tier" / "bin" / "own"
        script.parent.mkdir(parents=True)
        script.write_text("#!/bin/sh\necho own\n")
        script.chmod(0o700)
        os.chown(script, ADA, ADA)
        done = shared.deploy_as(ADA, "dev1", umask=umask)
        assert (0, "hello 1.0\n") == (done.code, shared.runs_as(EVE, "dev1").out), done.err
        for directory, _, files in os.walk(shared.layout.within("deployments/1")):
            assert 0o555 == os.stat(directory).st_mode & 0o777
            for name in files:
                mode = os.lstat(f"{directory}/{name}").st_mode & 0o777
                assert mode & 0o444 == 0o444, name
                assert not mode & 0o002, name
        assert 0 == shared.deploy_as(BOB, "dev1", "--rebuild").code


class TestWithoutRights:
    def test_others_read_and_run_but_deploy_nothing(self, shared: Shared) -> None:
        assert 0 == shared.deploy_as(ADA, "dev1").code
        before = listing(shared.layout.top)
        for words in (["dev1"], ["staging"], ["dev2"], ["dev2", "-n"]):
            done = shared.deploy_as(EVE, *words)
            assert (1, "", True) == (done.code, done.out, f"{ADA}" in done.err), done.err
        assert "hello 1.0\n" == shared.runs_as(EVE, "dev1").out
        assert before == listing(shared.layout.top)


class TestFullDisk:
    @pytest.fixture
    def small(self, tmp_path: Path) -> Iterator[Lab]:
        """A target on a filesystem of 24 MB."""
        require_root()
        mount = require_tool("mount")
        place = tmp_path / "small"
        place.mkdir()
        subprocess.run([mount, "-t", "tmpfs", "-o", "size=24m", "none", place], check=True)
        yield Lab(place)
        subprocess.run(["umount", place], check=True)

    def test_one_that_fills_the_disk_leaves_everything_as_it_was(self, small: Lab) -> None:
        assert 0 == small.deploy("staging").code
        before = links(small.layout)
        # It packs so well that nobody can foresee how large it is.
        write_package(small.channel, "large", "1", {"share/x": "x" * (40 << 20)}, subdir=NOARCH)
        small.want("large")
        done = small.deploy("staging")
        assert (1, True) == (done.code, "No space left on device" in done.err), done.err
        assert (before, ["1", "2"]) == (links(small.layout), small.deployments)
        assert "hello 1.0\n" == small.runs("staging")
        small.want("hello=2.0")
        assert 0 == small.deploy("staging").code
        assert "hello 2.0\n" == small.runs("staging")

    def test_what_can_be_foreseen_is_told_before(self, small: Lab) -> None:
        text = os.urandom(4 << 20).hex()
        write_package(small.channel.parent / "c", "random", "1", {"x": text}, subdir=NOARCH)
        small.channel = small.channel.parent / "c"
        small.want("random")
        before = listing(small.layout.top)
        done = small.deploy("staging", "-n")
        assert (1, True) == (done.code, "are missing" in done.err), done.err
        assert before == listing(small.layout.top)
