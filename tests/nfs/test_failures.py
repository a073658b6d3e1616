"""What happens when the server, a client, the network or a command fails in the middle of a change.

What was reported is in history, and what is in history is so. What the command that failed did
not get to, the next one does, on the other client.
"""

import shlex
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.scenarios import links_of
from harness.strace import Call
from harness.words import require_words
from nfs.cluster import Cluster
from nfs.trial import CHANGES, FS, Trial, middle, points, told, undisturbed
from program import Ended
from thorough import THOROUGH, times
from tierctl.journal import history
from tierctl.target.target import Target

_HARD = ("vers=4.2", "vers=3")
# Calls fail when the server has not answered twice, after 1 s each.
_SOFT = tuple(f"{version},soft,timeo=10,retrans=1" for version in _HARD)
# What the system says of a server that does not answer, and of a file whose lock was lost.
_CAUSES = ("EIO", "ETIMEDOUT", "ESTALE")
_AWAY_S = times(2, 30)
# For so long calls on a soft mount are given to fail, all that a command makes.
_LONGEST_S = 15
# A mount through what has requests come late (guest/late.py); only v3 knows no order of them.
_LATE_PORT, _LATE_RULE = 2050, "/run/late"
_LATE = f"vers=3,proto=tcp,mountproto=tcp,port={_LATE_PORT},soft,timeo=10,retrans=1"
# No change has more points than that.
_MOST_POINTS = 100
_SAMPLED = 3

batches = pytest.mark.parametrize("batch", range(_MOST_POINTS if THOROUGH else 1))


