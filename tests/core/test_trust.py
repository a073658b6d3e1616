"""What tierctl believes: files that only the right people can have written."""

import grp
import os
import pwd
from pathlib import Path

import pytest

from targets import make_target
from tierctl.errors import Untrusted
from tierctl.fs.local import OsFileSystem
from tierctl.target import groups, owners, trust
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tools import require_root

FS = OsFileSystem()
STRANGER, OWNER = 54321, 54322
# A user of every Linux, with a group of its name.
MEMBER = pwd.getpwnam("daemon")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A target with a ``.tierctl``."""
    layout = make_target(tmp_path)
    os.mkdir(layout.control, 0o755)
    return layout


@pytest.fixture
def file(layout: Layout) -> str:
    """A file in there that belongs to the caller."""
    Path(layout.history).write_bytes(b"text")
    os.chmod(layout.history, 0o644)
    return layout.history


def record_group(layout: Layout, name: str) -> None:
    Path(layout.config).write_text(f'group = "{name}"\n')
    os.chmod(layout.config, 0o644)


def test_what_belongs_to_the_caller_is_trusted(layout: Layout, file: str) -> None:
    assert b"text" == trust.read(Target(FS, layout), file)
    assert 4 == trust.require(Target(FS, layout), file).size


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664])
def test_what_a_group_may_write_is_trusted(layout: Layout, file: str, mode: int) -> None:
    os.chmod(file, mode)
    assert b"text" == trust.read(Target(FS, layout), file)


@pytest.mark.parametrize("mode", [0o666, 0o602, 0o646])
def test_what_everybody_may_write_is_not(layout: Layout, file: str, mode: int) -> None:
    os.chmod(file, mode)
    with pytest.raises(Untrusted, match="can be written by everybody") as caught:
        trust.read(Target(FS, layout), file)
    assert file == caught.value.path


@pytest.mark.parametrize("kind", ["symlink", "directory", "special file"])
def test_what_is_no_file_is_not(layout: Layout, file: str, kind: str) -> None:
    path = file + ".other"
    match kind:
        case "symlink":
            os.symlink(file, path)
        case "directory":
            os.mkdir(path)
        case _:
            os.mkfifo(path)
    with pytest.raises(Untrusted, match=f"is a {kind}, not a file"):
        trust.read(Target(FS, layout), path)


def test_what_is_missing_is_not_found(layout: Layout) -> None:
    with pytest.raises(FileNotFoundError):
        trust.read(Target(FS, layout), layout.intent)


def test_root_the_caller_and_the_owner_of_the_infrastructure_are_trusted(layout: Layout) -> None:
    assert {0, os.geteuid(), os.stat(layout.infrastructure).st_uid} == owners.trusted_owners(
        Target(FS, layout)
    )


def test_a_file_of_root_is_trusted(layout: Layout, file: str) -> None:
    require_root()
    os.chown(file, 0, 0)
    assert b"text" == trust.read(Target(FS, layout), file)


def test_a_file_of_the_infrastructure_s_owner_is_trusted(layout: Layout, file: str) -> None:
    require_root()
    os.chown(layout.infrastructure, OWNER, -1)
    os.chown(file, OWNER, -1)
    assert b"text" == trust.read(Target(FS, layout), file)


def test_a_file_of_a_stranger_is_not(layout: Layout, file: str) -> None:
    require_root()
    os.chown(file, STRANGER, -1)
    with pytest.raises(Untrusted, match=f"belongs to user {STRANGER}"):
        trust.read(Target(FS, layout), file)


class TestMember:
    """A file of a user who is in the recorded group, with another group than that."""

    @pytest.fixture(autouse=True)
    def of_a_member(self, layout: Layout, file: str) -> None:
        require_root()
        os.chown(file, MEMBER.pw_uid, STRANGER)
        record_group(layout, grp.getgrgid(MEMBER.pw_gid).gr_name)

    def test_it_is_trusted(self, layout: Layout, file: str) -> None:
        assert b"text" == trust.read(Target(FS, layout), file)

    def test_one_that_another_group_may_write_is_not(self, layout: Layout, file: str) -> None:
        os.chmod(file, 0o664)
        with pytest.raises(Untrusted, match=f"can be written by group {STRANGER}"):
            trust.read(Target(FS, layout), file)

    def test_one_that_nobody_but_the_member_may_write_as_a_group_is(
        self, layout: Layout, file: str
    ) -> None:
        os.chown(file, -1, MEMBER.pw_gid)
        os.chmod(file, 0o664)
        assert b"text" == trust.read(Target(FS, layout), file)

    def test_one_that_everybody_may_write_is_not(self, layout: Layout, file: str) -> None:
        os.chmod(file, 0o646)
        with pytest.raises(Untrusted, match="by everybody"):
            trust.read(Target(FS, layout), file)

    def test_one_of_somebody_who_is_in_another_group_is_not_and_is_named(
        self, layout: Layout, file: str
    ) -> None:
        other = next(g for g in grp.getgrall() if not groups.is_member(MEMBER.pw_uid, g.gr_gid))
        record_group(layout, other.gr_name)
        with pytest.raises(Untrusted, match=f"belongs to user {MEMBER.pw_name}"):
            trust.read(Target(FS, layout), file)


def test_a_private_group_is_the_users_alone() -> None:
    assert groups.is_private(MEMBER.pw_gid, MEMBER.pw_uid)
    assert not groups.is_private(MEMBER.pw_gid, 0)
    assert not groups.is_private(0, MEMBER.pw_uid)
    assert not groups.is_private(STRANGER, STRANGER)


class TestGroup:
    """A file of a stranger, with the group ``nogroup`` or whichever is last here."""

    @pytest.fixture(autouse=True)
    def of_a_stranger(self, file: str) -> None:
        require_root()
        os.chown(file, STRANGER, grp.getgrall()[-1].gr_gid)

    def test_a_file_of_the_recorded_group_is_trusted(self, layout: Layout, file: str) -> None:
        record_group(layout, grp.getgrall()[-1].gr_name)
        assert b"text" == trust.read(Target(FS, layout), file)

    def test_a_file_of_another_group_is_not(self, layout: Layout, file: str) -> None:
        record_group(layout, grp.getgrall()[0].gr_name)
        with pytest.raises(Untrusted):
            trust.read(Target(FS, layout), file)

    def test_a_group_that_this_host_does_not_know_opens_nothing(
        self, layout: Layout, file: str
    ) -> None:
        record_group(layout, "no such group")
        with pytest.raises(Untrusted):
            trust.read(Target(FS, layout), file)

    def test_a_group_does_not_excuse_what_everybody_may_write(
        self, layout: Layout, file: str
    ) -> None:
        record_group(layout, grp.getgrall()[-1].gr_name)
        os.chmod(file, 0o666)
        with pytest.raises(Untrusted):
            trust.read(Target(FS, layout), file)

    def test_nobody_lets_themselves_in_by_writing_the_policy(
        self, layout: Layout, file: str
    ) -> None:
        record_group(layout, grp.getgrall()[-1].gr_name)
        os.chown(layout.config, STRANGER, grp.getgrall()[-1].gr_gid)
        with pytest.raises(Untrusted):
            trust.read(Target(FS, layout), file)
