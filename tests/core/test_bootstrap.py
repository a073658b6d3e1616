"""Making a target: on whose work it goes on, what it finishes, and what it says where it fails."""

import errno
import grp
import os
import stat
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pytest_mock import MockerFixture

from program import Program, installed
from targets import BOOTSTRAPPED, bootstrapped_mode, links, listing, make_target
from tierctl.change import bootstrap
from tierctl.errors import (
    ChangeUnfinished,
    Exists,
    InvalidTargetPath,
    Locked,
    LocksUnsupported,
    NoSuchGroup,
    TierctlError,
    UnsuitableFilesystem,
    Untrusted,
)
from tierctl.fs.local import OsFileSystem
from tierctl.fs.mounts import Mount
from tierctl.fs.protocol import Entry, FileSystem, LockUnavailable
from tierctl.report import loadable, verify
from tierctl.rotation.state import Content
from tierctl.target.groups import Group
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import Author
from tierctl.testing import Fault, FaultyFileSystem, Killed, Operation
from tools import as_user, require_root

T = TypeVar("T")
EVE = 10022
AUTHOR = Author("ada", "lab")


def create(target: Path, fs: FileSystem | None = None, group: Group | None = None) -> None:
    bootstrap.create(fs or OsFileSystem(), str(target), AUTHOR, group, lock_timeout=0)


def some_group() -> Group:
    require_root()
    return Group("users", grp.getgrnam("users").gr_gid)


def half_built(target: Path, at: int = 60, group: Group | None = None) -> Path:
    """Return what a bootstrap leaves that is killed at an operation."""
    with pytest.raises(Killed):
        create(target, FaultyFileSystem(OsFileSystem(), Fault(at, None)), group)
    return target / ".infrastructure.bootstrap"


def last_rename(target: Path, group: Group | None = None) -> int:
    """Make a target; return the number of the operation by which it gets its name."""
    whole = FaultyFileSystem(OsFileSystem(), Fault(0))
    create(target, whole, group)
    verbs = [operation.verb for operation in whole.trace]
    return len(verbs) - verbs[::-1].index("rename")


def require_modes(target: Path, group: Group | None) -> None:
    """Assert that who is to use a target can, and nobody else."""
    shared = group is not None
    for path in (target / "infrastructure").rglob("*"):
        if path.is_symlink():
            continue
        wanted = bootstrapped_mode(path, shared=shared)
        assert wanted == stat.S_IMODE(path.stat().st_mode), path
        assert group is None or group.gid == path.stat().st_gid, path


class TestOnWhoseWorkItGoesOn:
    @pytest.mark.parametrize(
        "name", ["", "blue", "deployments/1/etc", ".tierctl/config.toml", "staging"]
    )
    def test_what_belongs_to_somebody_else_is_refused(self, tmp_path: Path, name: str) -> None:
        require_root()
        top = half_built(tmp_path)
        os.chown(top / name, EVE, EVE, follow_symlinks=False)
        self.require_refused(tmp_path, top / name, "belongs to user 10022")

    @pytest.mark.parametrize(
        "name", ["deployments", ".tierctl", ".tierctl/config.toml", "deployments/1/etc"]
    )
    def test_a_symlink_is_not_followed(self, tmp_path: Path, name: str) -> None:
        target = tmp_path / "lab"
        top = half_built(target)
        (top / name).rename(tmp_path / "elsewhere")
        (top / name).symlink_to(tmp_path / "elsewhere")
        before = listing(tmp_path)
        self.require_refused(target, top / name, "is a symlink")
        assert before == listing(tmp_path)

    @pytest.mark.parametrize("mode", [0o775, 0o757])
    def test_what_others_may_write_to_is_refused(self, tmp_path: Path, mode: int) -> None:
        top = half_built(tmp_path)
        (top / "deployments/1").chmod(mode)
        self.require_refused(tmp_path, top / "deployments/1", "can be written by")

    def test_what_another_group_may_write_to_is_refused(self, tmp_path: Path) -> None:
        top = half_built(tmp_path, group=some_group())
        other = Group("other", some_group().gid + 1)
        self.require_refused(tmp_path, top / ".tierctl", "can be written by the group", other)
        create(tmp_path, group=some_group())

    def require_refused(
        self, target: Path, path: Path, reason: str, group: Group | None = None
    ) -> None:
        before = listing(target)
        for attempt in (bootstrap.check, lambda fs, target, group: create(target, fs, group)):
            with pytest.raises(Untrusted, match=reason) as caught:
                attempt(OsFileSystem(), str(target), group)
            assert str(path) == caught.value.path
            left = f"{target}/.infrastructure.bootstrap"
            assert f"chmod -R u+w {left} && rm -r {left}" in caught.value.hint
        assert before == listing(target)


