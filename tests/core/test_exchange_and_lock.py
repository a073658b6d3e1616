"""Swapping names and locking on this host: the calls that Python has no names for."""

import ctypes
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from tierctl.fs import syscalls
from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import ExchangeUnsupported, LockTimeout, LockUnavailable, read
from tools import as_user, require_tool

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="this is how Linux does it")
FS = OsFileSystem()

HOLD = """
import sys, time
from tierctl.fs.local import OsFileSystem
with OsFileSystem().lock(sys.argv[1], mode=0o600, timeout=0):
    print("held", flush=True)
    sys.stdin.read()
"""

ADA = 10001
EXCHANGE = """
import sys
from tierctl.fs.local import OsFileSystem
try:
    OsFileSystem().exchange(*sys.argv[1:])
except OSError as error:
    print(type(error).__name__)
"""

HOLD_AS_NFS_CLIENTS_DO = """
import fcntl, sys
with open(sys.argv[1], "r+") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def links(tmp_path: Path) -> tuple[str, str]:
    """Two symlinks, one to blue and one to green."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.symlink_to("blue")
    second.symlink_to("green")
    return str(first), str(second)


@pytest.fixture
def fresh_libc() -> Iterator[None]:
    """The C library is looked up anew, and again afterwards."""
    syscalls._exchange.cache_clear()
    yield
    syscalls._exchange.cache_clear()


@pytest.fixture
def lock(tmp_path: Path) -> str:
    """A lock file that is there."""
    path = str(tmp_path / "lock")
    with FS.lock(path, mode=0o600, timeout=0):
        return path


