"""Every change, failing and killed at every operation, and again while it is being finished.

From each disk that a fault leaves behind, the same command is typed again; it
too is stopped at every operation, then typed once more and left alone. See
``Sweep`` for what is claimed.
"""

import errno
import json
import os
import pickle
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property, partial
from typing import Any, NamedTuple

import pytest

from reporters import Heard
from targets import make_deployment, make_target
from tierctl.change import change, links
from tierctl.change.requests import Promotion, Request, Rollback
from tierctl.deploy.switch import Deployment
from tierctl.errors import ChangeFailed, ChangeUnfinished, InvalidLink, TierctlError
from tierctl.fs.protocol import FileSystem, Kind, exists, read
from tierctl.journal import history
from tierctl.journal.events import Event, to_document
from tierctl.rotation.names import LINKS
from tierctl.rotation.plan import Adopt, Exchange, Plan, plan, states_along
from tierctl.rotation.state import Color, State
from tierctl.target.links import observe
from tierctl.target.paths import Layout, temporary
from tierctl.target.target import Target
from tierctl.target.users import Author
from tierctl.testing import (
    Effect,
    Fault,
    FaultyFileSystem,
    Killed,
    MemoryClient,
    MemoryFileSystem,
    Operation,
)

AUTHOR = Author("ada", "lab")
LAYOUT = Layout.of_target("/target")
NEVER = Fault(at=0)
# What only some of the scenarios have: a private tier, and a number for a plain directory.
DEV, SPARE = "dev1", 2
KEPT = LAYOUT.within(f"deployments/{SPARE}")

NEEDING_ROOM = ("write", "make_directory", "make_link", "rename", "lock")
CHANGING = (*NEEDING_ROOM, "exchange", "remove", "sync")
OF_A_WRITE = [effect for effect in Effect if effect is not Effect.UNHEARD]
COLORS = [LAYOUT.within(color) for color in Color]
# After more operations than any command has.
LATEST = 60

# What stands between a command and the filesystem: nothing, or a harm to be found.
Harm = Callable[[FileSystem], FileSystem]


def unharmed(fs: FileSystem) -> FileSystem:
    return fs


def look_at(fs: FileSystem) -> State:
    """Return where the links point to, with what any of the scenarios speaks of."""
    return observe(Target(fs, LAYOUT), [DEV], adopting=SPARE)


def as_seen(state: State) -> State:
    """Return a state as ``look_at`` sees it."""
    return state._replace(private=state.private or ((DEV, None),))


def is_unrecorded(heard: Heard) -> bool:
    """Say whether a change was made that history does not hold."""
    return any("not in history" in warning for warning in heard.warnings)


class Passing:
    """A filesystem that passes everything on."""

    def __init__(self, inner: FileSystem) -> None:
        self.inner = inner

    def __getattr__(self, verb: str) -> Any:
        return getattr(self.inner, verb)


class Watched(Passing):
    """A filesystem whose server's reader looks at the links as soon as one has changed."""

    def __init__(self, inner: FileSystem, server: FileSystem) -> None:
        super().__init__(inner)
        self._server = server
        self.found: list[State | InvalidLink] = []

    def make_link(self, path: str, target: str) -> None:
        self.inner.make_link(path, target)
        self._look_at(path)

    def rename(self, path: str, new: str) -> None:
        self.inner.rename(path, new)
        self._look_at(new)

    def exchange(self, first: str, second: str) -> None:
        self.inner.exchange(first, second)
        self._look_at(first)

    def remove(self, path: str) -> None:
        self.inner.remove(path)
        self._look_at(path)

    def _look_at(self, path: str) -> None:
        if path in map(LAYOUT.within, (*LINKS, DEV)):
            try:
                self.found.append(look_at(self._server))
            except InvalidLink as error:
                self.found.append(error)


class Seen(NamedTuple):
    """What there is on a disk: the state, the events, and whether an intent stands."""

    state: State
    events: list[Event]
    intent_stands: bool
    leftovers: list[str]


class Hosts(NamedTuple):
    """A filesystem in memory, and who types commands in turn, each with a cache of its own."""

    server: MemoryFileSystem
    typing: tuple[MemoryFileSystem, ...]

    def in_turn(self) -> "Hosts":
        return Hosts(self.server, (*self.typing[1:], self.typing[0]))