class TestWhatItFinishes:
    def test_killed_at_any_operation_it_is_finished_for_the_group(self, tmp_path: Path) -> None:
        group, at, fired = some_group(), 0, True
        while fired:
            at += 1
            target = tmp_path / str(at)
            faulty = FaultyFileSystem(OsFileSystem(), Fault(at, None))
            with suppress(Killed):
                create(target, faulty, group)
            fired = faulty.fired
            with suppress(Exists):
                create(target, group=group)
            require_modes(target, group)
        assert at > 60

    @pytest.mark.parametrize("shared", [False, True])
    def test_what_was_killed_before_it_had_its_mode_gets_it(
        self, tmp_path: Path, shared: bool
    ) -> None:
        group = some_group() if shared else None
        top = half_built(tmp_path, group=group)
        for path in top.rglob("*"):
            if not path.is_symlink():
                path.chmod(0o700 if path.is_dir() else 0o600)
        create(tmp_path, group=group)
        require_modes(tmp_path, group)

    def test_what_was_begun_for_one_can_be_finished_for_a_group(self, tmp_path: Path) -> None:
        group = some_group()
        half_built(tmp_path)
        create(tmp_path, group=group)
        require_modes(tmp_path, group)

    def test_one_that_was_moved_meanwhile_is_finished_for_where_it_is(self, tmp_path: Path) -> None:
        """When it was built and recorded: what it consists of, and its event, are others now."""
        half_built(tmp_path / "lab", last_rename(tmp_path / "whole"))
        (tmp_path / "lab").rename(tmp_path / "moved")
        create(tmp_path / "moved")
        layout, content = Layout.of_target(str(tmp_path / "moved")), Content.of_deployment(1)
        found = verify.verify(Target(OsFileSystem(), layout), content)
        assert (True, True) == (found.is_whole, found.is_witnessed)
        assert "" == loadable.hindrance(Target(OsFileSystem(), layout), content.directory)

    @pytest.mark.parametrize("what_is_typed", ["again", "to remove it"])
    def test_a_user_whom_modes_keep_out_can_go_on_when_it_was_sealed(
        self, tmp_path: Path, what_is_typed: str
    ) -> None:
        require_root()
        top = half_built(tmp_path)
        assert 0o555 == stat.S_IMODE((top / "deployments" / "1").stat().st_mode)
        for path in (tmp_path, *tmp_path.rglob("*")):
            os.chown(path, EVE, EVE, follow_symlinks=False)
        command = [installed(), "bootstrap", str(tmp_path)]
        if what_is_typed == "to remove it":
            command = ["sh", "-c", bootstrap.removal_of(str(top))]
        done = subprocess.run([*as_user(EVE), *command], capture_output=True, text=True)
        assert (0, False) == (done.returncode, top.exists()), done
        if what_is_typed == "again":
            require_modes(tmp_path, None)

    def test_what_a_killed_one_had_opened_is_closed_while_it_is_built(self, tmp_path: Path) -> None:
        top, seen = half_built(tmp_path), set()
        top.chmod(0o755)

        class Watched(OsFileSystem):
            def write(self, path: str, data: bytes, **options: Any) -> None:
                seen.add(stat.S_IMODE(top.stat().st_mode))
                super().write(path, data, **options)

        create(tmp_path, Watched())
        assert {0o700} == seen
        assert 0o755 == stat.S_IMODE((tmp_path / "infrastructure").stat().st_mode)