def trials(cluster: Cluster, batch: int, options: Sequence[str], *, sample: int) -> list[Trial]:
    """Begin changes on A; return them when all are stopped.

    In the long form all kinds are stopped at the batch's point, if they have so many, with
    each of the options. In a sample it is every third kind, some point in the middle of it,
    and one of the options.
    """
    found = []
    for number, name in enumerate(CHANGES):
        if THOROUGH:
            at = points(undisturbed(cluster, name).calls)[batch:][:1]
            found += [(name, option, call) for option in options for call in at]
        elif number % _SAMPLED == sample % _SAMPLED:
            inner = middle_of(cluster, name)
            option = options[(number // _SAMPLED + sample) % len(options)]
            found.append(
                (name, option, inner[(len(inner) // 2 + number // _SAMPLED + sample) % len(inner)])
            )
    if not found:
        pytest.skip("no change has so many points")
    begun = [begin(cluster, *each) for each in found]
    for trial in begun:
        trial.wait_until_stopped()
        trial.require_between()
    return begun


def middle_of(cluster: Cluster, name: str) -> list[Call]:
    return middle(undisturbed(cluster, name).calls)


def begin(cluster: Cluster, name: str, options: str, at: Call) -> Trial:
    """Begin a change on A that is stopped right after a call."""
    trial = Trial(cluster, name, options)
    trial.begin(at)
    return trial


def require_that_they_go_on(begun: list[Trial]) -> None:
    """Require that all end as if nothing had happened, and that B finds nothing left to do."""
    for trial in begun:
        done = trial.wait()
        assert 0 == done.code, (trial.case, done)
        trial.require_ended(told(done))


def require_that_b_ends_them(begun: list[Trial], heard: Iterable[Ended | None]) -> None:
    """Require that the next command on B ends what A did not; ``heard`` is how A's ended."""
    b = begun[0].cluster.b
    for trial, done in zip(begun, heard, strict=True):
        trial.require_between()
        trial.require_ended(told(done, trial.next_on(b, done)))


@batches
def test_after_a_kill_the_other_client_ends_it(cluster: Cluster, batch: int) -> None:
    begun = trials(cluster, batch, _HARD, sample=0)
    for trial in begun:
        trial.kill()
    killed = [trial.wait() for trial in begun]
    assert {-9} == {done.code for done in killed}
    require_that_b_ends_them(begun, killed)


@batches
def test_when_the_servers_power_is_cut_it_goes_on(cluster: Cluster, batch: int) -> None:
    begun = trials(cluster, batch, _HARD, sample=1)
    cluster.server.cut_power()
    try:
        for trial in begun:
            trial.go_on()
    finally:
        cluster.boot(cluster.server)
    require_that_they_go_on(begun)


@batches
def test_when_nfsd_is_away_for_a_while_it_goes_on(cluster: Cluster, batch: int) -> None:
    begun = trials(cluster, batch, _HARD, sample=2)
    cluster.stop_nfsd()
    try:
        for trial in begun:
            trial.go_on()
        time.sleep(_AWAY_S)
    finally:
        cluster.start_nfsd()
    require_that_they_go_on(begun)


@batches
def test_after_a_power_cut_of_a_client_the_other_one_ends_it(cluster: Cluster, batch: int) -> None:
    """On v3 the server keeps a client's locks until that has booted."""
    begun = trials(cluster, batch, _HARD, sample=3)
    cluster.a.cut_power()
    if THOROUGH:
        require_that_b_ends_them(begun[::2], [None] * len(begun[::2]))
        begun = begun[1::2]
    cluster.boot(cluster.a)
    require_that_b_ends_them(begun, [None] * len(begun))


# Calls that fail: a soft mount whose server does not answer


@pytest.mark.skipif(not THOROUGH, reason="takes more than a minute")
@batches
def test_when_a_soft_mount_loses_its_server_the_change_says_so_and_the_next_command_ends_it(
    cluster: Cluster, batch: int
) -> None:
    """On v4 A's kernel can fail to give the lock back: it does so when A's next command ends."""
    begun = trials(cluster, batch, _SOFT, sample=6)
    cluster.a.take_link_down()
    try:
        for trial in begun:
            trial.go_on()
        for trial in begun:
            trial.wait_until_it_has_answered(_LONGEST_S)
    finally:
        cluster.a.bring_link_up()
    for trial in begun:
        done = trial.wait()
        assert done.code in (0, 1), (trial.case, done)
        require_words(done, _CAUSES, trial.layout.top, f"{trial.case}: {done}")
        trial.require_between()
        first = done
        if "vers=4" in trial.options:
            first = trial.next_on(cluster.a, done)
        second = trial.next_on(cluster.b, first if told(first) else done)
        trial.require_ended(told(done, first, second))


# Requests that the server carries out when they have failed long since


@pytest.fixture(scope="module")
def proxied(cluster: Cluster) -> str:
    """Have a proxy stand before the server; returns the options that mount through it."""
    cluster.server.begin(f"exec python3 -S /host/guest/late.py {_LATE_PORT} {_LATE_RULE}")
    cluster.server.must(f"until ss -ltn | grep -q :{_LATE_PORT}; do sleep 0.05; done")
    return _LATE


@contextmanager
def late(cluster: Cluster, rule: str) -> Iterator[None]:
    """Have a rename come late, as guest/late.py explains."""
    server = cluster.server
    server.must(f"echo {rule} >{_LATE_RULE}.new; mv {_LATE_RULE}.new {_LATE_RULE}")
    try:
        yield
    finally:
        server.must(f"rm -f {_LATE_RULE} {_LATE_RULE}.done")


@pytest.mark.parametrize(
    ("number", "answer"),
    [(1, "nothing-changed"), (2, "nothing-changed"), (3, "unfinished")],
    ids=["intent", "production", "staging"],
)
def test_a_rename_that_comes_when_the_change_is_taken_back_is_not_missed(
    cluster: Cluster, proxied: str, number: int, answer: str
) -> None:
    """It has failed on A, and is carried out just before A removes what it would have renamed.

    The last one, staging's, completes the change; so that is not taken back.
    """
    trial = Trial(cluster, "promotion", proxied)
    before = links_of(trial.on_disk())
    with late(cluster, f"rename {number} remove 1"):
        done = cluster.a.run(shlex.join(trial.typed()))
        assert 0 == cluster.server.run(f"test -e {_LATE_RULE}.done").code
    assert (1, answer) == (done.code, done.document["error"]["code"]), done
    found = trial.on_disk()
    is_back = answer == "nothing-changed"
    assert (is_back, not is_back) == (before == links_of(found), Path(found.intent).exists())
    trial.require_ended(told(trial.next_on(cluster.b, done)))


# A client that was away for so long that its lock went to another one


@pytest.mark.skipif(not THOROUGH, reason="waits for a lease to end, twice")
def test_a_client_whose_lock_was_given_away_changes_nothing_when_it_is_back(
    cluster: Cluster,
) -> None:
    """It was away between what it read and the note of its change."""
    calls = undisturbed(cluster, "promotion").calls
    notes = (
        n
        for n, call in enumerate(calls)
        if call.name == "openat" and ".intent.json.new" in call.text
    )
    trial = begin(cluster, "promotion", "vers=4.2", calls[next(notes) - 1])
    trial.wait_until_stopped()
    cluster.a.take_link_down()
    try:
        changes = [["promote-staging"], ["rollback"]]
        words = ["--json", "--lock-timeout", "60", "-t", trial.layout.top]
        reported = told(*(cluster.b.tierctl(*change, *words) for change in changes))
        assert 2 == len(reported)
    finally:
        cluster.a.bring_link_up()
    trial.go_on()
    done = trial.wait()
    assert "lock-lost" == done.document["error"]["code"], done
    events = history.newest_first(Target(FS, trial.on_disk()))
    assert reported[::-1] == [event.id for event in events][: len(reported)]
