"""A change on one host right after another host's: the second one's cache is of before both."""

import errno
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NamedTuple

import pytest
from pytest_mock import MockerFixture

from changed import Scene
from reporters import Heard
from targets import make_deployment, make_target
from tierctl.change import change
from tierctl.change.requests import Promotion, Request, Rollback
from tierctl.deploy import cachelock, numbering
from tierctl.deploy.switch import Deployment
from tierctl.doctor import repairs
from tierctl.errors import Interrupted, LockLost, Refused, TierctlError
from tierctl.fs.protocol import FileSystem, exists
from tierctl.journal import freshness, history
from tierctl.journal.events import EventKind
from tierctl.prune import pruning, retention
from tierctl.prune.caching import Unneeded
from tierctl.prune.processes import Uses
from tierctl.report import status
from tierctl.rotation.names import LINKS
from tierctl.rotation.state import Color, State
from tierctl.target.links import observe
from tierctl.target.paths import Layout, temporary
from tierctl.target.target import Target
from tierctl.target.users import Author
from tierctl.testing import Fault, FaultyFileSystem, MemoryClient, MemoryFileSystem

ADA, BOB = Author("ada", "a"), Author("bob", "b")
LAYOUT = Layout.of_target("/target")

REQUESTS: dict[str, Request] = {
    "promotion": Promotion(),
    "forced promotion": Promotion(force=True),
    "promotion to blue": Promotion(to=Color.BLUE, force=True),
    "rollback": Rollback(),
    "rollback to 41": Rollback(to=41),
    "deploy into staging": Deployment("staging", 45),
    "deploy into blue": Deployment("blue", 45),
    "deploy into green": Deployment("green", 45),
    "deploy into dev1": Deployment("dev1", 45),
}
FIRST: dict[str, Request] = {
    name: request._replace(number=44) if isinstance(request, Deployment) else request
    for name, request in REQUESTS.items()
}


class Hosts(NamedTuple):
    """The server of a target, and two hosts that have looked at all of it."""

    server: MemoryFileSystem
    a: MemoryClient
    b: MemoryClient


@pytest.fixture
def hosts() -> Hosts:
    """Production serves 42 and served 41 before; staging shows 43; 44 and 45 are built."""
    server = MemoryFileSystem()
    server.make_directory(LAYOUT.top, 0o755)
    make_target(LAYOUT.top, blue=42, green=41, fs=server)
    for number in (43, 44, 45):
        make_deployment(LAYOUT, number, fs=server)
    carry_out(server, Promotion())
    carry_out(server, Deployment("staging", 43))
    found = Hosts(server, server.client(), server.client())
    for client in found[1:]:
        look_at_all(client, LAYOUT.top)
        look_for_what_is_missing(client)
    return found


def carry_out(fs: FileSystem, request: Request, author: Author = ADA) -> Heard:
    heard = Heard()
    change.carry_out(Target(fs, LAYOUT), request, author, heard, lock_timeout=0)
    return heard


def look_at_all(fs: FileSystem, path: str) -> None:
    status.read(Target(fs, LAYOUT))
    for name in fs.names(path):
        inside = f"{path}/{name}"
        fs.entry(inside)
        try:
            look_at_all(fs, inside)
        except NotADirectoryError:
            fs.load(inside)


def look_for_what_is_missing(fs: FileSystem) -> None:
    for path in (LAYOUT.intent, LAYOUT.within("dev1"), LAYOUT.within("deployments/46")):
        assert not exists(fs, path)


def ending(fs: FileSystem, request: Request) -> type[Exception] | None:
    try:
        carry_out(fs, request, BOB)
    except TierctlError as error:
        return type(error)
    return None


def seen(fs: FileSystem) -> tuple[State, list[tuple[State | None, State]]]:
    """Return where the links point to, and from where to where each event says that they moved."""
    events = history.newest_first(Target(fs, LAYOUT))
    return observe(Target(fs, LAYOUT), ["dev1"]), [(event.before, event.after) for event in events]