class Disk:
    """What a filesystem in memory holds, frozen; ``thawed`` gives a new copy each time.

    With it what the hosts that share it have in their caches.
    """

    def __init__(self, hosts: Hosts) -> None:
        self._frozen = pickle.dumps(hosts)

    def hosts(self) -> Hosts:
        hosts: Hosts = pickle.loads(self._frozen)  # noqa: S301 (of its own)
        hosts.server.release_locks()
        return hosts

    def thawed(self) -> MemoryFileSystem:
        return self.hosts().server

    @cached_property
    def seen(self) -> Seen:
        """What readers find: each link has to be there and lead somewhere."""
        fs = self.thawed()
        names = [LAYOUT.intent, *map(LAYOUT.within, (*LINKS, DEV))]
        try:
            state = look_at(fs)
        except InvalidLink as error:
            raise AssertionError(f"a reader finds that {error}") from error
        return Seen(
            state,
            list(history.newest_first(Target(fs, LAYOUT))),
            exists(fs, LAYOUT.intent),
            [path for path in map(temporary, names) if exists(fs, path)]
            + [KEPT for _ in (1,) if exists(fs, KEPT) and fs.entry(KEPT).kind is Kind.LINK],
        )

    @cached_property
    def after_power_cuts(self) -> list["Disk"]:
        """Every disk that a power cut can leave of this one."""
        return [self._after_power_cut(n) for n in range(self.thawed().unflushed + 1)]

    def _after_power_cut(self, survivors: int) -> "Disk":
        hosts = self.hosts()
        hosts.server.cut_power(survivors)
        disk = Disk(hosts)
        disk.after_power_cuts = []  # there is nothing left to lose
        return disk

    @cached_property
    def records(self) -> tuple[tuple[str, bytes], ...]:
        """The names that a change can touch, and what is behind each."""
        fs = self.thawed()
        paths = [
            f"{directory}/{name}"
            for directory in (LAYOUT.infrastructure, LAYOUT.control, LAYOUT.deployments, KEPT)
            if exists(fs, directory) and fs.entry(directory).kind is Kind.DIRECTORY
            for name in fs.names(directory)
        ]
        # Who holds the lock is written down for messages only.
        return tuple((path, content(fs, path)) for path in paths if path != LAYOUT.holder)

    @cached_property
    def cached(self) -> tuple[object, ...]:
        """What the hosts have in their caches."""
        return tuple(host.cached for host in self.hosts().typing if isinstance(host, MemoryClient))


def content(fs: FileSystem, path: str) -> bytes:
    match fs.entry(path).kind:
        case Kind.LINK:
            return fs.read_link(path).encode()
        case Kind.FILE:
            return read(fs, path)
        case _:
            return b""


class Scenario(NamedTuple):
    """A disk, what is asked of it, and the states before and after."""

    disk: Disk
    request: Request
    before: State
    after: State
    steps: Plan
    events: int

    @property
    def is_one_exchange(self) -> bool:
        return len(self.steps) == 1 and isinstance(self.steps[0], Exchange)


class Attempt(NamedTuple):
    """A command that was typed once: the disk it left and how it ended."""

    disk: Disk
    heard: Heard
    error: BaseException | None
    fired: bool
    found: list[State | InvalidLink]
    trace: list[Operation]


def attempt(disk: Disk, request: Request, fault: Fault, harm: Harm = unharmed) -> Attempt:
    hosts, heard = disk.hosts(), Heard()
    watched, server = (Watched(fs, hosts.server) for fs in (hosts.typing[0], hosts.server))
    faulty = FaultyFileSystem(watched, fault, server=server)
    error: BaseException | None = None
    try:
        change.carry_out(Target(harm(faulty), LAYOUT), request, AUTHOR, heard, lock_timeout=0)
    except (OSError, TierctlError, Killed) as caught:
        error = caught
    faulty.settle()
    ended = Disk(hosts.in_turn())
    found = watched.found + server.found
    return Attempt(ended, heard, error, faulty.fired, found, faulty.trace)


# The scenarios


def promotion(fs: MemoryFileSystem) -> Request:
    """Production moves on from 41 to 42, after a promotion before that."""
    make_target("/target", blue=41, green=40, fs=fs)
    carry_out(fs, Promotion())
    point(fs, "green", 42)
    return Promotion()


def first_promotion(fs: MemoryFileSystem) -> Request:
    """Production does not exist yet; neither does ``.tierctl``."""
    make_target("/target", production=None, blue=41, green=40, fs=fs)
    return Promotion()


