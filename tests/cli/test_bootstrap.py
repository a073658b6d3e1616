"""``tierctl bootstrap``: what a user gets."""

import grp
import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from program import Program, installed, run_installed
from targets import BOOTSTRAPPED, bootstrapped_mode, links, listing, make_deployment, rotation
from tierctl.change import bootstrap
from tierctl.deploy.definitions import Definitions
from tierctl.deploy.wanted import files_digest
from tierctl.errors import Exists, TierctlError
from tierctl.fs.local import OsFileSystem
from tierctl.rotation.names import TIER_DIRECTORIES
from tierctl.rotation.state import Content
from tierctl.target import packages, record
from tierctl.target.groups import Group
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import Author
from tierctl.target.validators import LONGEST_PREFIX
from tierctl.testing import Fault, FaultyFileSystem, Killed
from tools import as_user, require_root, require_tool

AUTHOR = Author("ada", "node7")


def test_it_makes_a_target_and_says_how_to_load_it(tierctl: Program, tmp_path: Path) -> None:
    done = tierctl("bootstrap", tmp_path / "lab")
    assert 0 == done.code
    assert [
        f"infrastructure: {tmp_path}/lab/infrastructure",
        "production: green",
        "staging: blue",
    ] == done.out.splitlines()
    assert f"source {tmp_path}/lab/infrastructure/production/etc/profile.sh" in done.err
    layout = Layout.of_target(str(tmp_path / "lab"))
    assert BOOTSTRAPPED == links(layout)
    assert Path(layout.cache).is_dir()


@pytest.mark.parametrize("tier", ["production", "staging", "blue", "green"])
def test_every_tier_can_be_loaded_at_once(tierctl: Program, tmp_path: Path, tier: str) -> None:
    require_tool("bash")
    tierctl("bootstrap", tmp_path / "lab")
    script = f"source '{tmp_path}/lab/infrastructure/{tier}/etc/profile.sh'; echo $IAC_TIER_NAME"
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True)
    assert (0, f"{tier}\n", "") == (done.returncode, done.stdout, done.stderr)


def test_the_target_can_be_promoted_at_once_and_there_is_nothing_to_go_back_to(
    tierctl: Program, tmp_path: Path
) -> None:
    tierctl("bootstrap", tmp_path / "lab")
    layout = Layout.of_target(str(tmp_path / "lab"))
    for production, staging in (("blue", "green"), ("green", "blue")):
        assert 0 == tierctl("promote-staging", "-t", tmp_path / "lab").code
        assert {"production": production, "staging": staging} == rotation(layout)
    assert 1 == tierctl("rollback", "-t", tmp_path / "lab").code
    assert BOOTSTRAPPED == links(layout)


def test_both_colors_show_a_finished_deployment_without_anything(
    tierctl: Program, tmp_path: Path
) -> None:
    tierctl("bootstrap", tmp_path, "-m", "a new lab")
    layout, fs = Layout.of_target(str(tmp_path)), OsFileSystem()
    found = record.read(Target(fs, layout), "deployments/1")
    assert (1, "a new lab", {}) == (found["number"], found["reason"], found["environments"])
    assert record.is_finished(Target(fs, layout), "deployments/1")
    assert record.is_empty_tier(Target(fs, layout), Content.of_deployment(1))
    assert {} == packages.read(Target(fs, layout), "deployments/1")
    assert 0 == tierctl("verify", "1", "-t", tmp_path).code
    assert all((Path(layout.within("blue")) / name).is_dir() for name in TIER_DIRECTORIES)


