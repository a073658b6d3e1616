"""Commands from both clients at once: one after the other, and one unbroken history."""

from itertools import cycle, islice, pairwise

from nfs.shared import SharedTarget
from thorough import times

_COMMANDS = times(12, 50)
_WAITING = ["--json", "--lock-timeout", "300"]


def test_they_are_serialised_and_recorded(target: SharedTarget) -> None:
    kinds = [
        ["promote-staging", "--force"],
        ["rollback"],
        ["promote-staging", "--force"],
        [*target.deploying(target.cluster.a, "new"), "--rebuild"],
        ["rollback"],
        ["prune", "--keep", "1", "--older-than", "0d"],
    ]
    target.deploying(target.cluster.b, "new")
    clients = cycle(target.cluster.clients)
    jobs = [
        target.begin(next(clients), *words, *_WAITING) for words in islice(cycle(kinds), _COMMANDS)
    ]
    told = []
    for job in jobs:
        done = job.wait(600)
        # Only a rollback can have nothing to do: there is nothing to go back to at first.
        assert 0 == done.code or (1, "rollback") == (done.code, done.document["command"]), done
        if done.document.get("event"):
            told.append(done.document["event"]["id"])
    require_one_history(target, told)


def require_one_history(target: SharedTarget, told: list[str]) -> None:
    """Require each success once, each event after the one before, and the links as the last."""
    server = target.cluster.server
    on_disk = target.cluster.on_server(target.path)
    events = server.tierctl("history", "--json", "-t", on_disk).document["events"]
    assert sorted(told) == sorted(event["id"] for event in events)
    for newer, older in pairwise(events):
        assert shown(older["after"]) == shown(newer["before"])
    assert target.links() == shown(events[0]["after"])


def shown(state: dict[str, str]) -> dict[str, str]:
    """Return what a state says of what everybody loads."""
    return {name: state[name] for name in ("production", "staging", "blue", "green")}
