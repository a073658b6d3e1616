"""A target to change, on any filesystem, and who is told of it."""

import errno
from collections.abc import Callable
from typing import NamedTuple

import pytest

from targets import make_deployment, make_target
from tierctl.change import change
from tierctl.change.change import Outcome
from tierctl.change.requests import Request
from tierctl.fs.protocol import FileSystem, exists
from tierctl.journal import history
from tierctl.journal.events import Event
from tierctl.rotation.state import Color, Content, State
from tierctl.target.links import observe
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import Author
from tierctl.testing import Effect, Fault, FaultyFileSystem, Killed, MemoryFileSystem

ADA = Author("ada", "lab", "because")


BOB = Author("bob", "lab")


FULL = (errno.ENOSPC, errno.EDQUOT)


PLAIN = State(Color.GREEN, Color.BLUE, Content("blue"), Content("green"))


class Heard:
    """A reporter that remembers what it was told, in order."""

    def __init__(self, on_done: Callable[[], object] | None = None) -> None:
        self.told: list[Event | Outcome | str] = []
        self.on_done = on_done

    def recovered(self, event: Event) -> None:
        self.told.append(event)

    def done(self, outcome: Outcome) -> None:
        self.told.append(outcome)
        if self.on_done is not None:
            self.on_done()

    def warn(self, text: str) -> None:
        self.told.append(text)

    @property
    def outcome(self) -> Outcome:
        (outcome,) = (told for told in self.told if isinstance(told, Outcome))
        return outcome

    @property
    def recovery(self) -> Event:
        (event,) = (told for told in self.told if isinstance(told, Event))
        return event

    @property
    def warnings(self) -> list[str]:
        return [told for told in self.told if isinstance(told, str)]


class Scene(NamedTuple):
    """An infrastructure, and the filesystem that it is on."""

    fs: FileSystem
    layout: Layout

    @property
    def state(self) -> State:
        return observe(Target(self.fs, self.layout))

    @property
    def served(self) -> int | None:
        served = self.state.served
        return None if served is None else served.deployment

    @property
    def events(self) -> list[Event]:
        """The events, newest first."""
        return list(history.newest_first(Target(self.fs, self.layout)))

    @property
    def is_noted(self) -> bool:
        return exists(self.fs, self.layout.intent)

    def carry_out(
        self, request: Request, fault: Fault | None = None, author: Author = ADA
    ) -> Heard:
        heard = Heard()
        fs = self.fs if fault is None else FaultyFileSystem(self.fs, fault)
        change.carry_out(Target(fs, self.layout), request, author, heard, lock_timeout=0)
        return heard

    def preview(self, request: Request) -> Heard:
        heard = Heard()
        change.preview(Target(self.fs, self.layout), request, ADA, heard)
        return heard

    def fail(
        self,
        request: Request,
        verb: str,
        path: str,
        number: int | None,
        effect: Effect = Effect.NONE,
    ) -> Heard:
        """Carry out a request whose first operation of a kind on a path fails."""
        heard = Heard()
        fs = Failing(self.fs, verb, path, number, effect)
        change.carry_out(Target(fs, self.layout), request, ADA, heard, lock_timeout=0)
        assert fs.fired
        return heard

    def kill(self, request: Request, verb: str, path: str, effect: Effect = Effect.NONE) -> None:
        """Be killed at an operation on the way."""
        with pytest.raises(Killed):
            self.fail(request, verb, path, None, effect)

    def point(self, tier: str, target: str) -> None:
        """Point a link elsewhere, by hand."""
        if exists(self.fs, self.layout.within(tier)):
            self.fs.remove(self.layout.within(tier))
        self.fs.make_link(self.layout.within(tier), target)

    def deploy(self, number: int) -> None:
        """Point staging's color to a new deployment, as a deploy does."""
        make_deployment(self.layout, number, fs=self.fs)
        self.point(self.state.staging.value, f"deployments/{number}")


class Failing(FaultyFileSystem):
    """A filesystem with a fault at the first operation of one kind on one path."""

    def __init__(
        self, inner: FileSystem, verb: str, path: str, number: int | None, effect: Effect
    ) -> None:
        super().__init__(inner, Fault(0, number, effect))
        self.struck = verb, path

    def _do(
        self, verb: str, path: str, *operations: Callable[[FileSystem], object] | None
    ) -> object:
        if (verb, path) == self.struck and not self.fired:
            self.fault = self.fault._replace(at=self.operations + 1)
        return super()._do(verb, path, *operations)


Make = Callable[..., Scene]


def in_memory(*, exchanges: bool = True) -> tuple[MemoryFileSystem, Scene]:
    """Return a target as ``new``, flushed, and its filesystem in memory."""
    fs = MemoryFileSystem(exchanges=exchanges)
    fs.make_directory("/place", 0o755)
    target = Scene(fs, make_target("/place", blue=42, green=41, fs=fs))
    fs.cut_power(fs.unflushed)
    return fs, target


def inodes(target: Scene) -> dict[str, int]:
    """Return the objects of an infrastructure, all but its records."""
    names = target.fs.names(target.layout.infrastructure)
    entries = {name: target.fs.entry(target.layout.within(name)) for name in names}
    return {name: entry.inode for name, entry in entries.items() if name != ".tierctl"}
