"""Client B acts right after client A, while B's cache still holds the links of before."""

import random
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest

from nfs.machines import Machine
from nfs.shared import SharedTarget
from program import Ended
from thorough import THOROUGH, times

# Within this time after A's promotion, B's cache holds the links of before.
_WINDOW_S = 3.0
# With these options a client does not even ask when it opens something.
UNCHECKED = ("vers=4.2,nocto,actimeo=60", "vers=3,nocto,actimeo=60")
_UNREFRESHED = "/opt/tierctl/bin/python /host/guest/unrefreshed.py"


@contextmanager
def looking(target: SharedTarget, client: Machine) -> Iterator[None]:
    """Have a process of a client open the directory and read the links all the time."""
    opener = f"python3 -S /host/guest/opener.py {target.infrastructure}"
    job = client.begin(f"exec {opener}")
    try:
        yield
    finally:
        client.must(f"pkill -f {shlex.quote(opener)}")
        job.wait()


def serves(target: SharedTarget) -> tuple[str, str]:
    """Return production's and staging's color on the server's disk."""
    links = target.links()
    return links["production"], links["staging"]


# A build that was never promoted


@pytest.mark.parametrize("is_busy", [False, True] if THOROUGH else [False], ids=str)
def test_a_deploy_right_after_anothers_promotion_never_lands_in_production(
    target: SharedTarget, *, is_busy: bool
) -> None:
    a, b = target.cluster.clients
    chance = random.Random(target.path)
    for attempt in range(times(1, 20)):
        promoted = target.version("staging")
        deploy = target.deploying(b, f"build{attempt}")
        with looking(target, b) if is_busy else nullcontext():
            target.warm(b)
            target.must(a, "promote-staging", "--force")
            time.sleep(chance.uniform(0, _WINDOW_S))
            done = target.do(b, *deploy)
        assert promoted == target.version("production"), done
        assert 0 == done.code, done
        assert f"build{attempt}" == target.version("staging"), done


# A version that trusts the cache: if nothing went wrong with it, the other tests would show nothing


@pytest.mark.parametrize("target", UNCHECKED[:1], indirect=True)
def test_a_deploy_that_trusts_the_cache_is_noticed(target: SharedTarget) -> None:
    """On v3 a deploy does more that has the client ask for the links."""
    b = target.cluster.b
    for attempt in range(5):
        promoted = target.version("staging")
        deploy = target.deploying(b, f"build{attempt}")
        done = right_after_a_promotion(target, *deploy)
        as_asked = (0, promoted, f"build{attempt}")
        if as_asked != (done.code, target.version("production"), target.version("staging")):
            return
    pytest.fail("a deploy that trusts the cache did what was asked five times")


@pytest.mark.parametrize("target", ["vers=3,actimeo=60", *UNCHECKED], indirect=True)
def test_a_promotion_that_trusts_the_cache_is_noticed(target: SharedTarget) -> None:
    for _ in range(5):
        before = serves(target)
        done = right_after_a_promotion(target, "promote-staging", "--force")
        if (0, before) != (done.code, serves(target)):
            return
    pytest.fail("a promotion that trusts the cache did what was asked five times")


def right_after_a_promotion(target: SharedTarget, *words: object) -> Ended:
    """Run on B, which trusts its cache, a command right after a promotion on A."""
    a, b = target.cluster.clients
    target.warm(b)
    target.must(a, "promote-staging", "--force")
    return unrefreshed(target, b, *words)


def unrefreshed(target: SharedTarget, client: Machine, *words: object) -> Ended:
    """Run a tierctl that does not refresh the client's cache."""
    return client.run(f"{_UNREFRESHED} {shlex.join([*map(str, words), '-t', target.path])}")


# Changes and questions on the other client


def test_a_rollback_right_after_anothers_promotion_goes_back(target: SharedTarget) -> None:
    a, b = target.cluster.clients
    for _ in range(times(1, 20)):
        before = serves(target)
        target.warm(b)
        target.must(a, "promote-staging", "--force")
        assert 0 == target.do(b, "rollback").code
        assert before == serves(target)


def test_a_promotion_right_after_anothers_deploy_and_promotion_shows_what_they_left_in_staging(
    target: SharedTarget,
) -> None:
    a, b = target.cluster.clients
    for attempt in range(times(1, 20)):
        target.warm(b)
        target.must(a, *target.deploying(a, attempt))
        target.must(a, "promote-staging", "--force")
        production, staging = serves(target)
        target.must(b, "promote-staging", "--force")
        assert (staging, production) == serves(target)


def test_status_right_after_anothers_promotion_shows_what_the_server_has(
    target: SharedTarget,
) -> None:
    a, b = target.cluster.clients
    for _ in range(times(1, 20)):
        target.warm(b)
        target.must(a, "promote-staging", "--force")
        tiers = target.must(b, "status", "--json").document["tiers"]
        assert serves(target) == tuple(tiers[name]["color"] for name in ("production", "staging"))
        assert "a" == tiers["production"]["host"]


def test_a_promotion_on_the_server_itself_is_seen_by_the_next_command(target: SharedTarget) -> None:
    """There the links are exchanged: their names stay with other inodes."""
    server, b = target.cluster.server, target.cluster.b
    for _ in range(times(1, 20)):
        before = serves(target)
        target.warm(b)
        on_disk = target.cluster.on_server(target.path)
        assert 0 == server.tierctl("promote-staging", "--force", "-t", on_disk).code
        target.must(b, "rollback")
        assert before == serves(target)
