"""Commands that client A is in the middle of when something fails, and the next ones on client B.

The scenarios are those of the tests that kill commands on a disk (``harness.scenarios``),
here in targets on the server. What its disk has is copied to the host, and looked at there.
"""

import json
import shlex
from contextlib import suppress
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path

from damage import note_interrupted, relink
from harness import strace
from harness.scenarios import (
    REPEATABLE,
    SCENARIOS,
    Reference,
    Scenario,
    command,
    concerned,
    deploy,
    is_between,
    links_of,
    old_ones,
    shape,
    two_deployments,
    without_build_locks,
)
from harness.strace import CHANGING, Call
from nfs.cluster import Cluster
from nfs.machines import Job, Machine, wait_until
from program import Ended
from samples import event
from targets import make_target, with_profiles
from tierctl.fs.local import OsFileSystem
from tierctl.journal import history
from tierctl.target.links import observe
from tierctl.target.paths import Layout
from tierctl.target.target import Target

FS = OsFileSystem()

_numbers = count(1)


def _with_definitions(place: Path) -> Layout:
    commands = place / "definitions" / "tier" / "bin"
    commands.mkdir(parents=True)
    (commands / "hello").write_text("#!/bin/sh\necho hello\n")
    return two_deployments(place)


def _half_promoted(place: Path) -> Layout:
    layout = with_profiles(make_target(place / "lab"))
    Path(layout.control).mkdir()
    note_interrupted(layout, event(2))  # of plain directories
    relink(layout, "production", "blue")
    return layout


_OF_A_DISK = ("promotion", "first promotion", "rollback", "rollback of a color")
_OF_A_DISK += ("deploy that adopts", "prune")
_SCENARIOS = {name: SCENARIOS[name] for name in _OF_A_DISK} | {
    "rollback to a deployment": Scenario(old_ones, command("rollback", "--to", "3")),
    "deploy": Scenario(_with_definitions, deploy("staging")),
    "doctor": Scenario(_half_promoted, command("doctor", "--fix")),
}
# All kinds of changes, as they are typed on a client.
CHANGES = {name: replace(scenario, program=("tierctl",)) for name, scenario in _SCENARIOS.items()}