def test_what_is_built_next_is_2_and_what_was_loaded_keeps_its_path(
    tierctl: Program, tmp_path: Path
) -> None:
    lab, definitions = tmp_path / "lab", tmp_path / "definitions"
    (definitions / "tier" / "bin").mkdir(parents=True)
    tierctl("bootstrap", lab)
    loaded = lab / "infrastructure" / "deployments" / "1"
    before = listing(loaded)
    for number in (2, 3):
        (definitions / "tier" / "bin" / "version").write_text(f"{number}\n")
        words = ("deploy", "staging", "--definitions", definitions, "-t", lab, "--json")
        deployed = run_installed(*words).document
        assert (number, ["deployments", str(number)]) == (
            deployed["deployment"],
            deployed["after"][deployed["after"]["staging"]].split("/"),
        )
        assert "adopted" not in deployed["after"]
        assert 0 == tierctl("promote-staging", "-t", lab).code
        assert before == listing(loaded)
    prune = ("prune", "--keep", "0", "--older-than", "0d", "-t", lab, "--json")
    assert [1] == tierctl(*prune).document["removed"]  # no rollback would return to it


def test_a_build_without_files_has_the_digest_that_makes_a_tier_empty() -> None:
    assert record.NO_FILES == files_digest(Definitions("/definitions", (), (), {}))


def test_while_a_rollback_would_return_to_it_it_is_kept(tierctl: Program, tmp_path: Path) -> None:
    tierctl("bootstrap", tmp_path)
    layout = Layout.of_target(str(tmp_path))
    make_deployment(layout, 2)
    Path(layout.within("blue")).unlink()
    Path(layout.within("blue")).symlink_to("deployments/2")
    assert 0 == tierctl("promote-staging", "-t", tmp_path).code
    make_deployment(layout, 3)
    Path(layout.within("green")).unlink()
    Path(layout.within("green")).symlink_to("deployments/3")
    prune = ("prune", "--keep", "0", "--older-than", "0d", "-t", tmp_path, "--json")
    reasons = {each["deployment"]: each["reason"] for each in tierctl(*prune).document["kept"]}
    assert "a rollback would return to it" == reasons[1]


def test_neither_the_engine_nor_a_parser_of_definitions_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from tierctl.cli.main import main;"
        f"main(['bootstrap', {str(tmp_path / 'lab')!r}]); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.splitlines()[-1].split())
    assert "tierctl.change.emptytier" in imported
    heavy = {"rattler", "yaml", "rich", "subprocess", "tomllib"}
    heavy |= {"tierctl.deploy.engine.client", "tierctl.deploy.definitions"}
    assert not heavy & imported


def test_history_knows_what_its_empty_tier_was_built_as(tierctl: Program, tmp_path: Path) -> None:
    made = tierctl("bootstrap", tmp_path, "--json").document
    manifest = tmp_path / "infrastructure/deployments/1/meta/manifest"
    sha256 = hashlib.sha256(manifest.read_bytes()).hexdigest()
    assert {"deployment": 1, "manifest": sha256} == made["event"]["built"]


def test_it_is_the_first_event(tierctl: Program, tmp_path: Path) -> None:
    made = tierctl("bootstrap", tmp_path / "lab", "-m", "a new lab", "--json").document
    events = tierctl("history", "-t", tmp_path / "lab", "--json").document["events"]
    assert [made["event"]] == events
    assert ("bootstrap", "a new lab") == (events[0]["kind"], events[0]["reason"])


def test_a_target_that_is_there_is_never_touched(tierctl: Program, tmp_path: Path) -> None:
    tierctl("bootstrap", tmp_path)
    before = listing(tmp_path)
    done = tierctl("bootstrap", tmp_path)
    assert 1 == done.code
    assert f"tierctl status --target {tmp_path}" in done.err
    assert before == listing(tmp_path)


