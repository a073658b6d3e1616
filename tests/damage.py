"""Targets that something is wrong with, for the tests of doctor."""

import errno
import grp
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from reporters import Heard
from samples import event
from targets import make_target, opened, with_profiles
from tierctl.change import bootstrap
from tierctl.doctor import Finding, Severity, diagnose
from tierctl.doctor.repairs import Repair, repair
from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import Entry, ExchangeUnsupported, FileSystem, exists
from tierctl.journal import history, intent
from tierctl.journal.events import Event
from tierctl.target.groups import Group
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import Author
from tierctl.testing import Fault, FaultyFileSystem
from tools import require_root

AUTHOR = Author("ada", "lab")


INTERRUPTED = event(2, before=bootstrap.INITIAL)  # from production -> green to production -> blue


Damage = Callable[[Layout], object]


def copied(template: Layout, directory: Path) -> Layout:
    empty = shutil.ignore_patterns("bin", "conda", "logs")
    shutil.copytree(template.top, directory, symlinks=True, ignore=empty)
    layout = Layout.of_target(str(directory))
    opened(layout, 1)
    # A target cannot be copied: its profiles know where it is.
    profile = Path(layout.within("deployments/1/etc/profile.sh"))
    profile.write_text(profile.read_text().replace(template.top, layout.top))
    return layout


def bootstrapped(directory: Path, group: Group | None = None) -> Layout:
    bootstrap.create(OsFileSystem(), str(directory), AUTHOR, group, lock_timeout=1)
    return Layout.of_target(str(directory))


def by_hand(directory: Path) -> Layout:
    """A target as older scripts made it, which can be loaded."""
    return with_profiles(make_target(directory))


def problems(layout: Layout, fs: FileSystem | None = None) -> list[Finding]:
    findings = diagnose(Target(fs or OsFileSystem(), layout))
    return [finding for finding in findings if finding.severity is Severity.PROBLEM]


def fix(layout: Layout, fs: FileSystem | None = None, heard: Heard | None = None) -> list[Repair]:
    return repair(Target(fs or OsFileSystem(), layout), AUTHOR, heard or Heard(), lock_timeout=0)


def found(layout: Layout, text: str, fs: FileSystem | None = None) -> Finding:
    """Return the one finding with such a text."""
    findings = diagnose(Target(fs or OsFileSystem(), layout))
    fitting = [finding for finding in findings if text in finding.text]
    assert 1 == len(fitting), findings
    return fitting[0]


def relink(layout: Layout, name: str, target: str) -> None:
    path = Path(layout.within(name))
    path.unlink()
    path.symlink_to(target)


def replace(path: str, kind: str) -> None:
    """Have something of another kind in the place of a file."""
    place = Path(path)
    if exists(OsFileSystem(), path):
        place.rename(f"{path}.was")
    match kind:
        case "symlink":
            place.symlink_to(f"{path}.was")
        case "directory":
            place.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "file":
            place.write_text("text")


def close_record(path: str, mode: int = 0o644) -> None:
    Path(path).touch()
    Path(path).chmod(mode)


def note_interrupted(layout: Layout, event: Event = INTERRUPTED) -> None:
    intent.write(Target(OsFileSystem(), layout), event)


def note_impossible(layout: Layout) -> None:
    """Note a change that was never where the links are: production is gone."""
    note_interrupted(layout)
    Path(layout.within("production")).unlink()
    relink(layout, "staging", "green")


def append(layout: Layout, data: bytes) -> None:
    with open(layout.history, "ab") as file:
        file.write(data)


def move_links(layout: Layout) -> None:
    relink(layout, "production", "blue")
    relink(layout, "staging", "green")


def in_future(layout: Layout) -> None:
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    later = event(1)._replace(time=when, after=bootstrap.INITIAL)
    history.append(Target(OsFileSystem(), layout), later)


def set_group(layout: Layout, name: str) -> None:
    Path(layout.config).write_text(f"group = {json.dumps(name)}\n")


def outside(layout: Layout) -> None:
    (Path(layout.top) / "elsewhere").mkdir()
    relink(layout, "staging", "../elsewhere")


def loop(layout: Layout) -> None:
    relink(layout, "staging", "staging")


def scratch_with_files(layout: Layout) -> None:
    Path(layout.scratch).mkdir()
    (Path(layout.scratch) / "one").symlink_to("1")


def untimed(found: dict[str, tuple[int, int, int, int, bytes]]) -> dict[str, tuple[object, ...]]:
    """Return a listing without times of change: a scratch directory changes its parent's."""
    return {name: (*facts[:2], facts[4]) for name, facts in found.items()}


def some_group() -> Group:
    found = next(group for group in grp.getgrall() if group.gr_gid not in (0, os.getegid()))
    return Group(found.gr_name, found.gr_gid)


def shared(directory: Path) -> Layout:
    require_root()
    return bootstrapped(directory / "lab", some_group())


def unshare(path: str, how: str, mode: int) -> None:
    if how == "group":
        os.chown(path, -1, 0)
        os.chmod(path, 0o2775 if os.path.isdir(path) else 0o660)
    else:
        os.chmod(path, mode)


class NotMine(OsFileSystem):
    """The caller may write nowhere."""

    def is_writable(self, path: str) -> bool:
        return False

    def make_directory(self, path: str, mode: int, *, group: int | None = None) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


class Unreadable(OsFileSystem):
    """The caller may not look at a directory, or at what is in it."""

    def __init__(self, directory: str, *, writable: bool = False) -> None:
        super().__init__()
        self._below = f"{directory}/"
        self._writable = writable

    def entry(self, path: str, *, follow: bool = False) -> Entry:
        self._check(path)
        return super().entry(path, follow=follow)

    def load(self, path: str, start: int = 0, length: int = -1) -> tuple[Entry, bytes]:
        self._check(path)
        return super().load(path, start, length)

    def names(self, path: str) -> list[str]:
        self._check(path)
        return super().names(path)

    def is_writable(self, path: str) -> bool:
        return self._writable

    def _check(self, path: str) -> None:
        directory, _, name = path.rpartition("/")
        if f"{os.path.realpath(directory)}/{name}/".startswith(self._below):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


class WithoutExchange(OsFileSystem):
    def exchange(self, first: str, second: str) -> None:
        raise ExchangeUnsupported(errno.EINVAL, os.strerror(errno.EINVAL), first)


def faults(inner: FileSystem, number: int | None) -> Iterator[FaultyFileSystem]:
    """Yield filesystems that fail at operation 1, 2, ... until none does."""
    for at in count(1):
        fs = FaultyFileSystem(inner, Fault(at, number))
        yield fs
        if not fs.fired:
            assert at > 10
            return