class Overtaken(FaultyFileSystem):
    """Another bootstrap of the same target runs before one operation."""

    def __init__(self, target: Path, at: int) -> None:
        super().__init__(OsFileSystem(), Fault(at))
        self.target = target

    def _do(
        self, verb: str, path: str, operation: Callable[[FileSystem], T], part: object = None
    ) -> T:
        self.trace.append(Operation(verb, path))
        if self.operations == self.fault.at:
            self.fired = True
            with suppress(Locked, Exists):
                create(self.target)
        return operation(self.inner)


def test_whenever_another_one_ends_in_between_there_is_one_target_and_no_leftover(
    tmp_path: Path,
) -> None:
    faster, at, fired = 0, 0, True
    while fired:
        at += 1
        target = tmp_path / str(at)
        fs = Overtaken(target, at)
        try:
            create(target, fs)
        except Exists:
            faster += 1
        fired = fs.fired
        assert ["conda_package_cache", "infrastructure"] == sorted(os.listdir(target)), at
        assert BOOTSTRAPPED == links(Layout.of_target(str(target)))
        require_modes(target, None)
    assert faster > 5


@pytest.mark.parametrize("shared", [False, True])
def test_what_is_tried_out_can_be_there_from_another_one(tmp_path: Path, shared: bool) -> None:
    """Two at once: the other one is stopped when it has built all, and opened it."""
    group = some_group() if shared else None
    target, others = tmp_path / "lab", tmp_path / "other"
    others.mkdir()
    top = half_built(others / "stopped", last_rename(others / "whole", group), group)

    class Late(OsFileSystem):
        def make_directory(
            self, path: str, mode: int, *, group: int | None = None, owner: int | None = None
        ) -> None:
            super().make_directory(path, mode, group=group, owner=owner)
            if path == f"{target}/.infrastructure.bootstrap":
                os.rmdir(path)
                top.rename(path)

    create(target, Late(), group)
    require_modes(target, group)


class TestWhatItSays:
    @pytest.mark.parametrize("name", ["file", "file/lab", "file/lab/x", "loop", "loop/lab"])
    def test_where_no_directory_can_be_it_says_so(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "file").write_text("mine")
        (tmp_path / "loop").symlink_to("loop")
        with pytest.raises(InvalidTargetPath, match="directory") as caught:
            bootstrap.check(OsFileSystem(), str(tmp_path / name))
        assert "Choose another directory" in caught.value.hint

    def test_a_cache_that_is_a_file_is_found_before_anything_is_made(self, tmp_path: Path) -> None:
        (tmp_path / "conda_package_cache").write_text("mine")
        with pytest.raises(InvalidTargetPath, match="conda_package_cache is not a directory"):
            create(tmp_path)
        assert ["conda_package_cache"] == os.listdir(tmp_path)

    @pytest.mark.parametrize("name", ["link", "link/x", "lab/infrastructure/green/x"])
    def test_an_infrastructure_is_known_through_links_and_without_production(
        self, tmp_path: Path, name: str
    ) -> None:
        make_target(tmp_path / "lab", production=None)
        (tmp_path / "link").symlink_to("lab/infrastructure/blue")
        with pytest.raises(InvalidTargetPath, match="lies in an infrastructure"):
            bootstrap.check(OsFileSystem(), str(tmp_path / name))

    def test_a_directory_beside_others_named_like_tiers_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "production").mkdir()
        (tmp_path / "staging").mkdir()
        create(tmp_path / "production")

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
    def test_half_way_it_names_what_is_left(self, tmp_path: Path, number: int) -> None:
        with pytest.raises(ChangeUnfinished, match=os.strerror(number)) as caught:
            create(tmp_path, FaultyFileSystem(OsFileSystem(), Fault(56, number)))
        assert f"what is built is in {tmp_path}/.infrastructure.bootstrap" in caught.value.message
        assert "run the command again" in caught.value.hint

    def test_what_is_whole_but_not_flushed_is_not_taken_for_another_ones(
        self, tmp_path: Path
    ) -> None:
        whole = FaultyFileSystem(OsFileSystem(), Fault(0))
        create(tmp_path / "first", whole)
        with pytest.raises(TierctlError, match="finished, not yet durable") as caught:
            create(
                tmp_path / "second",
                FaultyFileSystem(OsFileSystem(), Fault(whole.operations)),
            )
        assert f"doctor --target {tmp_path}/second" == caught.value.command

    @pytest.mark.parametrize("number", [errno.EPERM, errno.EINVAL])
    def test_a_group_that_cannot_be_given_is_named(self, tmp_path: Path, number: int) -> None:
        class Refusing(OsFileSystem):
            def make_directory(
                self, path: str, mode: int, *, group: int | None = None, owner: int | None = None
            ) -> None:
                raise OSError(number, os.strerror(number), path)

        with pytest.raises(NoSuchGroup, match="nothing can be given to the group users"):
            create(tmp_path / "lab", Refusing(), Group("users", 100))
        assert [] == os.listdir(tmp_path)

    def test_who_waits_in_vain_is_told_of_an_option_that_there_is(
        self, tierctl: Program, tmp_path: Path
    ) -> None:
        lock = half_built(tmp_path) / ".tierctl/lock"
        with OsFileSystem().lock(str(lock), timeout=0):
            done = tierctl("bootstrap", tmp_path, "--lock-timeout", "0")
        assert 1 == done.code
        assert "locked by another bootstrap" in done.err
        assert "--lock-timeout" in done.err

    def test_a_dry_run_knows_the_group(self, tierctl: Program, tmp_path: Path) -> None:
        half_built(tmp_path, group=some_group())
        assert 0 == tierctl("bootstrap", tmp_path, "-n", "--group", "users").code
        for others in ([], ["--group", "no such group"]):
            dry = tierctl("bootstrap", tmp_path, "-n", *others)
            assert dry == tierctl("bootstrap", tmp_path, *others)
            assert 1 == dry.code