class Trial:
    """A change in a target of its own, that A begins and B ends."""

    def __init__(self, cluster: Cluster, name: str, options: str) -> None:
        self.cluster = cluster
        self.name, self.options = name, options
        self.scenario = CHANGES[name]
        self.place = f"trial{next(_numbers)}"
        self.layout = Layout.of_target(f"{cluster.mount(options)}/{self.place}/lab")
        self._log, self._pid = (f"/tmp/{self.place}.{what}" for what in ("log", "pid"))  # noqa: S108
        self._job: Job | None = None
        self._at: Call | None = None
        self._make()

    @property
    def case(self) -> str:
        return f"{self.name} on {self.options}, after {self._at}"

    def _make(self) -> None:
        made = self.cluster.host / "made" / self.name.replace(" ", "-")
        if not made.exists():
            made.mkdir(parents=True)
            self.scenario.make(made)
        place = self.cluster.on_server(self._on_client)
        # What a power cut may take away is what commands have written, and not this.
        self.cluster.server.must(f"cp -a /host/made/{made.name} {place} && sync -f {place}")

    @property
    def _on_client(self) -> str:
        return self.layout.top.removesuffix("/lab")

    def on_disk(self) -> Layout:
        """Return a copy of the target as it is on the server's disk."""
        seen = f"seen/{self.place}-{next(_numbers)}"
        self.cluster.host.joinpath("seen").mkdir(exist_ok=True)
        self.cluster.server.must(f"cp -a {self.cluster.on_server(self._on_client)} /host/{seen}")
        return Layout.of_target(str(self.cluster.host / seen / "lab"))

    def typed(self, *, json: bool = True) -> list[str]:
        """Return the command, as it is typed on a client."""
        return [*self.scenario.program, *self.scenario.words(self.layout), *["--json"] * json]

    def reference(self) -> Reference:
        """Run the command undisturbed on A."""
        before = links_of(self.on_disk())
        a = self.cluster.a
        done = a.run(shlex.join(strace.tracing(self.typed(), concerned(self.layout), self._log)))
        calls = strace.calls_in(a.must(f"cat {self._log}"))
        after = self.on_disk()
        assert (0, True) == (done.code, len(calls) > 10), (done, calls)
        newest = history.newest(Target(FS, after))
        assert newest is None or newest.agrees_with(observe(Target(FS, after)))
        return Reference(done, calls, before, links_of(after), shape(after))

    def begin(self, at: Call) -> None:
        """Begin the command on A; it will be stopped right after a system call."""
        self._at = at
        pausing = ["sh", "-c", f'echo $$ >{self._pid}; exec "$@"', "sh", *self.typed()]
        words = strace.injecting(
            pausing, concerned(self.layout), at, "signal=SIGSTOP", log=self._log
        )
        self._job = self.cluster.a.begin(f"exec {shlex.join(words)}")

    def wait_until_stopped(self) -> None:
        a = self.cluster.a
        a.must(f"until grep -q 'stopped by SIGSTOP' {self._log}; do sleep 0.05; done")

    def go_on(self) -> None:
        self.cluster.a.must(f"kill -CONT $(cat {self._pid})")

    def kill(self) -> None:
        self.cluster.a.must(f"kill -KILL $(cat {self._pid})")

    def wait_until_it_has_answered(self, longest: float) -> None:
        """Wait until the command has printed how it ended, but no longer than some seconds.

        On v3 the kernel waits for a server to take a lock back, whatever the mount's options
        say: a command that holds two of them can be kept from answering.
        """
        assert self._job is not None
        a, job = self.cluster.a, self._job
        with suppress(TimeoutError):
            wait_until(lambda: job.is_done or a.run(f"test -s {job.printed}").code == 0, longest)

    def wait(self, timeout: float = 120) -> Ended:
        """Return how the command ended on A."""
        assert self._job is not None
        return self._job.wait(timeout)

    def require_between(self) -> None:
        """Require whole links on disk, and a whole deployment behind production."""
        found, reference = self.on_disk(), undisturbed(self.cluster, self.name)
        links = links_of(found)
        between = is_between(links, reference.before, reference.wanted, exchanged=False)
        assert between, f"{self.case}: {links}"
        if "production" in reference.before:
            directory = links.get(links["production"], links["production"])
            record = Path(found.deployment_record(directory))
            assert "/" not in directory or record.exists(), f"{self.case}: {links}"

    def next_on(self, client: Machine, done: Ended | None) -> Ended:
        """Type on a client what one types next: the same again, unless that was reported as done.

        ``done`` is how the command ended on A, None if nobody has heard.
        """
        words = self.scenario.words(self.layout)
        if told(done) and words[0] not in REPEATABLE:
            words = ["doctor", "--fix", "-t", self.layout.top]
        return client.tierctl(*words, "--json")

    def require_ended(self, reported: list[str]) -> None:
        """Require that the target is as if nothing had happened, and has all that was reported."""
        found = self.on_disk()
        wanted, there = (
            undisturbed(self.cluster, self.name).after,
            without_build_locks(shape(found)),
        )
        different = {
            name: (wanted[name], there[name]) for name in wanted if wanted[name] != there[name]
        }
        assert {} == different, f"{self.case}: wanted and found: {different}"
        assert {*reported} <= {event.id for event in history.newest_first(Target(FS, found))}, (
            self.case
        )


def told(*ended: Ended | None) -> list[str]:
    """Return the events that commands have told of: their own, and those that they finished."""
    documents = [json.loads(done.out) for done in ended if done is not None and done.out]
    found = (document.get(name) for document in documents for name in ("recovered", "event"))
    return [event["id"] for event in found if event]


@cache
def undisturbed(cluster: Cluster, name: str) -> Reference:
    """Return how a change goes on A if nothing disturbs it; all versions make the same calls."""
    return Trial(cluster, name, "vers=4.2").reference()


def points(calls: list[Call]) -> list[Call]:
    """Return the calls that change something, and those for the lock."""
    changing = [call for call in calls if call.name in CHANGING]
    return [call for call in changing if call.name != "fcntl" or "SETLK" in call.text]


def middle(calls: list[Call]) -> list[Call]:
    """Return the points at which a change is noted; all of them if it never is."""
    found = points(calls)
    begins = next((n for n, call in enumerate(found) if '"intent.json")' in call.text), 0)
    ends = (n for n, call in enumerate(found) if call.text.endswith('"intent.json", 0) = 0'))
    return found[begins : next(ends, len(found)) + 1]