@pytest.mark.parametrize("second", REQUESTS)
@pytest.mark.parametrize("first", FIRST)
def test_a_change_after_another_hosts_ends_as_it_would_on_one_host(
    hosts: Hosts, first: str, second: str
) -> None:
    alone = MemoryFileSystem()
    alone.make_directory(LAYOUT.top, 0o755)
    make_target(LAYOUT.top, blue=42, green=41, fs=alone)
    for number in (43, 44, 45):
        make_deployment(LAYOUT, number, fs=alone)
    carry_out(alone, Promotion())
    carry_out(alone, Deployment("staging", 43))
    expected = ending(alone, FIRST[first]), ending(alone, REQUESTS[second])
    assert expected == (ending(hosts.a, FIRST[first]), ending(hosts.b, REQUESTS[second]))
    assert seen(alone) == seen(hosts.server)


def test_a_deploy_right_after_another_hosts_promotion_is_not_in_production(hosts: Hosts) -> None:
    carry_out(hosts.a, Promotion())
    heard = carry_out(hosts.b, Deployment("staging", 45), BOB)
    found = observe(Target(hosts.server, LAYOUT))
    assert (43, 45) == (found.served and found.served.deployment, found.staged.deployment)
    assert [] == heard.warnings


def test_the_cache_of_the_second_host_does_matter(hosts: Hosts) -> None:
    """Without a refresh it shows what was there before."""
    before = observe(Target(hosts.b, LAYOUT))
    carry_out(hosts.a, Promotion())
    assert before == observe(Target(hosts.b, LAYOUT)) != observe(Target(hosts.server, LAYOUT))


