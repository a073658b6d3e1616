"""Targets that commands run on, in this process: on a real filesystem, and in memory."""

from __future__ import annotations

import codecs
import contextlib
import importlib
import io
import os
import pkgutil
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import pytest

import tierctl
from model.expected import Ask, Command, Deploy, Promote, Prune, RollBack
from model.observed import BEGINNINGS
from program import Ended
from reporters import Heard
from targets import make_deployment, make_target, with_profiles
from tierctl import doctor
from tierctl.change import bootstrap, change
from tierctl.change.requests import Promotion, Request, Rollback
from tierctl.cli.main import main
from tierctl.deploy import deploy, numbering, shells
from tierctl.deploy.engine import client, process
from tierctl.deploy.engine.client import Engine, Foreseen, Installed, Verified
from tierctl.deploy.switch import Deployment
from tierctl.doctor import repairs
from tierctl.errors import TierctlError
from tierctl.fs import procfs, sealing
from tierctl.fs.listing import Directory, Whole
from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import FileSystem, Kind, read
from tierctl.fs.tree import Held
from tierctl.journal import history, store
from tierctl.journal.events import EventKind, new_event
from tierctl.report import status
from tierctl.rotation.names import ENVIRONMENTS, is_private_name
from tierctl.rotation.state import Color
from tierctl.rotation.trail import Past
from tierctl.target import manifest
from tierctl.target.packages import Packages
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import Author
from tierctl.testing import MemoryFileSystem

ADA = Author("ada", "lab")


class Runner(Protocol):
    """What commands run on."""

    fs: FileSystem
    layout: Layout

    def run(self, command: Command, *, dry: bool = False) -> Ended:
        """Run a command."""
        ...

    def everything(self) -> object:
        """Return all that a command that changes nothing leaves as it is."""
        ...