def by_hand(fs: MemoryFileSystem) -> Request:
    """Two plain directories and no ``.tierctl``."""
    make_target("/target", fs=fs)
    return Promotion()


def rollback(fs: MemoryFileSystem) -> Request:
    """Staging still shows what production served before."""
    make_target("/target", blue=42, green=41, fs=fs)
    carry_out(fs, Promotion())
    return Rollback()


def rollback_of_color(fs: MemoryFileSystem) -> Request:
    """Staging shows a new deployment: its color has to be pointed back first."""
    rollback(fs)
    point(fs, "green", 43)
    return Rollback()


def deploy(fs: MemoryFileSystem) -> Request:
    """Staging's color shows a new deployment."""
    make_target("/target", blue=42, green=41, fs=fs)
    make_deployment(LAYOUT, 43, fs=fs)
    return Deployment("staging", 43)


def deploy_of_private_tier(fs: MemoryFileSystem) -> Request:
    """A private tier is made; there is no ``.tierctl``."""
    make_target("/target", fs=fs)
    make_deployment(LAYOUT, 43, fs=fs)
    return Deployment(DEV, 43)


def adoption(fs: MemoryFileSystem) -> Request:
    """Staging's color is a plain directory, which is kept as a deployment."""
    make_target("/target", green=1, fs=fs)
    fs.write(f"{LAYOUT.within('blue')}/mark", b"plain")
    make_deployment(LAYOUT, 3, fs=fs)
    return Deployment("staging", 3, spare=SPARE)


Build = Callable[[MemoryFileSystem], Request]


# Who types the commands: the server itself, or hosts that have looked at everything before.
Typists = Callable[[MemoryFileSystem], tuple[MemoryFileSystem, ...]]


def the_server(server: MemoryFileSystem) -> tuple[MemoryFileSystem, ...]:
    return (server,)


def two_clients(server: MemoryFileSystem) -> tuple[MemoryFileSystem, ...]:
    return warmed(server.client()), warmed(server.client())


def server_and_client(server: MemoryFileSystem) -> tuple[MemoryFileSystem, ...]:
    return server, warmed(server.client())


def warmed(client: MemoryClient) -> MemoryClient:
    """Have a client look at all that there is, and for what is not there yet."""
    wanted = [LAYOUT.intent, LAYOUT.history, LAYOUT.control, KEPT]
    for path in (*wanted, *map(LAYOUT.within, (*LINKS, DEV))):
        exists(client, path)
        exists(client, temporary(path))
    look_below(client, LAYOUT.top)
    return client


def look_below(fs: FileSystem, path: str) -> None:
    match fs.entry(path).kind:
        case Kind.LINK:
            fs.read_link(path)
        case Kind.FILE:
            read(fs, path)
        case _:
            for name in fs.names(path):
                look_below(fs, f"{path}/{name}")


def scenario(build: Build, *, exchanges: bool, typists: Typists = the_server) -> Scenario:
    fs = MemoryFileSystem(exchanges=exchanges)
    fs.make_directory("/target", 0o755)
    request = build(fs)
    fs.cut_power(fs.unflushed)
    recorded = list(history.newest_first(Target(fs, LAYOUT)))
    disk, heard = Disk(Hosts(fs, typists(fs))), Heard()
    change.preview(Target(fs, LAYOUT), request, AUTHOR, heard)
    before, after, steps, _ = heard.outcomes[0]
    before, after = as_seen(before), as_seen(after)
    assert before == look_at(fs) != after
    return Scenario(disk, request, before, after, steps, len(recorded))


def carry_out(fs: MemoryFileSystem, request: Request) -> None:
    change.carry_out(Target(fs, LAYOUT), request, AUTHOR, Heard(), lock_timeout=0)


def point(fs: MemoryFileSystem, color: str, number: int) -> None:
    make_deployment(LAYOUT, number, fs=fs)
    carry_out(fs, Deployment(color, number))


def essence(disk: Disk) -> tuple[object, ...]:
    """Return what makes two disks the same to whoever goes on from them.

    That is what is on them, now and after each possible power cut. Ids and
    times differ between any two runs; which of them are equal is what counts.
    """
    numbers: dict[bytes, bytes] = {}
    contents = dict.fromkeys(each.records for each in (disk, *disk.after_power_cuts))
    return tuple(
        tuple((path, without_ids(data, numbers)) for path, data in records) for records in contents
    )