@pytest.mark.parametrize("second", ["rollback", "deploy into staging", "forced promotion"])
def test_history_catches_links_that_are_read_from_a_cache(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    """The lock is taken without a refresh, as if that had shown nothing new."""
    monkeypatch.setattr(
        "tierctl.journal.freshness.lock",
        lambda target, path, *, timeout, private=(): target.fs.lock(path, timeout=timeout),
    )
    carry_out(hosts.a, Promotion())
    heard = carry_out(hosts.b, REQUESTS[second], BOB)
    (before, after), (_, left) = seen(hosts.server)[1][:2]
    assert left == before
    assert after == observe(
        Target(hosts.server, LAYOUT), heard.outcomes[0].after.private and ["dev1"]
    )
    assert [] == heard.warnings


def move_by_hand(fs: FileSystem) -> None:
    """Do what somebody does who switches the tiers without tierctl."""
    fs.exchange(LAYOUT.within("production"), LAYOUT.within("staging"))


def test_links_that_were_moved_by_hand_are_the_truth_and_that_is_said(hosts: Hosts) -> None:
    move_by_hand(hosts.server)
    heard = carry_out(hosts.b, Deployment("staging", 45), BOB)
    found = observe(Target(hosts.server, LAYOUT))
    assert (43, 45) == (found.served and found.served.deployment, found.staged.deployment)
    (warning,) = heard.warnings
    assert "history does not say who moved them" in warning


def test_a_dry_run_says_so_too(hosts: Hosts) -> None:
    move_by_hand(hosts.server)
    heard = Heard()
    change.preview(Target(hosts.server, LAYOUT), Deployment("staging", 45), BOB, heard)
    (warning,) = heard.warnings
    assert "history does not say who moved them" in warning


class MovedBy:
    """A host on which somebody moves the links by hand right after one operation."""

    def __init__(
        self, host: MemoryFileSystem, move: Callable[[], None], *, after: tuple[str, ...]
    ) -> None:
        self._host = host
        self._move = move
        self._after = after

    def __getattr__(self, verb: str) -> object:
        def do(*arguments: Any, **options: Any) -> object:
            done = getattr(self._host, verb)(*arguments, **options)
            if (verb, *arguments)[: len(self._after)] == self._after:
                self._after = ("nothing",)  # only once
                self._move()
            return done

        return do


DECIDED = ("load", LAYOUT.history)
NOTED = ("rename", temporary(LAYOUT.intent), LAYOUT.intent)
SWITCHED = ("sync", LAYOUT.infrastructure)


def test_a_color_that_production_has_come_to_show_is_not_pointed_elsewhere(hosts: Hosts) -> None:
    before = history.newest(Target(hosts.server, LAYOUT))
    fs = MovedBy(hosts.b, lambda: move_by_hand(hosts.server), after=NOTED)
    with pytest.raises(Refused, match="production shows green now"):
        carry_out(fs, Deployment("staging", 45), BOB)  # type: ignore[arg-type]
    found = observe(Target(hosts.server, LAYOUT))
    assert (43, 42) == (found.served and found.served.deployment, found.staged.deployment)
    assert before == history.newest(Target(hosts.server, LAYOUT))
    assert not exists(hosts.server, LAYOUT.intent)


@pytest.mark.parametrize("stopped", [DECIDED, NOTED, SWITCHED], ids=["decided", "noted", "moved"])
@pytest.mark.parametrize("first", [Promotion(), Rollback(), Deployment("staging", 45)], ids=str)
def test_who_was_cut_off_and_has_lost_the_lock_takes_the_place_of_nothing(
    hosts: Hosts, mocker: MockerFixture, first: Request, stopped: tuple[str, ...]
) -> None:
    """A server gives a client's lock away when it has not heard of it for long."""
    clock = mocker.patch("tierctl.journal.lock._now", return_value=0.0)

    def lose_the_lock() -> None:
        hosts.server.release_locks()
        for second in (Promotion(force=True), Rollback()):
            carry_out(hosts.b, second, BOB)
        left.append((seen(hosts.server), list(history.newest_first(Target(hosts.server, LAYOUT)))))
        clock.return_value = 60.0

    left: list[object] = []
    fs = MovedBy(hosts.a, lose_the_lock, after=stopped)
    with pytest.raises(LockLost, match="gave the lock to bob on b"):
        carry_out(fs, first)  # type: ignore[arg-type]
    assert left == [(seen(hosts.server), list(history.newest_first(Target(hosts.server, LAYOUT))))]
    assert not exists(hosts.server, LAYOUT.intent)


def test_a_lock_that_is_held_for_long_is_held_all_the_same(
    hosts: Hosts, mocker: MockerFixture
) -> None:
    mocker.patch("tierctl.journal.lock._now", count(0, 60).__next__)
    carry_out(hosts.a, Promotion())


def test_a_holder_that_could_not_be_written_down_has_not_lost_the_lock(
    hosts: Hosts, mocker: MockerFixture
) -> None:
    """On a full disk, which must not stand in the way of a rollback."""
    carry_out(hosts.b, Promotion(), BOB)
    mocker.patch("tierctl.journal.lock._now", side_effect=count(0, 60).__next__)
    Scene(hosts.a, LAYOUT).fail(Rollback(), "write", LAYOUT.holder, errno.ENOSPC)


def replace(fs: FileSystem, tier: str, color: str) -> None:
    """Point a tier elsewhere, as ``ln -sfn`` does."""
    fs.make_link(temporary(LAYOUT.within(tier)), color)
    fs.rename(temporary(LAYOUT.within(tier)), LAYOUT.within(tier))


def test_an_error_says_what_production_serves_on_the_server_now(hosts: Hosts) -> None:
    """This host knows of one link that was moved after the switch, but not of the other."""

    def move() -> None:
        replace(hosts.b, "staging", "green")
        replace(hosts.server, "production", "blue")

    fs = MovedBy(hosts.b, move, after=SWITCHED)
    with pytest.raises(Interrupted, match="production serves deployment 42 now"):
        carry_out(fs, Promotion(), BOB)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "number"), [(Rollback(to=41), 41), (Deployment("staging", 45), 45)], ids=str
)
def test_a_color_is_not_pointed_to_what_another_host_has_removed(
    hosts: Hosts, asked: Request, number: int
) -> None:
    """As a prune does it: the deployment loses its name, and is taken apart later."""
    before = observe(Target(hosts.server, LAYOUT))
    directory = LAYOUT.within(f"deployments/{number}")
    hosts.server.rename(directory, LAYOUT.within("deployments/.gone"))
    assert exists(hosts.b, directory)
    with pytest.raises(Refused, match=f"deployment {number} is gone"):
        carry_out(hosts.b, asked, BOB)
    assert before == observe(Target(hosts.server, LAYOUT))
    assert not exists(hosts.server, LAYOUT.intent)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_deploy_takes_the_place_of_what_another_host_left_in_a_private_tier(
    hosts: Hosts, *, is_there: bool
) -> None:
    carry_out(hosts.b, Deployment("dev1", 44))
    if is_there:
        carry_out(hosts.a, Deployment("dev1", 43))
    else:
        hosts.server.remove(LAYOUT.within("dev1"))
    heard = carry_out(hosts.b, Deployment("dev1", 45), BOB)
    ((_, replaced),) = heard.outcomes[0].before.private
    assert (replaced and replaced.deployment) == (43 if is_there else None)


