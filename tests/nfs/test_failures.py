"""What happens when the server, a client, the network or a command fails in the middle of a change.

What was reported is in history, and what is in history is so. What the command that failed did
not get to, the next one does, on the other client.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest

from harness.strace import Call
from harness.words import require_words
from nfs.cluster import Cluster
from nfs.machines import Machine
from nfs.trial import CHANGES, Trial, middle, points, told, undisturbed
from program import Ended
from thorough import THOROUGH, times

_HARD = ("vers=4.2", "vers=3")
# Calls fail when the server has not answered twice, after 1 s each.
_SOFT = tuple(f"{version},soft,timeo=10,retrans=1" for version in _HARD)
# What the system says of a server that does not answer, and of a file whose lock was lost.
_CAUSES = ("EIO", "ETIMEDOUT", "ESTALE")
_AWAY_S = times(2, 30)
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
        calls = undisturbed(cluster, name).calls
        if THOROUGH:
            found += [(name, each, call) for each in options for call in points(calls)[batch:][:1]]
        elif number % _SAMPLED == sample % _SAMPLED:
            inner = middle(calls)
            option = options[(number // _SAMPLED + sample) % len(options)]
            found.append((name, option, inner[(sample + 3 * number) % len(inner)]))
    if not found:
        pytest.skip("no change has so many points")
    begun = [begin(cluster, *each) for each in found]
    for trial in begun:
        trial.wait_until_stopped()
        trial.require_between()
    return begun


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