@contextmanager
def another_process(code: str, path: str) -> Iterator[subprocess.Popen[str]]:
    """Run code in another process, from when it says that it holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert "held\n" == process.stdout.readline()
        yield process
        process.kill()


class TestExchange:
    @pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
    def test_a_filesystem_that_cannot_swap_says_so_and_nothing_is_changed(
        self, links: tuple[str, str], mocker: MockerFixture, number: int
    ) -> None:
        mocker.patch("tierctl.fs.syscalls.exchange", return_value=number)
        with pytest.raises(ExchangeUnsupported) as caught:
            FS.exchange(*links)
        assert (number, *links) == (
            caught.value.errno,
            caught.value.filename,
            caught.value.filename2,
        )
        assert ["blue", "green"] == [os.readlink(path) for path in links]

    @LINUX
    @pytest.mark.parametrize("error", ["EPERM", "EACCES", "ENOSYS"])
    def test_a_seccomp_filter_that_forbids_the_call_is_told_from_a_missing_permission(
        self, links: tuple[str, str], error: str
    ) -> None:
        filtering = ["-f", "-qq", "-o", "/dev/null", "-e", f"inject=renameat2:error={error}"]
        command = [require_tool("strace"), *filtering, sys.executable, "-c", EXCHANGE, *links]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "ExchangeUnsupported\n" == done.stdout
        assert ["blue", "green"] == [os.readlink(path) for path in links]

    @LINUX
    def test_another_users_name_in_a_sticky_directory_is_a_missing_permission(
        self, tmp_path: Path
    ) -> None:
        tmp_path.chmod(0o1777)
        mine, theirs = tmp_path / "mine", tmp_path / "theirs"
        for path, uid in ((mine, ADA), (theirs, ADA + 1)):
            path.symlink_to(path.name)
            os.chown(path, uid, uid, follow_symlinks=False)
        command = [*as_user(ADA), sys.executable, "-c", EXCHANGE, str(mine), str(theirs)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "PermissionError\n" == done.stdout

    @pytest.mark.parametrize(
        "number",
        [errno.EIO, errno.EINTR, errno.EROFS, errno.EXDEV, errno.EPERM, errno.EACCES],
    )
    def test_any_other_error_is_no_sign_of_a_filesystem_that_cannot(
        self, links: tuple[str, str], mocker: MockerFixture, number: int
    ) -> None:
        mocker.patch("tierctl.fs.syscalls.exchange", side_effect=[number, errno.ENOENT])
        with pytest.raises(OSError) as caught:  # noqa: PT011 (its number is looked at)
            FS.exchange(*links)
        assert number == caught.value.errno
        assert not isinstance(caught.value, ExchangeUnsupported)

    @LINUX
    @pytest.mark.usefixtures("fresh_libc")
    def test_a_libc_without_the_function_is_passed_by(
        self, links: tuple[str, str], mocker: MockerFixture
    ) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        old = mocker.Mock(spec=["syscall"], syscall=libc.syscall)
        mocker.patch("ctypes.CDLL", return_value=old)
        assert 0 == syscalls.exchange(*map(os.fsencode, links))
        assert ["green", "blue"] == [os.readlink(path) for path in links]

    @LINUX
    @pytest.mark.usefixtures("fresh_libc")
    def test_the_number_of_an_error_is_that_of_the_kernel(
        self, links: tuple[str, str], tmp_path: Path, mocker: MockerFixture
    ) -> None:
        pair = os.fsencode(links[0]), os.fsencode(tmp_path / "missing")
        assert errno.ENOENT == syscalls.exchange(*pair)
        syscalls._exchange.cache_clear()
        libc = ctypes.CDLL(None, use_errno=True)
        old = mocker.Mock(spec=["syscall"], syscall=libc.syscall)
        mocker.patch("ctypes.CDLL", return_value=old)
        assert errno.ENOENT == syscalls.exchange(*pair)

    @LINUX
    @pytest.mark.usefixtures("fresh_libc")
    def test_a_machine_whose_call_has_no_known_number_cannot_swap(
        self, links: tuple[str, str], mocker: MockerFixture
    ) -> None:
        mocker.patch("ctypes.CDLL", return_value=mocker.Mock(spec=["syscall"]))
        unknown = os.uname_result(("Linux", "host", "2.6", "1", "pdp11"))
        mocker.patch("os.uname", return_value=unknown)
        assert errno.ENOSYS == syscalls.exchange(*map(os.fsencode, links))
        with pytest.raises(ExchangeUnsupported):
            FS.exchange(*links)
        assert ["blue", "green"] == [os.readlink(path) for path in links]

    def test_names_that_are_no_text_are_swapped(self, tmp_path: Path) -> None:
        first, second = f"{tmp_path}/\udcff", f"{tmp_path}/\n"
        os.symlink("blue", first)
        os.symlink("green", second)
        FS.exchange(first, second)
        assert ("green", "blue") == (os.readlink(first), os.readlink(second))


class TestLock:
    def test_another_process_is_kept_out_and_let_in_when_the_holder_is_killed(
        self, lock: str
    ) -> None:
        with another_process(HOLD, lock) as holder:
            with pytest.raises(LockTimeout), FS.lock(lock, mode=0o600, timeout=0.02):
                pytest.fail("both hold it")
            holder.send_signal(signal.SIGKILL)
            with FS.lock(lock, mode=0o600, timeout=10):
                pass

    def test_who_waits_gets_it_as_soon_as_it_is_free(self, lock: str) -> None:
        with another_process(HOLD, lock) as holder:
            assert holder.stdin is not None
            holder.stdin.close()
            with FS.lock(lock, mode=0o600, timeout=10):
                pass

    def test_a_child_that_was_started_meanwhile_does_not_keep_it(self, lock: str) -> None:
        with FS.lock(lock, mode=0o600, timeout=0):
            child = subprocess.Popen(
                [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False
            )
        with child:
            with FS.lock(lock, mode=0o600, timeout=0.5):
                assert child.poll() is None
            child.kill()

    @LINUX
    def test_the_locks_of_nfs_clients_are_respected(self, lock: str) -> None:
        with (
            another_process(HOLD_AS_NFS_CLIENTS_DO, lock),
            pytest.raises(LockTimeout),
            FS.lock(lock, mode=0o600, timeout=0),
        ):
            pytest.fail("both hold it")

    def test_reading_the_file_meanwhile_does_not_lose_it(self, lock: str) -> None:
        with FS.lock(lock, mode=0o600, timeout=0):
            read(FS, lock)
            with pytest.raises(LockTimeout), FS.lock(lock, mode=0o600, timeout=0):
                pytest.fail("both hold it")

    def test_waiting_ends_with_the_time_that_was_given(self, lock: str) -> None:
        with FS.lock(lock, mode=0o600, timeout=0):
            start = time.monotonic()
            with pytest.raises(LockTimeout) as caught, FS.lock(lock, mode=0o600, timeout=0.05):
                pytest.fail("both hold it")
        assert 0.05 <= time.monotonic() - start < 5
        assert lock == caught.value.filename

    @pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
    def test_a_filesystem_without_locks_says_so(
        self, lock: str, mocker: MockerFixture, number: int
    ) -> None:
        refusal = OSError(number, os.strerror(number))
        mocker.patch("fcntl.fcntl", side_effect=refusal)
        mocker.patch("fcntl.flock", side_effect=refusal)
        with pytest.raises(LockUnavailable) as caught, FS.lock(lock, mode=0o600, timeout=0):
            pytest.fail("locked without locks")
        assert (number, lock) == (caught.value.errno, caught.value.filename)

    def test_an_error_of_another_kind_is_handed_on(self, lock: str, mocker: MockerFixture) -> None:
        mocker.patch("fcntl.fcntl", side_effect=OSError(errno.EIO, "bad disk"))
        mocker.patch("fcntl.flock", side_effect=OSError(errno.EIO, "bad disk"))
        with (
            pytest.raises(OSError) as caught,  # noqa: PT011 (its number is looked at)
            FS.lock(lock, mode=0o600, timeout=0),
        ):
            pytest.fail("locked without locks")
        assert errno.EIO == caught.value.errno
        assert not isinstance(caught.value, LockUnavailable | LockTimeout)


class TestDescriptors:
    def test_none_is_left_behind(self, lock: str, tmp_path: Path) -> None:
        before = open_descriptors()
        with FS.lock(lock, mode=0o600, timeout=0):
            with pytest.raises(LockTimeout), FS.lock(lock, mode=0o600, timeout=0):
                pytest.fail("both hold it")
            FS.is_locked(lock)
        FS.write(str(tmp_path / "file"), b"text", mode=0o600)
        read(FS, str(tmp_path / "file"))
        FS.sync(str(tmp_path))
        assert before == open_descriptors()

    def test_none_is_left_behind_by_what_cannot_be_read(self, tmp_path: Path) -> None:
        before = open_descriptors()
        with pytest.raises(IsADirectoryError):
            read(FS, str(tmp_path))
        assert before == open_descriptors()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd" if sys.platform == "linux" else "/dev/fd"))


class TestIsLocked:
    def test_a_lock_that_nobody_holds_is_free(self, lock: str) -> None:
        assert not FS.is_locked(lock)

    def test_one_that_another_process_holds_is_not(self, lock: str) -> None:
        with another_process(HOLD, lock):
            assert FS.is_locked(lock)

    def test_one_that_this_process_holds_is_not(self, lock: str) -> None:
        with FS.lock(lock, mode=0o600, timeout=0):
            assert FS.is_locked(lock)

    def test_asking_does_not_free_it(self, lock: str) -> None:
        with FS.lock(lock, mode=0o600, timeout=0):
            FS.is_locked(lock)
            with pytest.raises(LockTimeout), FS.lock(lock, mode=0o600, timeout=0):
                pytest.fail("both hold it")

    def test_asking_leaves_it_free(self, lock: str) -> None:
        FS.is_locked(lock)
        with FS.lock(lock, mode=0o600, timeout=0):
            pass

    def test_a_missing_file_is_not_found(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            FS.is_locked(str(tmp_path / "missing"))