class Refreshing(FaultyFileSystem):
    """Notes which names are refreshed by writing."""

    def __init__(self, inner: FileSystem) -> None:
        super().__init__(inner, Fault(0))
        self.refreshed: list[tuple[str, tuple[str, ...]]] = []

    def refresh(self, path: str, *, write: bool = False, names: Sequence[str] = ()) -> None:
        super().refresh(path, write=write, names=names)
        if write:
            self.refreshed.append((path, tuple(names)))


def test_what_the_lock_protects_is_refreshed_by_its_name(hosts: Hosts) -> None:
    """Without a name a change within the same tick of the server's clock could be missed."""
    fs = Refreshing(hosts.b)
    with freshness.lock(Target(fs, LAYOUT), LAYOUT.lock, timeout=0, private=["dev1"]):
        assert fs.refreshed == [
            (LAYOUT.infrastructure, (*LINKS, "dev1")),
            (LAYOUT.control, ("intent.json",)),
        ]


def test_status_shows_what_another_host_has_promoted(hosts: Hosts) -> None:
    """Without exchange, as on a network filesystem, the links are new objects."""
    carry_out(hosts.a, Promotion())
    shown = {tier.name: tier for tier in status.read(Target(hosts.b, LAYOUT)).tiers}
    production = shown["production"]
    assert production.content is not None
    assert 43 == production.content.deployment
    assert production.event is not None
    assert EventKind.PROMOTION is production.event.kind


@pytest.mark.parametrize("is_finished", [True, False])
def test_a_build_that_another_host_has_finished_is_not_removed(
    hosts: Hosts, mocker: MockerFixture, *, is_finished: bool
) -> None:
    """It was killed before it gave up the number; this host has looked for the record before."""
    removed = mocker.patch("tierctl.fs.tree.remove")
    directory = LAYOUT.within("deployments/46")
    hosts.server.make_directory(directory, 0o755)
    hosts.server.make_directory(f"{directory}/meta", 0o755)
    hosts.server.write(LAYOUT.building(46), b"")
    record = LAYOUT.deployment_record("deployments/46")
    hosts.b.refresh(LAYOUT.deployments, write=True)  # that it was begun this host has seen
    assert not exists(hosts.b, record)
    if is_finished:
        hosts.server.write(record, b"{}")
        assert not exists(hosts.b, record)
    with numbering.held(Target(hosts.b, LAYOUT), 0):
        numbering._end(Target(hosts.b, LAYOUT), 46)
    assert is_finished is not removed.called
    assert not exists(hosts.server, LAYOUT.building(46))


# Numbers, prune and doctor


def test_a_number_that_another_host_has_taken_is_not_taken_again(hosts: Hosts) -> None:
    with (
        numbering.reserved(Target(hosts.a, LAYOUT), lock_timeout=0) as first,
        numbering.reserved(Target(hosts.b, LAYOUT), lock_timeout=0) as second,
    ):
        assert (46, 47) == (first.number, second.number)


