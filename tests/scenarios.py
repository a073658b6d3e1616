"""Commands in targets that are made for them, and all that there is to compare afterwards."""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import strace
from program import Ended, run_installed
from strace import Call
from targets import links, make_deployment, make_target
from tierctl.layout import Layout, temporary
from tools import require_tool

NUMBERS = range(1, 6)


def concerned(layout: Layout) -> list[str]:
    """Return the paths whose system calls count: the links, the records, their directories."""
    names = ("production", "staging", "blue", "green", "dev1")
    files = [layout.within(name) for name in names]
    files += [layout.lock, layout.holder, layout.intent, layout.history, layout.numbers]
    deployments = [f"{layout.deployments}/{number}" for number in NUMBERS]
    return [
        layout.target,
        layout.infrastructure,
        layout.control,
        layout.deployments,
        *files,
        *map(temporary, files),
        *deployments,
        *(f"{layout.deployments}/.{number}.going" for number in NUMBERS),
        *(f"{directory}/meta" for directory in deployments),
        *(f"{directory}/meta/deployment.json" for directory in deployments),
        *(layout.building(number) for number in NUMBERS),
    ]


@dataclass
class Scenario:
    """A command, in a target that is made for it."""

    make: Callable[[Path], Layout]
    words: Callable[[Layout], list[str]]

    def prepare(self, place: Path) -> tuple[Layout, list[str]]:
        """Make the target anew; returns it and the words of the command."""
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        layout = self.make(place)
        return layout, [*self.words(layout), "-t", layout.target]


def two_deployments(place: Path) -> Layout:
    return make_target(place / "lab", green=1, blue=2)


def first(place: Path) -> Layout:
    return make_target(place / "lab", production=None, green=1, blue=2)


def promoted(place: Path) -> Layout:
    layout = two_deployments(place)
    assert 0 == run_installed("promote-staging", "-t", layout.target).code
    return layout


def with_a_newer_one(place: Path) -> Layout:
    layout = promoted(place)
    make_deployment(layout, 3)
    os.unlink(layout.within("green"))
    os.symlink("deployments/3", layout.within("green"))
    return layout


def by_hand(place: Path) -> Layout:
    layout = make_target(place / "lab")
    commands = place / "definitions" / "tier" / "bin"
    commands.mkdir(parents=True)
    (commands / "hello").write_text("#!/bin/sh\necho hello\n")
    return layout


def old_ones(place: Path) -> Layout:
    layout = make_target(place / "lab", green=1, blue=2, deployments=(3, 4))
    os.mkdir(layout.control)
    return layout


def interrupted(place: Path) -> Layout:
    layout = promoted(place)
    make_deployment(layout, 3, finished=False)
    Path(layout.building(3)).touch()
    os.symlink("blue", temporary(layout.within("staging")))
    with open(layout.history, "a") as history:
        history.write('{"torn')
    return layout


def nothing(place: Path) -> Layout:
    return Layout.of_target(str(place / "lab"))


def deploy(tier: str) -> Callable[[Layout], list[str]]:
    return lambda layout: [
        *("deploy", tier),
        *("--definitions", str(Path(layout.target).parent / "definitions")),
    ]


SCENARIOS = {
    "promotion": Scenario(two_deployments, lambda layout: ["promote-staging"]),
    "first promotion": Scenario(first, lambda layout: ["promote-staging"]),
    "rollback": Scenario(promoted, lambda layout: ["rollback"]),
    "rollback of a color": Scenario(with_a_newer_one, lambda layout: ["rollback"]),
    "deploy that adopts": Scenario(by_hand, deploy("staging")),
    "deploy of a private tier": Scenario(by_hand, deploy("dev1")),
    "prune": Scenario(old_ones, lambda layout: ["prune", "--keep", "0", "--older-than", "0d"]),
    "doctor": Scenario(interrupted, lambda layout: ["doctor", "--fix"]),
}


def shape(layout: Layout) -> dict[str, object]:
    """Return all that there is to compare of two targets, but for the numbers of deployments.

    A deploy that is killed when its deployment is finished leaves that; the next
    one builds another.
    """
    events = run_installed("history", "-t", layout.target, "--json").document["events"]
    assert len({event["id"] for event in events}) == len(events)
    found = {
        "links": links(layout),
        "events": [(event["kind"], event["before"], event["after"]) for event in events],
        "infrastructure": sorted(os.listdir(layout.infrastructure)),
        # Who holds the lock is for messages only: without it a change goes on.
        "control": sorted({*os.listdir(layout.control)} - {"holder.json"}),
        "unfinished": [
            name
            for name in os.listdir(layout.deployments)
            if not os.path.exists(layout.deployment_record(f"deployments/{name}"))
        ],
    }
    return json.loads(re.sub(r'(deployments/|"adopted": )[0-9]+', r"\g<1>0", json.dumps(found)))


class Reference(NamedTuple):
    """A command that nothing disturbs: its system calls, the links around it, and the target."""

    calls: list[Call]
    before: dict[str, str]
    wanted: dict[str, str]
    after: dict[str, object]


def reference(scenario: Scenario, place: Path) -> Reference:
    """Run a command undisturbed."""
    require_tool("strace")
    layout, words = scenario.prepare(place / "it")
    before = links(layout)
    calls = strace.calls(words, concerned(layout), place / "log")
    assert len(calls) > 10
    return Reference(calls, before, links(layout), shape(layout))


def is_between(now: dict[str, str], before: dict[str, str], after: dict[str, str]) -> bool:
    """Say whether each link is what it was or what it is to be; prepared ones do not count."""
    names = {name for name in now.keys() | before.keys() | after.keys() if name[0] != "."}
    return all(now.get(name) in (before.get(name), after.get(name)) for name in names)


def next_command(words: list[str], done: Ended) -> list[str]:
    """Return what one types next: the same again, unless it has said what it did."""
    return ["doctor", "--fix", *words[-2:]] if done.out else words