NFS = Mount("nfs4", "/mnt/lab", ("rw", "vers=4.2"))


class TestOnWhatItCannotBe:
    """Nothing is left on a filesystem that is not fit for a target, not even the directory."""

    def refused(
        self, tmp_path: Path, fs: FileSystem, match: str, group: Group | None = None
    ) -> TierctlError:
        refusals = (UnsuitableFilesystem, LocksUnsupported, NoSuchGroup)
        (tmp_path / "there").mkdir()
        for name in ("new", "there"):
            with pytest.raises(refusals, match=match) as caught:
                create(tmp_path / name, fs, group)
        assert ["there"] == os.listdir(tmp_path)
        assert [] == os.listdir(tmp_path / "there")
        return caught.value

    @pytest.mark.parametrize("mount", [NFS, None])
    def test_what_one_makes_has_to_be_ones_own(
        self, tmp_path: Path, mocker: MockerFixture, mount: Mount | None
    ) -> None:
        class Squashing(OsFileSystem):
            def entry(self, path: str, *, follow: bool = False) -> Entry:
                return super().entry(path, follow=follow)._replace(uid=65534)

        mocker.patch("tierctl.fs.mounts.find", return_value=mount)
        error = self.refused(tmp_path, Squashing(), "makes there.* belongs to")
        assert "Run bootstrap as the user" in error.hint or os.geteuid() != 0
        assert (mount is not None) == ("(nfs4, mounted on /mnt/lab)" in error.message)
        assert (mount is not None) == ("NFS server" in error.message)

    def test_a_squashed_root_that_cannot_give_to_a_group_is_told_why(
        self, tmp_path: Path, mocker: MockerFixture
    ) -> None:
        class Squashing(OsFileSystem):
            def make_directory(
                self, path: str, mode: int, *, group: int | None = None, owner: int | None = None
            ) -> None:
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)

        mocker.patch("tierctl.fs.mounts.find", return_value=NFS)
        error = self.refused(tmp_path, Squashing(), "root_squash", some_group())
        assert "Run bootstrap as the user" in error.hint

    def test_permissions_have_to_be_kept(self, tmp_path: Path) -> None:
        class Open(OsFileSystem):
            def entry(self, path: str, *, follow: bool = False) -> Entry:
                return super().entry(path, follow=follow)._replace(mode=0o777)

        self.refused(tmp_path, Open(), "permissions are not kept there")

    @pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
    def test_permissions_have_to_be_settable(self, tmp_path: Path, number: int) -> None:
        class WithoutModes(OsFileSystem):
            def make_directory(
                self, path: str, mode: int, *, group: int | None = None, owner: int | None = None
            ) -> None:
                if mode & 0o077 == 0:
                    raise OSError(number, os.strerror(number), path)
                super().make_directory(path, mode, group=group, owner=owner)

        self.refused(tmp_path, WithoutModes(), "permissions cannot be set there")

    @pytest.mark.parametrize(
        ("changed", "match"),
        [({"gid": 65534}, "stays with the group"), ({"mode": 0o2700}, "no permission to write")],
    )
    def test_a_group_has_to_get_what_is_given_to_it(
        self, tmp_path: Path, changed: dict[str, int], match: str
    ) -> None:
        class Ignoring(OsFileSystem):
            def entry(self, path: str, *, follow: bool = False) -> Entry:
                return super().entry(path, follow=follow)._replace(**changed)

        self.refused(tmp_path, Ignoring(), match, some_group())

    @pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
    def test_it_needs_symlinks(self, tmp_path: Path, number: int) -> None:
        class WithoutLinks(OsFileSystem):
            def make_link(self, path: str, target: str) -> None:
                raise OSError(number, os.strerror(number), path)

        error = self.refused(tmp_path, WithoutLinks(), "there are no symlinks there")
        assert "another filesystem" in error.hint

    def test_a_link_that_reads_as_something_else_is_none(self, tmp_path: Path) -> None:
        class Imitating(OsFileSystem):
            def make_link(self, path: str, target: str) -> None:
                self.write(path, target.encode())

        self.refused(tmp_path, Imitating(), "there are no symlinks there")

    def test_links_that_a_client_imitates_are_refused_by_a_dry_run_too(
        self, tmp_path: Path, mocker: MockerFixture
    ) -> None:
        mount = Mount("cifs", "/mnt/lab", ("rw", "vers=3.1.1", "mfsymlinks"))
        mocker.patch("tierctl.fs.mounts.find", return_value=mount)
        self.refused(tmp_path, OsFileSystem(), "mfsymlinks")
        with pytest.raises(UnsuitableFilesystem, match="mfsymlinks"):
            bootstrap.check(OsFileSystem(), str(tmp_path / "new"))

    @pytest.mark.parametrize("number", [errno.EPERM, errno.EEXIST])
    def test_a_rename_has_to_replace_a_symlink(self, tmp_path: Path, number: int) -> None:
        class WithoutReplacing(OsFileSystem):
            def rename(self, path: str, new: str) -> None:
                if os.path.lexists(new):
                    raise OSError(number, os.strerror(number), path)
                super().rename(path, new)

        self.refused(tmp_path, WithoutReplacing(), "a rename does not replace a symlink")

    def test_it_needs_locks(self, tmp_path: Path) -> None:
        class WithoutLocks(OsFileSystem):
            def lock(self, path: str, *, timeout: float, mode: int | None = None) -> Any:
                raise LockUnavailable(errno.ENOLCK, os.strerror(errno.ENOLCK), path)

        self.refused(tmp_path, WithoutLocks(), "cannot lock")

    def test_a_directory_that_cannot_be_removed_again_is_named(self, tmp_path: Path) -> None:
        """As in a directory like /tmp, if a server gives away what one makes there."""

        class GivingAway(OsFileSystem):
            def entry(self, path: str, *, follow: bool = False) -> Entry:
                return super().entry(path, follow=follow)._replace(uid=65534)

            def remove(self, path: str) -> None:
                if path == str(tmp_path / "new"):
                    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)
                super().remove(path)

        with pytest.raises(UnsuitableFilesystem) as caught:
            create(tmp_path / "new", GivingAway())
        assert f"could not be removed: {tmp_path}/new: " in caught.value.hint

    def test_any_other_error_of_the_trial_is_told_as_it_is(self, tmp_path: Path) -> None:
        class Full(OsFileSystem):
            def make_link(self, path: str, target: str) -> None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

        with pytest.raises(ChangeUnfinished, match="No space left"):
            create(tmp_path, Full())