def without_ids(data: bytes, numbers: dict[bytes, bytes]) -> bytes:
    data = re.sub(rb"\d{4}-\d\d-\d\dT[\d:]{8}Z", b"TIME", data)
    return re.sub(
        rb"\d{8}-\d{6}-[0-9a-f]{6}",
        lambda match: numbers.setdefault(match[0], b"ID%d" % len(numbers)),
        data,
    )


# The sweep


class Sweep:
    """A scenario, with a fault at every operation, and one more on the way to mend it.

    Claimed, whatever operation failed (EIO; ENOSPC for what needs room) or was
    the last one of a killed process, whether it had no effect, half of it, all
    but the flushing, or all of it, and whatever a power cut then took:

    - At every moment every link that was there is there and leads somewhere.
      The state is ``before``, ``after``, or one that the plan passes through.
    - An attempt that fails raises ``ChangeFailed``, and then the state and
      history are as they were when it began and nothing is noted that was not;
      or ``ChangeUnfinished``.
    - An attempt that ends well has reported the outcome; ``after`` and the
      event last, whatever happens.
    - Once an outcome was reported, the state is ``after`` and the event is in
      history, whatever happens.
    - The command, typed again, ends in ``after`` and no further, leaves the
      event in history exactly once, and no intent, draft or temporary link;
      unless the outcome was reported and no intent stands any more, when the
      change is over and typing it again asks for another.
    - Nothing happens between the renamings of the two tiers.

    One exception: where a full disk keeps the event of a single exchange back
    out of history, it is done and reported with a warning that says so.
    """

    def __init__(self, scenario: Scenario, harm: Harm = unharmed) -> None:
        self.scenario = scenario
        self.harm = harm
        self.points = 0
        self._seen: set[object] = set()
        self._way: list[str] = []
        # A host that cannot exchange may go on with what one that can has begun.
        ways = [plan(*scenario[2:4], exchange=each) for each in (True, False)]
        self._is_shared = len(scenario.disk.hosts().typing) > 1
        plans = ways if self._is_shared else [scenario.steps]
        self._allowed = {state for steps in plans for state in states_along(scenario.before, steps)}

    def run(self, depth: int = 2) -> None:
        """Go through all of it; raises AssertionError where a claim does not hold."""
        try:
            self._go_on_from(self.scenario.disk, depth, reported=False)
        except AssertionError as error:
            error.add_note("\n".join(("on the way:", *self._way)))
            raise

    def run_with_two_faults(self) -> None:
        """Go through every failure that is followed by another one in the same command."""
        disk = self.scenario.disk
        for first in self._faults_in(self._attempt(disk, NEVER).trace):
            if first.number is not None:
                for second in faults_after(first, self._attempt(disk, first).trace):
                    self._way = [str(first), str(second)]
                    self._fail_twice(disk, first, second)

    def _fail_twice(self, disk: Disk, first: Fault, second: Fault) -> None:
        def harm(fs: FileSystem) -> FileSystem:
            return FaultyFileSystem(self.harm(fs), second)

        self.points += 1
        tried = attempt(disk, self.scenario.request, first, harm)
        assert self._allowed.issuperset(tried.found), f"a reader finds {tried.found}"
        if "not in history" in getattr(tried.error, "message", ""):
            # A way back on a full disk is not noted: typed again, the command would be a new one.
            assert (errno.ENOSPC, True) == (first.number, self.scenario.is_one_exchange)
            assert self.scenario.after == tried.disk.seen.state
            return
        self._check_ending(disk, tried, first)
        if tried.disk.seen.intent_stands or not tried.heard.outcomes:
            self._check_clean(self._attempt(tried.disk, NEVER))

    def _go_on_from(self, disk: Disk, depth: int, *, reported: bool) -> None:
        unharmed = self._attempt(disk, NEVER)
        self._check_clean(unharmed)
        if depth == 0:
            return
        for fault in self._faults_in(unharmed.trace):
            tried = self._attempt(disk, fault)
            assert tried.fired
            self._way.append(f"{fault} in {tried.trace[fault.at - 1]}: {tried.error!r}")
            self._check_ending(disk, tried, fault)
            if not is_unrecorded(tried.heard):
                told = reported or bool(tried.heard.outcomes)
                self._go_on_after(tried.disk, depth - 1, reported=told)
            self._way.pop()

    def _go_on_after(self, disk: Disk, depth: int, *, reported: bool) -> None:
        """Go on from a disk as it is, and from every one that a power cut makes of it."""
        self.points += 1
        self._go_on_if_new(disk, depth, reported=reported)
        for survivors, cut in enumerate(disk.after_power_cuts):
            self.points += 1
            self._way.append(f"power cut, {survivors} renamings survived")
            self._go_on_if_new(cut, depth, reported=reported)
            self._way.pop()

    def _go_on_if_new(self, disk: Disk, depth: int, *, reported: bool) -> None:
        key = essence(disk), disk.cached, depth, reported
        if key in self._seen:
            return
        self._seen.add(key)
        found = disk.seen
        assert found.state in self._allowed, "a state that the plan does not pass through"
        assert len(found.events) <= self.scenario.events + 1, "the event is there twice"
        if reported:
            assert self.scenario.after == found.state, "a reported change is lost"
            assert len(found.events) == self.scenario.events + 1, "a reported event is lost"
        if found.intent_stands or not reported:
            self._go_on_from(disk, depth, reported=reported)

    def _faults_in(self, trace: list[Operation]) -> Iterator[Fault]:
        yield from faults_in(trace)
        if self._is_shared:
            yield from unheard_in(trace)

    def _attempt(self, disk: Disk, fault: Fault) -> Attempt:
        tried = attempt(disk, self.scenario.request, fault, self.harm)
        assert self._allowed.issuperset(tried.found), f"a reader finds {tried.found}"
        return tried

    def _check_ending(self, disk: Disk, tried: Attempt, fault: Fault) -> None:
        match tried.error:
            case None:
                self._check_success(tried, fault)
            case Killed():
                assert fault.number is None
            case ChangeFailed():
                began, ended = disk.seen, tried.disk.seen
                assert began.state == ended.state, "a failure changed something"
                assert began.events == ended.events, "a failure is in history"
                assert began.intent_stands or not ended.intent_stands, "a failure is noted"
                assert set(ended.leftovers) <= set(began.leftovers), "a failure leaves something"
            case ChangeUnfinished():
                assert fault.number is not None
            case error:
                raise AssertionError(f"stopped by {error!r}") from error

    def _check_success(self, tried: Attempt, fault: Fault) -> None:
        (outcome,) = tried.heard.outcomes
        assert self.scenario.after == as_seen(outcome.after)
        if is_unrecorded(tried.heard):
            assert fault.number == errno.ENOSPC  # the first of two, if there are two
            assert self.scenario.is_one_exchange
        for disk in (tried.disk, *tried.disk.after_power_cuts):
            assert self.scenario.after == disk.seen.state, "a reported change is lost"

    def _check_clean(self, ended: Attempt) -> None:
        """Check the end of a command that nothing stopped."""
        if ended.error is not None:
            raise AssertionError(f"stopped by {ended.error!r}") from ended.error
        assert [] == ended.heard.warnings
        assert 1 == len(ended.heard.outcomes)
        self._check_renamings(ended.trace)
        for disk in (ended.disk, *ended.disk.after_power_cuts):
            found = disk.seen
            assert self.scenario.after == found.state, "it does not end where it should"
            assert len(found.events) == self.scenario.events + 1, "the event is not there once"
            assert not found.intent_stands, "the intent stands"
            assert [] == found.leftovers, "something is left over"
            if found.state.adopted:
                kept = disk.thawed()
                assert b"plain" == read(kept, f"{KEPT}/mark"), "what was adopted is lost"
                assert exists(kept, f"{KEPT}/meta/deployment.json"), "it is not finished"

    def _check_renamings(self, trace: list[Operation]) -> None:
        tiers = [temporary(LAYOUT.within(tier)) for tier in ("production", "staging")]
        places = [at for at, (verb, path) in enumerate(trace) if verb == "rename" and path in tiers]
        one_after_the_other = len(places) < 2 or places[1] == places[0] + 1
        assert one_after_the_other, "something happens between the two renamings"