class Nothing(Engine):
    """An engine for definitions without environments: there is nothing to solve or install."""

    def __init__(self) -> None:
        self.watch = None

    @property
    def timeout(self) -> float:
        return process.TIMEOUT_S

    def keep_to(self, directory: str) -> None:
        pass

    def wrong_spec(self, spec: str) -> str:
        return ""

    def solve(
        self,
        environments: Sequence[object],
        subdir: str,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Packages:
        meanwhile()
        return {}

    def foresee(self, cache: str) -> Foreseen:
        return Foreseen({}, [])

    def install(
        self, prefixes: object, locks: object, meanwhile: Callable[[], None] = lambda: None
    ) -> Installed:
        meanwhile()
        return Installed("nothing", [])

    def seal(self, held: Held, meanwhile: Callable[[], None] = lambda: None) -> None:
        meanwhile()
        sealing.seal(held, ENVIRONMENTS)

    def verify(
        self,
        held: Held,
        prefixes: object,
        packages: object,
        rest: Whole,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Verified:
        meanwhile()
        closed = Directory(stat.S_IFDIR | 0o555, {})
        whole = rest._replace(tree={**rest.tree, ENVIRONMENTS: closed})
        return Verified(manifest.write(held, whole), [])

    def dismiss(self) -> None:
        pass

    def close(self) -> None:
        pass


@contextlib.contextmanager
def deploying_files_only() -> Iterator[None]:
    """Have deploys start no programs: no engine, and no shells to try out what was built.

    And prunes look at no other process than this.
    """

    @contextlib.contextmanager
    def started(*words: object, **options: object) -> Iterator[Nothing]:
        yield Nothing()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "started", started)
        patch.setattr(shells, "profiles_load", lambda top, limit: [])
        patch.setattr(procfs, "processes", lambda: [os.getpid()])
        yield


def import_everything() -> None:
    """Leave nothing to be imported by somebody who may not read what this interpreter may."""
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        codecs.lookup(encoding)  # what JSON may be in
    for module in pkgutil.walk_packages(tierctl.__path__, "tierctl."):
        importlib.import_module(module.name)
    with TemporaryDirectory() as place:
        target = OnDisk(Path(place), "bootstrapped")
        for command in (Deploy("staging", 1, True), Promote(), RollBack(), Prune(0, False)):
            target.run(command)
        for name in ("status", "history", "diff", "doctor"):
            target.type(name, "-t", target.layout.top)


@contextlib.contextmanager
def acting_as(uid: int | None) -> Iterator[None]:
    """Be another user, one that permissions count for."""
    if uid is None:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setresgid(uid, uid, 0)
    os.setresuid(uid, uid, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


class OnDisk:
    """A target on a real filesystem; the commands are typed, by another user if one is given."""

    fs: FileSystem = OsFileSystem()

    def __init__(self, place: Path, beginning: str, uid: int | None = None) -> None:
        self.uid = uid
        if uid is not None:
            os.chown(place, uid, uid)
        self.layout = Layout.of_target(str(place / "lab"))
        self.definitions = place / "definitions"
        self.version = self.definitions / "tier" / "bin" / "version"
        self.version.parent.mkdir(parents=True)
        links = BEGINNINGS[beginning]
        if links is None:
            assert 0 == self.type("bootstrap", self.layout.top).code
        else:
            with acting_as(uid):
                with_profiles(make_target(place / "lab", **links))

    def run(self, command: Command, *, dry: bool = False) -> Ended:
        place = [] if command == Ask(["bootstrap"]) else ["-t"]
        words = [*command.words, *place, self.layout.top, *(["-n"] if dry else [])]
        if isinstance(command, Deploy):
            self.version.write_text(f"{command.version}\n")
            words += ["--definitions", str(self.definitions)]
        return self.type(*words)

    def type(self, *words: str) -> Ended:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), acting_as(self.uid):
            code = main(list(words))
        return Ended(code, out.getvalue(), err.getvalue())

    def shown(self) -> set[str]:
        """Return the directories of the deployments that any link leads to."""
        links = filter(
            os.path.islink, map(self.layout.within, os.listdir(self.layout.infrastructure))
        )
        places = {os.path.realpath(link) for link in links}
        return {place for place in places if os.path.dirname(place) == self.layout.deployments}

    def everything(self) -> dict[str, tuple[object, ...]]:
        """See ``Runner.everything``; what was only tried out shows in times of directories."""
        return dict(_tree(self.layout.top))


def _tree(top: str) -> Iterator[tuple[str, tuple[object, ...]]]:
    with os.scandir(top) as entries:
        for entry in entries:
            found = entry.stat(follow_symlinks=False)
            facts: tuple[object, ...] = (found.st_ino, found.st_mode, found.st_uid)
            if entry.is_symlink():
                facts += (os.readlink(entry.path),)
            elif entry.is_file():
                facts += (found.st_mtime_ns, Path(entry.path).read_bytes())
            yield entry.path, facts
            if entry.is_dir(follow_symlinks=False):
                yield from _tree(entry.path)


class InMemory:
    """A target in memory; deploys build nothing there."""

    def __init__(self, beginning: str, *, exchanges: bool) -> None:
        self.fs: FileSystem = MemoryFileSystem(exchanges=exchanges)
        self.fs.make_directory("/lab", 0o755)
        self.layout = Layout.of_target("/lab")
        links = BEGINNINGS[beginning]
        if links is None:
            make_target("/lab", blue=1, green=1, empty=(1,), fs=self.fs)
            store.ensure(Target(self.fs, self.layout))
            first = new_event(EventKind.BOOTSTRAP, ADA, None, bootstrap.INITIAL, Past())
            history.append(Target(self.fs, self.layout), first)
        else:
            make_target("/lab", fs=self.fs, **links)

    def run(self, command: Command, *, dry: bool = False) -> Ended:
        try:
            match command:
                case Promote(to, force):
                    self._change(Promotion(None if to is None else Color(to), force), dry=dry)
                case RollBack(to):
                    self._change(Rollback(to), dry=dry)
                case Deploy(tier):
                    self._deploy(tier, dry=dry)
                case Ask(["status"]):
                    status.read(Target(self.fs, self.layout))
                case Ask(["doctor", *fix]):
                    found = doctor.diagnose(Target(self.fs, self.layout))
                    if fix and any(finding.remedy for finding in found):
                        repairs.repair(Target(self.fs, self.layout), ADA, Heard(), lock_timeout=0)
                case _:
                    raise NotImplementedError(command)
        except TierctlError as error:
            return Ended(1, "", error.message)
        return Ended(0, "", "")

    def _change(self, request: Request, *, dry: bool) -> None:
        if dry:
            change.preview(Target(self.fs, self.layout), request, ADA, Heard())
        else:
            change.carry_out(Target(self.fs, self.layout), request, ADA, Heard(), lock_timeout=0)

    def _deploy(self, tier: str, *, dry: bool) -> None:
        deploy.look_at(Target(self.fs, self.layout), tier)
        if dry:
            return
        spare = not is_private_name(tier)
        with numbering.reserved(Target(self.fs, self.layout), lock_timeout=0, spare=spare) as taken:
            make_deployment(self.layout, taken.number, fs=self.fs)
            self._change(Deployment(tier, taken.number, taken.spare), dry=False)

    def everything(self) -> object:
        return dict(self._tree("/lab"))

    def _tree(self, top: str) -> Iterator[tuple[str, object]]:
        for name in self.fs.names(top):
            path = f"{top}/{name}"
            entry = self.fs.entry(path)
            yield path, entry
            match entry.kind:
                case Kind.DIRECTORY:
                    yield from self._tree(path)
                case Kind.LINK:
                    yield path, self.fs.read_link(path)
                case _:
                    yield path, read(self.fs, path)
