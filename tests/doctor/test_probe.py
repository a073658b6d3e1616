"""Doctor's probe: several at once do not disturb each other, and its answer is held to the type."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from targets import make_target
from tierctl.change import bootstrap
from tierctl.doctor import Finding, Severity, diagnose, leftovers, scratch
from tierctl.fs.local import OsFileSystem
from tierctl.fs.mounts import Mount
from tierctl.fs.protocol import (
    Entry,
    ExchangeUnsupported,
    FileSystem,
    LockTimeout,
    LockUnavailable,
    exists,
)
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import Author
from tierctl.testing import MemoryFileSystem
from tools import as_user, require_root

AUTHOR = Author("ada", "lab")
FS = OsFileSystem()
BUSY = "not tried out: another doctor is at work"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A target as bootstrap makes it."""
    target = str(tmp_path / "lab")
    bootstrap.create(FS, target, AUTHOR, None, lock_timeout=1)
    return Layout.of_target(target)


def texts(layout: Layout, fs: FileSystem = FS) -> list[str]:
    return [finding.text for finding in diagnose(Target(fs, layout))]


def problems(layout: Layout, fs: FileSystem = FS) -> list[Finding]:
    return [f for f in diagnose(Target(fs, layout)) if f.severity is Severity.PROBLEM]


class TestSeveralAtOnce:
    def test_one_that_is_at_work_is_left_in_peace_and_is_no_problem(self, layout: Layout) -> None:
        with scratch.scratch(Target(FS, layout)):
            before = sorted(os.listdir(layout.scratch))
            findings = diagnose(Target(FS, layout))
            assert before == sorted(os.listdir(layout.scratch))
        assert BUSY in [finding.text for finding in findings]
        assert {Severity.OK, Severity.NOTE} == {finding.severity for finding in findings}
        assert not exists(FS, layout.scratch)

    def test_what_it_has_made_is_no_leftover_while_it_is_at_work(self, layout: Layout) -> None:
        with scratch.scratch(Target(FS, layout)):
            Path(layout.scratch, "one").touch()
            assert [] == list(leftovers.removable(Target(FS, layout)))
            os.utime(layout.scratch, (0, 0))  # a slow one, or a wrong clock
            assert [] == list(leftovers.removable(Target(FS, layout)))

    def test_who_comes_second_leaves_what_is_the_firsts(self, layout: Layout) -> None:
        fs = Overtaken(layout)
        with fs.overtaking, pytest.raises(scratch.InUse), scratch.scratch(Target(fs, layout)):
            pass
        assert ["lock", "one"] == sorted(os.listdir(layout.scratch))

    def test_what_a_killed_one_left_is_a_problem_and_used_again(self, layout: Layout) -> None:
        os.mkdir(layout.scratch)
        for name in ("lock", "one"):
            Path(layout.scratch, name).touch()
        assert [f"an interrupted command left {layout.scratch}"] == [
            finding.text for finding in problems(layout)
        ]
        assert BUSY not in texts(layout)
        assert not exists(FS, layout.scratch)

    @pytest.mark.parametrize(("age", "left_over"), [(0, False), (3600, True)])
    def test_an_empty_one_is_a_leftover_when_it_is_old(
        self, layout: Layout, age: int, left_over: bool
    ) -> None:
        os.mkdir(layout.scratch)
        then = time.time() - age
        os.utime(layout.scratch, (then, then))
        assert left_over == bool(list(leftovers.removable(Target(FS, layout))))

    @pytest.mark.parametrize(("age", "busy"), [(0, True), (3600, False)])
    def test_another_users_is_in_use_while_it_is_young(
        self, layout: Layout, age: int, busy: bool
    ) -> None:
        require_root()
        os.chmod(layout.control, 0o775)
        os.chown(layout.control, -1, 10006)
        os.mkdir(layout.scratch, 0o700)
        Path(layout.scratch, "lock").touch(0o600)
        then = time.time() - age
        os.utime(layout.scratch, (then, then))
        script = (
            "import sys\n"
            "from tierctl.doctor import diagnose\n"
            "from tierctl.fs.local import OsFileSystem\n"
            "from tierctl.target.paths import Layout\n"
            "from tierctl.target.target import Target\n"
            "for f in diagnose(Target(OsFileSystem(), Layout(sys.argv[1]))):\n"
            "    print(f.subject, f.text)\n"
        )
        command = [*as_user(10005, 10006), sys.executable, "-c", script, layout.infrastructure]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (0, "") == (done.returncode, done.stderr)
        assert busy == (BUSY in done.stdout)
        assert busy != ("leftovers an interrupted command left" in done.stdout)
        assert busy != ("trying it out failed" in done.stdout)

    def test_whatever_another_one_takes_away_in_the_middle_is_no_problem(
        self, layout: Layout
    ) -> None:
        for verb in ("make_link", "exchange", "rename", "sync", "lock", "entry", "write"):
            fs = Disturbed(layout, verb)
            assert [] == problems(layout, fs), verb
            assert fs.disturbed, verb

    def test_a_lock_that_another_one_replaced_does_not_condemn_locking(
        self, layout: Layout
    ) -> None:
        fs = WithReplacedLock(layout)
        assert "locks lock nobody out here" not in texts(layout, fs)
        assert fs.replaced

    def test_the_lock_is_free_before_it_is_removed(self, layout: Layout) -> None:
        """NFS and FUSE would keep a removed file that is open, and so its directory."""
        fs = Watching(layout)
        diagnose(Target(fs, layout))
        assert [True] * len(fs.free_when_removed) == fs.free_when_removed
        assert fs.free_when_removed