def faults_in(trace: list[Operation]) -> Iterator[Fault]:
    """Yield every fault that can strike a command with this trace.

    Who is killed at a question leaves the same disk as who is killed just
    before the next change, so that needs no fault of its own.
    """
    for at, (verb, path) in enumerate(trace, start=1):
        if verb not in CHANGING:
            yield Fault(at, errno.EIO)
            continue
        numbers = (None, errno.EIO, errno.ENOSPC) if verb in NEEDING_ROOM else (None, errno.EIO)
        for effect in effects_on(verb, path):
            yield from (Fault(at, number, effect) for number in numbers)


def faults_after(first: Fault, trace: list[Operation]) -> Iterator[Fault]:
    """Yield the errors of changes that come after a first fault, as the trace has them."""
    for at, (verb, _) in enumerate(trace, start=1):
        if at > first.at and verb in CHANGING:
            yield from (Fault(at, errno.EIO, effect) for effect in (Effect.NONE, Effect.WHOLE))


def effects_on(verb: str, path: str) -> list[Effect]:
    if path == LAYOUT.holder:  # for messages only
        return [Effect.NONE]
    return OF_A_WRITE if verb == "write" else [Effect.NONE, Effect.WHOLE]


def unheard_in(trace: list[Operation]) -> Iterator[Fault]:
    """Yield the faults of a server that does what it is asked for, at once or later, unheard.

    Of what is done later only a renaming changes what somebody reads. One of a plain
    directory, which is kept as a deployment, cannot be kept from being done later.
    """
    for at, (verb, path) in enumerate(trace, start=1):
        if verb in CHANGING and path != LAYOUT.holder:
            latest = LATEST if verb == "rename" and path not in COLORS else 0
            for late in range(latest + 1):
                yield Fault(at, errno.ETIMEDOUT, Effect.UNHEARD, late)