@pytest.mark.parametrize("kind", ["empty directory", "file", "dangling link"])
def test_whatever_has_the_name_stays(tierctl: Program, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "infrastructure"
    match kind:
        case "empty directory":
            path.mkdir()
        case "file":
            path.write_text("mine")
        case _:
            path.symlink_to("nowhere")
    before = listing(tmp_path)
    assert 1 == tierctl("bootstrap", tmp_path).code
    assert before == listing(tmp_path)


def test_what_else_is_in_the_directory_stays(tierctl: Program, tmp_path: Path) -> None:
    (tmp_path / "conda_package_cache").mkdir()
    (tmp_path / "conda_package_cache" / "package").write_text("mine")
    (tmp_path / "notes").write_text("mine")
    assert 0 == tierctl("bootstrap", tmp_path).code
    assert "mine" == (tmp_path / "notes").read_text()
    assert "mine" == (tmp_path / "conda_package_cache" / "package").read_text()


def test_a_dry_run_makes_nothing(tierctl: Program, tmp_path: Path) -> None:
    dry = tierctl("bootstrap", tmp_path / "lab", "-n")
    assert (0, "Dry run: nothing was made.\n") == (dry.code, dry.err)
    assert [] == list(tmp_path.iterdir())
    assert dry.out == tierctl("bootstrap", tmp_path / "lab").out


@pytest.mark.parametrize("name", ["a:b", "a\nb", "a\x7fb"])
def test_a_name_that_path_cannot_hold_is_refused(
    tierctl: Program, tmp_path: Path, name: str
) -> None:
    assert 1 == tierctl("bootstrap", tmp_path / name).code
    assert [] == list(tmp_path.iterdir())


def test_a_path_that_is_too_long_for_conda_is_refused(tierctl: Program, tmp_path: Path) -> None:
    done = tierctl("bootstrap", tmp_path / ("x" * LONGEST_PREFIX))
    assert 1 == done.code
    assert "too long" in done.err
    assert [] == list(tmp_path.iterdir())


def test_a_missing_parent_is_named(tierctl: Program, tmp_path: Path) -> None:
    done = tierctl("bootstrap", tmp_path / "no" / "lab")
    assert 1 == done.code
    assert f"mkdir -p {tmp_path}/no" in done.err


def test_the_spelling_is_kept(
    tierctl: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gpfs").mkdir()
    (tmp_path / "software").symlink_to("gpfs")
    monkeypatch.chdir(tmp_path / "software")
    monkeypatch.setenv("PWD", f"{tmp_path}/software")
    tierctl("bootstrap", "lab")
    profile = tmp_path / "gpfs/lab/infrastructure/blue/etc/profile.sh"
    assert f"{tmp_path}/software/lab/infrastructure/deployments/1" in profile.read_text()
    assert f"{tmp_path}/gpfs" not in profile.read_text()


@pytest.mark.parametrize("umask", [0o077, 0o002, 0o022])
def test_modes_do_not_depend_on_the_umask(tmp_path: Path, umask: int) -> None:
    subprocess.run(
        [installed(), "bootstrap", tmp_path / "lab"],
        check=True,
        umask=umask,
        capture_output=True,
    )
    for path in [tmp_path / "lab", *(tmp_path / "lab").rglob("*")]:
        if path.is_symlink():
            continue
        wanted = bootstrapped_mode(path, shared=False)
        assert wanted == stat.S_IMODE(path.stat().st_mode), path


class TestGroup:
    def test_all_belongs_to_it_and_is_writable_for_it(
        self, tierctl: Program, tmp_path: Path
    ) -> None:
        require_root()
        group = grp.getgrnam("users")
        assert 0 == tierctl("bootstrap", tmp_path / "lab", "--group", "users").code
        for path in [tmp_path / "lab", *(tmp_path / "lab").rglob("*")]:
            status = path.lstat()
            assert group.gr_gid == status.st_gid, path
            if path.is_symlink():
                continue
            wanted = bootstrapped_mode(path, shared=True)
            assert wanted == stat.S_IMODE(status.st_mode), path
        config = tmp_path / "lab/infrastructure/.tierctl/config.toml"
        assert 'group = "users"' in config.read_text()

    def test_members_promote_and_others_do_not(self, tierctl: Program, tmp_path: Path) -> None:
        require_root()
        tierctl("bootstrap", tmp_path / "lab", "--group", "users")
        promote = [installed(), "promote-staging", "--target", str(tmp_path / "lab")]
        gid = grp.getgrnam("users").gr_gid
        for uid, umask in ((10001, 0o077), (10002, 0o022)):
            done = subprocess.run(
                [*as_user(uid, gid), *promote], umask=umask, capture_output=True, text=True
            )
            assert (0, "") == (done.returncode, done.stderr)
        other = subprocess.run([*as_user(10003), *promote], capture_output=True, text=True)
        assert 1 == other.returncode
        assert "no permission to write to" in other.stderr

    def test_an_unknown_one_is_refused(self, tierctl: Program, tmp_path: Path) -> None:
        done = tierctl("bootstrap", tmp_path / "lab", "--group", "no such group")
        assert 1 == done.code
        assert "no such group" in done.err
        assert [] == list(tmp_path.iterdir())


def test_who_may_not_write_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        [*as_user(10001), installed(), "bootstrap", str(tmp_path / "lab")],
        capture_output=True,
        text=True,
    )
    assert 1 == done.returncode
    assert f"no permission to write to {tmp_path}" in done.stderr


def create(fs: FaultyFileSystem | OsFileSystem, target: Path, group: Group | None = None) -> None:
    bootstrap.create(fs, str(target), AUTHOR, group, lock_timeout=0)


def test_killed_at_any_operation_there_is_nothing_or_all_and_the_next_one_finishes(
    tmp_path: Path,
) -> None:
    at, whole = 0, None
    while True:
        at += 1
        target = tmp_path / str(at)
        faulty = FaultyFileSystem(OsFileSystem(), Fault(at, number=None))
        try:
            create(faulty, target)
        except Killed:
            layout = Layout.of_target(str(target))
            if os.path.lexists(layout.infrastructure):
                assert BOOTSTRAPPED == links(layout)
                with pytest.raises(Exists):
                    create(OsFileSystem(), target)
            else:
                create(OsFileSystem(), target)
            names = {str(path.relative_to(target)) for path in target.rglob("*")}
            whole = whole or names
            assert whole - {"conda_package_cache"} == names - {"conda_package_cache"}
            history = Path(layout.history).read_text()
            assert 1 == len(history.splitlines())
        else:
            break
    assert at > 60


def test_an_error_at_any_operation_is_no_half_target(tmp_path: Path) -> None:
    at = 0
    while True:
        at += 1
        target = tmp_path / str(at)
        faulty = FaultyFileSystem(OsFileSystem(), Fault(at))
        try:
            create(faulty, target)
        except (OSError, TierctlError):
            if not os.path.lexists(target / "infrastructure"):
                create(OsFileSystem(), target)
            assert BOOTSTRAPPED == links(Layout.of_target(str(target)))
        if not faulty.fired:
            break
    assert at > 60


def test_two_at_once_make_one_target(tmp_path: Path) -> None:
    command = [installed(), "bootstrap", str(tmp_path / "lab")]
    running = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    ends = [(process.communicate()[1], process.returncode) for process in running]
    assert [0, 1, 1, 1] == sorted(code for _, code in ends), ends
    layout = Layout.of_target(str(tmp_path / "lab"))
    assert BOOTSTRAPPED == links(layout)
    assert 1 == len(Path(layout.history).read_text().splitlines())


@pytest.mark.parametrize("place", ["/proc/lab", "/proc/self/lab", "/sys/lab", "/dev/pts/lab"])
@pytest.mark.parametrize("dry_run", [["-n"], []], ids=["dry run", "real"])
def test_where_the_kernel_shows_itself_no_target_can_be(
    tierctl: Program, place: str, dry_run: list[str]
) -> None:
    done = tierctl("bootstrap", place, "--json", *dry_run)
    error = done.document["error"]
    assert (1, "unsuitable-filesystem") == (done.code, error["code"])
    assert "shows the kernel and keeps no files" in error["message"]
    assert "Choose a directory on another filesystem." == error["hint"]