class Disturbed(OsFileSystem):
    """Another doctor clears the scratch directory before an operation in it."""

    def __init__(self, layout: Layout, verb: str) -> None:
        super().__init__()
        self._layout, self._verb, self.disturbed = layout, verb, False

    def _disturb(self, verb: str, path: str) -> None:
        inside = path.startswith(self._layout.scratch) and (
            verb != "entry" or path != self._layout.scratch
        )
        if verb == self._verb and inside and exists(FS, self._layout.scratch):
            self.disturbed = True
            scratch.clear(Target(FS, self._layout))

    def make_link(self, path: str, target: str) -> None:
        self._disturb("make_link", path)
        super().make_link(path, target)

    def exchange(self, first: str, second: str) -> None:
        self._disturb("exchange", first)
        super().exchange(first, second)

    def rename(self, path: str, new: str) -> None:
        self._disturb("rename", path)
        super().rename(path, new)

    def sync(self, path: str) -> None:
        self._disturb("sync", path)
        super().sync(path)

    def entry(self, path: str, *, follow: bool = False) -> Entry:
        self._disturb("entry", path)
        return super().entry(path, follow=follow)

    def write(
        self, path: str, data: bytes, *, mode: int, at: int = 0, durable: bool = True
    ) -> None:
        self._disturb("write", path)
        super().write(path, data, mode=mode, at=at, durable=durable)

    @contextmanager
    def lock(self, path: str, *, mode: int, timeout: float) -> Iterator[None]:
        self._disturb("lock", path)
        with super().lock(path, mode=mode, timeout=timeout):
            yield


class Overtaken(OsFileSystem):
    """Another doctor takes the lock of the scratch directory that was just made."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self._path, self.overtaking = f"{layout.scratch}/lock", ExitStack()

    @contextmanager
    def lock(self, path: str, *, mode: int, timeout: float) -> Iterator[None]:
        if path == self._path:
            self.overtaking.enter_context(FS.lock(path, mode=mode, timeout=0))
            Path(path).with_name("one").touch()
        with super().lock(path, mode=mode, timeout=timeout):
            yield


class WithReplacedLock(OsFileSystem):
    """Another doctor takes the lock's file away between the first and the second taking."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self._path, self.replaced = f"{layout.scratch}/lock", False

    @contextmanager
    def lock(self, path: str, *, mode: int, timeout: float) -> Iterator[None]:
        if path == self._path and os.path.exists(path) and not self.replaced:
            self.replaced = True
            os.unlink(path)
        with super().lock(path, mode=mode, timeout=timeout):
            yield


class Watching(OsFileSystem):
    """Remembers whether the lock was free when its file was removed."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self._path = f"{layout.scratch}/lock"
        self.free_when_removed: list[bool] = []

    def remove(self, path: str) -> None:
        if path == self._path and exists(FS, path):
            try:
                with FS.lock(path, mode=0o600, timeout=0):
                    self.free_when_removed.append(True)
            except LockTimeout:
                self.free_when_removed.append(False)
        super().remove(path)


class WithoutExchange(OsFileSystem):
    """A kernel or server that cannot, whatever the type of the filesystem promises."""

    def __init__(self, *, foretold: bool) -> None:
        super().__init__()
        self._foretold = foretold

    def can_exchange(self, path: str) -> bool:
        return self._foretold

    def exchange(self, first: str, second: str) -> None:
        raise ExchangeUnsupported(errno.EINVAL, os.strerror(errno.EINVAL), first)


class TestForecast:
    def test_a_filesystem_that_cannot_do_what_its_type_promises_is_worth_knowing(
        self, layout: Layout
    ) -> None:
        fs = WithoutExchange(foretold=True)
        assert "by the filesystem's type one step was expected" in texts(layout, fs)
        assert [] == problems(layout, fs)

    def test_and_one_that_can_do_more(self) -> None:
        fs = MemoryFileSystem()
        fs.make_directory("/lab", 0o755)
        layout = make_target("/lab", fs=fs)
        fs.make_directory(layout.control, 0o755)
        fs.can_exchange = lambda path: False  # type: ignore[method-assign]
        assert "by the filesystem's type two steps were expected" in texts(layout, fs)

    @pytest.mark.parametrize("exchanges", [False, True])
    def test_where_both_agree_nothing_is_said(self, exchanges: bool) -> None:
        fs = MemoryFileSystem(exchanges=exchanges)
        fs.make_directory("/lab", 0o755)
        layout = make_target("/lab", fs=fs)
        fs.make_directory(layout.control, 0o755)
        assert not any("expected" in text for text in texts(layout, fs))


class TestLustre:
    @pytest.mark.parametrize(
        ("type_", "options", "told"),
        [
            ("lustre", ("rw", "lazystatfs"), True),
            ("lustre", ("rw", "noflock"), True),
            ("lustre", ("rw", "flock"), False),
            ("lustre", ("rw", "localflock"), False),
            ("nfs4", ("rw",), False),
        ],
    )
    def test_mounted_without_flock_it_may_have_no_locks(
        self,
        layout: Layout,
        mocker: MockerFixture,
        type_: str,
        options: tuple[str, ...],
        told: bool,
    ) -> None:
        mocker.patch("tierctl.fs.mounts.find", return_value=Mount(type_, "/lab", options))
        assert told == any("mounted without flock" in text for text in texts(layout))


class WithoutLocks(OsFileSystem):
    @contextmanager
    def lock(self, path: str, *, mode: int, timeout: float) -> Iterator[None]:
        raise LockUnavailable(errno.ENOLCK, os.strerror(errno.ENOLCK), path)
        yield


def test_without_locks_the_links_are_tried_out_all_the_same(layout: Layout) -> None:
    said = texts(layout, WithoutLocks())
    assert any(text.startswith("the links are swapped in one step") for text in said)
    assert not exists(FS, layout.scratch)
