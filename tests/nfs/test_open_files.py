"""A prune while processes have files of a deployment open that nobody needs.

A client keeps such a file under another name (``.nfs...``) as long as a process of it uses it.
Of other clients' processes neither it nor the server knows.
"""

import json
import shlex

import pytest

from nfs.cluster import Cluster
from nfs.machines import Job, Machine
from nfs.shared import OPTIONS
from nfs.trial import Trial
from program import Ended
from thorough import THOROUGH

_USER = "process {} of bob uses it"
_STALE = "Stale file handle"


class Reader:
    """A process of bob's that has a file open, and reads it when it is told to."""

    def __init__(self, client: Machine, path: str, place: str) -> None:
        self._client = client
        self._go_on = f"/tmp/{place}.go-on"  # noqa: S108 (in a machine of the test's own)
        pid = f"/tmp/{place}.pid"  # noqa: S108
        waiting = f"until test -e {self._go_on}; do sleep 0.1; done"
        opening = f"exec 3<{shlex.quote(path)}; echo $$ >{pid}; {waiting}; cat <&3"
        self._job: Job = client.begin(opening, user="bob")
        self.pid = client.must(f"until test -s {pid}; do sleep 0.05; done; cat {pid}").strip()

    def read(self) -> Ended:
        self._client.must(f"touch {self._go_on}")
        return self._job.wait()


@pytest.mark.parametrize("options", OPTIONS if THOROUGH else OPTIONS[:1])
def test_what_is_in_use_waits_and_all_else_goes(cluster: Cluster, options: str) -> None:
    trial = Trial(cluster, "prune", options)
    deployments = trial.layout.deployments
    on_server = cluster.on_server(deployments)
    cluster.server.must(
        f"cd {on_server} && echo three >3/data && echo four >4/data && "
        f"chown -R ada: {cluster.on_server(trial.layout.top)}"
    )
    here = Reader(cluster.a, f"{deployments}/3/data", f"{trial.place}-here")
    there = Reader(cluster.b, f"{deployments}/4/data", f"{trial.place}-there")
    going = f"{deployments}/.3.going"
    for removed in ([3, 4], []):
        done = cluster.a.run(shlex.join(trial.typed()), user="ada")
        assert (0, removed) == (done.code, sorted(done.document["removed"])), done
        # ada cannot look at bob's processes.
        assert [{"path": going, "used_by": None}] == done.document["left"], done
        kept = cluster.server.must(f"cd {on_server} && find . -name '.nfs*' -o -name '[34]'")
        assert kept.startswith("./.3.going/.nfs"), kept
    text = f"{going} is left of what was removed: {_USER.format(here.pid)}"
    assert text in notes(cluster.a.tierctl("doctor", "-n", "--json", "-t", trial.layout.top))
    by_b = notes(cluster.b.tierctl("doctor", "-n", "--json", "-t", trial.layout.top))
    assert f"{going} is left of what was removed" in by_b
    assert (0, "three\n") == here.read()[:2]
    other = there.read()  # what B has in its cache, or nothing more
    assert (0, "four\n") == other[:2] or _STALE in other.err, other
    done = cluster.a.run(shlex.join(trial.typed()), user="ada")
    assert (0, []) == (done.code, done.document["left"]), done
    assert "1\n2\n" == cluster.server.must(f"ls -A {on_server}")


def notes(done: Ended) -> list[str]:
    findings = json.loads(done.out)["findings"]
    return [finding["text"] for finding in findings if finding["severity"] == "note"]