# Fewer would mean that a sweep does not try out what it should.
EXCHANGE, TWO_RENAMES = True, False
FEWEST_POINTS = {
    (promotion, EXCHANGE): 2000,
    (promotion, TWO_RENAMES): 5000,
    (first_promotion, EXCHANGE): 6000,
    (by_hand, EXCHANGE): 3000,
    (by_hand, TWO_RENAMES): 6000,
    (rollback, EXCHANGE): 2000,
    (rollback, TWO_RENAMES): 5000,
    (rollback_of_color, EXCHANGE): 3500,
    (rollback_of_color, TWO_RENAMES): 7000,
    (deploy, EXCHANGE): 1000,
    (deploy_of_private_tier, EXCHANGE): 1000,
    (adoption, EXCHANGE): 300,
    (adoption, TWO_RENAMES): 300,
}


@pytest.mark.parametrize(("build", "exchanges"), FEWEST_POINTS)
def test_whatever_stops_it_and_stops_it_again_the_next_command_ends_it(
    build: Build, exchanges: bool
) -> None:
    """See ``Sweep``."""
    sweep = Sweep(scenario(build, exchanges=exchanges))
    # What an adoption does besides is done after the switch, again and again: once is enough.
    sweep.run(depth=1 if build is adoption else 2)
    assert sweep.points > FEWEST_POINTS[build, exchanges]


@pytest.mark.parametrize(("build", "exchanges"), FEWEST_POINTS)
def test_a_change_that_fails_and_fails_again_is_ended_by_the_next_command(
    build: Build, exchanges: bool
) -> None:
    """As where it cannot go back either."""
    sweep = Sweep(scenario(build, exchanges=exchanges))
    try:
        sweep.run_with_two_faults()
    except AssertionError as error:
        error.add_note(" and ".join(sweep._way))
        raise
    assert sweep.points > 100


# Hosts that share a filesystem: the second one finishes what the first one began.
SHARED = {"two clients": two_clients, "the server and a client": server_and_client}
FEWEST_SHARED_POINTS = 150


@pytest.mark.parametrize("hosts", SHARED)
@pytest.mark.parametrize("build", dict.fromkeys(build for build, _ in FEWEST_POINTS))
def test_whatever_stops_it_the_next_command_on_another_host_ends_it(
    build: Build, hosts: str
) -> None:
    """See ``Sweep``; that host has all that was there before in its cache."""
    sweep = Sweep(scenario(build, exchanges=True, typists=SHARED[hosts]))
    sweep.run(depth=1)
    assert sweep.points > FEWEST_SHARED_POINTS


@pytest.mark.parametrize(("build", "exchanges"), FEWEST_POINTS)
def test_the_scenarios_are_what_they_are_called(build: Build, exchanges: bool) -> None:
    played = scenario(build, exchanges=exchanges)
    is_exchange = [isinstance(step, Exchange) for step in played.steps]
    swaps = build not in (first_promotion, deploy, deploy_of_private_tier, adoption)
    assert any(is_exchange) is (exchanges and swaps)
    adopts = [isinstance(step, Adopt) for step in played.steps]
    assert any(adopts) is (exchanges and build is adoption)
    assert (played.before.production is None) is (build is first_promotion)
    assert (len(played.steps) > len(is_exchange) - sum(is_exchange)) is any(is_exchange)


