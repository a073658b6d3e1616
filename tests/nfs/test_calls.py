"""How many calls a command makes to the server, when its client has looked at the target before."""

import json
import shlex
from collections import Counter

import pytest

from nfs.machines import Machine
from nfs.shared import OPTIONS, SharedTarget
from thorough import THOROUGH

# What is limited is asked with a cache that lasts: on a slow machine the default one, of 3 s, is
# over in the middle of a command. What other options cost is printed.
LIMITED = "vers=4.2,actimeo=60"
PROMOTION, ROLLBACK, STATUS = 40, 42, 16
# A deploy of so many files, and how many times the calls of the engine alone it makes. Each file is
# read besides, to see that it is what its package lists: OPEN, READ, CLOSE, DELEGRETURN, since a
# link that is made has the client forget what it knew of the content.
FILES, DEPLOY, READING = 2000, 1.15, 4

_PYTHON = "/opt/tierctl/bin/python"

thoroughly = pytest.mark.skipif(not THOROUGH, reason="takes long")
measured = pytest.mark.parametrize("target", OPTIONS if THOROUGH else [LIMITED], indirect=True)


@measured
def test_a_promotion_a_rollback_and_a_status(target: SharedTarget) -> None:
    """The least of some times: a status that comes right after a change asks for more."""
    a = target.cluster.a
    target.must(a, *target.deploying(a, "1.0"))
    commands = (["promote-staging", "--force"], ["rollback"], ["status"])
    for words in commands * 2:
        target.must(a, *words)
    made = [[calls_of(target, *words) for words in (*commands, ["status"])] for _ in range(4)]
    promotion, rollback, _, status = map(min, zip(*made, strict=True))
    if target.options == LIMITED:
        assert promotion <= PROMOTION
        assert rollback <= ROLLBACK
        assert status <= STATUS


@thoroughly
@measured
def test_a_deploy_from_a_warm_cache_against_the_engine_alone(target: SharedTarget) -> None:
    a = target.cluster.a
    place = f"/tmp/package-of-{target.name}"  # noqa: S108 (in a machine of the test's own)
    a.must(f"{_PYTHON} /host/guest/package.py {place} {FILES}")
    deploy = ["deploy", "staging", "--rebuild", "--definitions", f"{place}/definitions"]
    target.must(a, *deploy)
    deploying = calls_of(target, *deploy)
    install = f"{_PYTHON} /host/guest/engine_alone.py file://{place}/channel tool=1.0"
    where = f"{target.mount}/alone-{target.name}"
    a.must(f"{install} {where}1 {where}-cache")
    alone = counted(a, target.mount, f"{install} {where}2 {where}-cache")
    print(f"{target.options}: {deploying / alone.total():.2f} times the engine's calls")
    limit = DEPLOY * alone.total() + READING * FILES
    assert target.options != LIMITED or deploying <= limit


def calls_of(target: SharedTarget, *words: str) -> int:
    """Return how many calls a command of tierctl makes on client A, and print them."""
    print(target.options, end=": ")
    command = shlex.join(["tierctl", *words, "-t", target.path])
    return counted(target.cluster.a, target.mount, command).total()


def counted(machine: Machine, mount: str, command: str) -> Counter[str]:
    """Return how many calls of each kind a command makes on a mount, and print them."""
    counting = f"python3 /host/guest/counted.py {mount} {command}"
    found = json.loads(machine.must(counting, timeout=600))
    assert 0 == found["code"], found
    calls: Counter[str] = Counter(found["calls"])
    kinds = ", ".join(f"{kind} {number}" for kind, number in calls.most_common())
    print(f"{command}: {calls.total()} in {found['seconds']:.2f} s: {kinds}")
    return calls