def test_a_number_is_taken_for_a_plain_directory_that_somebody_has_put_there(hosts: Hosts) -> None:
    hosts.server.remove(LAYOUT.within("blue"))
    hosts.server.make_directory(LAYOUT.within("blue"), 0o755)
    with numbering.reserved(Target(hosts.b, LAYOUT), lock_timeout=0, spare=True) as taken:
        assert (47, 46) == taken


@pytest.fixture
def retired(mocker: MockerFixture) -> list[str]:
    """What a prune takes the names from; nothing in memory is in use, or in a cache."""
    mocker.patch("tierctl.prune.processes.uses", return_value=Uses({}, 0))
    mocker.patch("tierctl.prune.caching.unneeded", return_value=Unneeded())
    mocker.patch("tierctl.prune.caching.retire", return_value=Unneeded())
    mocker.patch("tierctl.fs.tree.is_own", return_value=True)
    paths: list[str] = []
    mocker.patch("tierctl.prune.removing.Remover.retire", lambda _, path: paths.append(path))
    return paths


def test_a_prune_keeps_what_another_host_has_promoted(hosts: Hosts, retired: list[str]) -> None:
    """That one exchanges the links, so they are no new objects."""
    carry_out(hosts.server, Deployment("staging", 45))
    carry_out(hosts.server, Promotion())
    policy = retention.Policy(keep=0, days=0)
    pruning.prune(Target(hosts.b, LAYOUT), policy, BOB, Pruned(), lock_timeout=0)
    assert retired == [LAYOUT.within(f"deployments/{number}") for number in (44, 43, 41)]


def test_a_prune_has_private_tiers_refreshed_by_their_names(
    hosts: Hosts, retired: list[str]
) -> None:
    hosts.server.make_link(LAYOUT.within("dev1"), "deployments/44")
    hosts.server.make_link(LAYOUT.within("test-x"), "deployments/45")
    fs = Refreshing(hosts.b)
    policy = retention.Policy(keep=0, days=0)
    pruning.prune(Target(fs, LAYOUT), policy, BOB, Pruned(), lock_timeout=0)
    assert (LAYOUT.infrastructure, ("dev1", "test-x")) in fs.refreshed
    assert [] == retired  # 41 is the way back


@pytest.mark.parametrize("below", ["", "/repodata", "/uv"])
@pytest.mark.parametrize("is_alone", [True, False], ids=["prune", "deploy"])
def test_who_holds_the_caches_lock_sees_what_another_host_has_done_there(
    hosts: Hosts, below: str, *, is_alone: bool
) -> None:
    for path in (LAYOUT.cache, *(f"{LAYOUT.cache}/{name}" for name in ("repodata", "uv"))):
        hosts.server.make_directory(path, 0o755)
    place = f"{LAYOUT.cache}{below}"
    hosts.server.write(f"{place}/old", b"")
    before = hosts.b.names(place)
    hosts.b.entry(f"{place}/old")
    hosts.server.rename(f"{place}/old", f"{place}/new")
    assert before == hosts.b.names(place)
    use = (
        cachelock.alone(Target(hosts.b, LAYOUT))
        if is_alone
        else cachelock.shared(Target(hosts.b, LAYOUT), 0)
    )
    with use:
        assert hosts.server.names(place) == hosts.b.names(place)
        assert exists(hosts.b, f"{place}/new")


class Pruned(Heard):
    """Hears of a prune."""

    def pruned(self, done: object) -> None:
        """See ``pruning.Reporter.pruned``."""


def test_doctor_finishes_what_another_host_has_left_unfinished(hosts: Hosts) -> None:
    Scene(hosts.a, LAYOUT).kill(Promotion(), *SWITCHED)
    hosts.server.release_locks()
    assert not exists(hosts.b, LAYOUT.intent)
    heard = Heard()
    (done,) = repairs.repair(Target(hosts.b, LAYOUT), BOB, heard, lock_timeout=0)
    assert ("finished the interrupted change", True) == (done.text, done.done)
    assert heard.finished == [history.newest(Target(hosts.server, LAYOUT))]
    assert not exists(hosts.server, LAYOUT.intent)