def test_an_event_that_was_written_but_not_flushed_is_flushed_by_the_next_command() -> None:
    """Then the intent may go."""
    played = scenario(promotion, exchanges=True)
    trace = attempt(played.disk, played.request, NEVER).trace
    at = 1 + trace.index(Operation("write", LAYOUT.history))
    killed = attempt(played.disk, played.request, Fault(at, None, Effect.UNFLUSHED))
    ended = attempt(killed.disk, played.request, NEVER)
    for disk in ended.disk.after_power_cuts:
        assert played.events + 1 == len(disk.seen.events)


# What the sweep finds


class Unlinking(Passing):
    """Takes the old link away before it makes the new one, as the usual script does."""

    def rename(self, path: str, new: str) -> None:
        if self.inner.entry(path).kind is not Kind.LINK:
            self.inner.rename(path, new)
            return
        self.replace(new, self.inner.read_link(path))
        self.inner.remove(path)

    def exchange(self, first: str, second: str) -> None:
        texts = self.inner.read_link(first), self.inner.read_link(second)
        self.replace(first, texts[1])
        self.replace(second, texts[0])

    def replace(self, path: str, text: str) -> None:
        self.inner.remove(path)
        self.inner.make_link(path, text)


class Unflushing(Passing):
    """Does not flush one directory."""

    def __init__(self, inner: FileSystem, directory: str) -> None:
        super().__init__(inner)
        self.directory = directory

    def sync(self, path: str) -> None:
        if path != self.directory:
            self.inner.sync(path)


class UnflushingFiles(Passing):
    """Does not flush the content of files."""

    def write(self, path: str, data: bytes, **options: Any) -> None:
        self.inner.write(path, data, **options | {"durable": False})


class FlushingBetween(Passing):
    """Flushes after each renaming."""

    def rename(self, path: str, new: str) -> None:
        self.inner.rename(path, new)
        self.inner.sync(LAYOUT.infrastructure)


class Swapping(Passing):
    """Exchanges by renaming one link over the other, at the price of one color in both."""

    def exchange(self, first: str, second: str) -> None:
        text = self.inner.read_link(first)
        self.inner.rename(second, first)
        self.inner.make_link(second, text)


HARMS: dict[str, tuple[Harm, Build, bool, str]] = {
    "unlink, link": (Unlinking, promotion, EXCHANGE, "a reader finds"),
    "unlink, link, one by one": (Unlinking, rollback, TWO_RENAMES, "a reader finds"),
    "rename over, link": (Swapping, promotion, EXCHANGE, "a reader finds"),
    "links not flushed": (
        partial(Unflushing, directory=LAYOUT.infrastructure),
        promotion,
        EXCHANGE,
        "it does not end where it should",
    ),
    "records not flushed": (
        partial(Unflushing, directory=LAYOUT.control),
        rollback,
        EXCHANGE,
        "the intent stands|something is left over",
    ),
    "files not flushed": (UnflushingFiles, promotion, EXCHANGE, "the event is not there once"),
    "an adopted directory not flushed": (
        partial(Unflushing, directory=KEPT),
        adoption,
        EXCHANGE,
        "it is not finished",
    ),
    "flushed between": (FlushingBetween, promotion, TWO_RENAMES, "between the two renamings"),
}


@pytest.mark.parametrize("name", HARMS)
def test_the_sweep_finds_a_filesystem_that_is_used_wrongly(name: str) -> None:
    harm, build, exchanges, broken = HARMS[name]
    with pytest.raises(AssertionError, match=broken):
        Sweep(scenario(build, exchanges=exchanges), harm).run()


def nothing(*_: object) -> None:
    """Stand in for a step that is left out."""


def append_blindly(target: Target, event: Event, at: object = None) -> None:
    """Add an event without a look at what is there."""
    size = target.fs.entry(target.history).size if exists(target.fs, target.history) else 0
    line = json.dumps(to_document(event), separators=(",", ":")).encode() + b"\n"
    target.fs.write(target.history, line, mode=0o644, at=size)
    target.fs.sync(target.control)


def go_back_colors_first(target: Target, now: State, before: State, after: State) -> None:
    """Go back by the plan from here to there."""
    links.drop_temporary_links(target, after)
    links.switch(target, now, before)


MUTANTS: dict[str, tuple[dict[str, object], Build, bool, str]] = {
    "no intent": (
        {"tierctl.journal.intent.write": nothing, "tierctl.journal.intent.clear": nothing},
        rollback,
        EXCHANGE,
        "stopped by NothingToRollBackTo|it does not end where it should",
    ),
    "intent removed and not flushed": (
        {"tierctl.journal.intent.clear": lambda target: target.fs.remove(target.intent)},
        promotion,
        EXCHANGE,
        "the intent stands|something is left over",
    ),
    "a found intent taken for durable": (
        {"tierctl.journal.intent.flush": nothing},
        by_hand,
        EXCHANGE,
        "it does not end where it should",
    ),
    "an event twice": (
        {"tierctl.journal.history.append": append_blindly},
        promotion,
        EXCHANGE,
        "the event is .* (twice|once)",
    ),
    "no event": (
        {"tierctl.journal.history.append": nothing},
        promotion,
        EXCHANGE,
        "the event is not there once",
    ),
    "colors first on the way back": (
        {"tierctl.change.change.go_back": go_back_colors_first},
        rollback_of_color,
        TWO_RENAMES,
        "a reader finds",
    ),
    "leftovers in the way": (
        {
            "tierctl.change.recovery.drop_temporary_links": nothing,
            "tierctl.change.links._make_link": lambda fs, path, target: fs.make_link(path, target),
        },
        promotion,
        TWO_RENAMES,
        "File exists",
    ),
    "leftovers of a failure": (
        {"tierctl.change.change.drop_temporary_links": nothing},
        promotion,
        TWO_RENAMES,
        "a failure leaves something",
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_the_sweep_finds_a_step_that_is_left_out_or_wrong(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    mutations, build, exchanges, broken = MUTANTS[name]
    played = scenario(build, exchanges=exchanges)
    for place, mutation in mutations.items():
        monkeypatch.setattr(place, mutation)
    with pytest.raises(AssertionError, match=broken):
        Sweep(played).run()


def withdraw_intent_first(target: Target) -> bool:
    """Remove the intent, then what may yet be renamed to it."""
    for path in (target.intent, temporary(target.intent)):
        target.fs.refresh(target.control, write=True, names=(os.path.basename(path),))
        with suppress(FileNotFoundError):
            target.fs.remove(path)
    target.fs.sync(target.control)
    return True


def withdraw_what_is_known(target: Target) -> bool:
    """Remove the draft and the intent, if the cache knows of them."""
    for path in (temporary(target.intent), target.intent):
        with suppress(FileNotFoundError):
            target.fs.remove(path)
    target.fs.sync(target.control)
    return True


def look_then_drop(target: Target, now: State, before: State, after: State) -> None:
    """Go back from where the links were, and only then remove what may yet be renamed."""
    links.go_back(target, now, before, after)
    links.drop_temporary_links(target, after)


# Ways to end a change that failed, wrong where the server did what it gave no answer to.
WRONG_ENDINGS: dict[str, dict[str, object]] = {
    "intent first": {"tierctl.journal.intent.withdraw": withdraw_intent_first},
    "as the cache says": {"tierctl.journal.intent.withdraw": withdraw_what_is_known},
    "look, then drop": {
        "tierctl.change.change.drop_temporary_links": nothing,
        "tierctl.change.change.go_back": look_then_drop,
    },
}


@pytest.mark.parametrize("name", WRONG_ENDINGS)
def test_the_sweep_finds_an_ending_that_takes_no_answer_for_a_no(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    played = scenario(promotion, exchanges=True, typists=two_clients)
    for place, mutation in WRONG_ENDINGS[name].items():
        monkeypatch.setattr(place, mutation)
    with pytest.raises(AssertionError, match="a failure"):
        Sweep(played).run(depth=1)


@pytest.mark.parametrize("build", [promotion, rollback, rollback_of_color, adoption])
@pytest.mark.parametrize("hosts", SHARED)
def test_the_sweep_finds_a_target_that_is_not_refreshed(
    monkeypatch: pytest.MonkeyPatch, hosts: str, build: Build
) -> None:
    played = scenario(build, exchanges=True, typists=SHARED[hosts])
    monkeypatch.setattr("tierctl.journal.freshness.refresh", nothing)
    with pytest.raises(AssertionError):
        Sweep(played).run(depth=1)
