"""Commands in targets that are made for them, and all that there is to compare afterwards."""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from harness import strace
from harness.strace import Call
from program import Ended, installed, run_installed
from targets import links, make_deployment, make_target, with_profiles
from tierctl.rotation.names import TIER_DIRECTORIES
from tierctl.target.paths import Layout, temporary

NUMBERS = range(1, 6)
# Commands that, typed again, do nothing that they have done.
REPEATABLE = ("bootstrap", "prune", "doctor")
TIERS = ("production", "staging", "blue", "green", "dev1")


def concerned(layout: Layout) -> list[str]:
    """Return the paths whose system calls count: the links, the records, their directories."""
    records = [layout.lock, layout.holder, layout.intent, layout.history]
    records += [layout.numbers, layout.using_cache]
    files = [*map(layout.within, TIERS), *records]
    deployments = [f"{layout.deployments}/{number}" for number in NUMBERS]
    return [
        layout.top,
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
        *_half_built(Layout(layout.half_built)),
    ]


def _half_built(work: Layout) -> list[str]:
    """Return the paths of what bootstrap builds before it has its name."""
    tier = work.within("deployments/1")
    files = ("etc/profile.sh", "meta/packages.json", "meta/deployment.json")
    return [
        os.path.dirname(work.infrastructure),
        work.infrastructure,
        *(work.control, work.lock, work.config, work.history, work.deployments),
        *map(work.within, TIERS),
        *(tier, *(f"{tier}/{name}" for name in (*TIER_DIRECTORIES, *files))),
        temporary(f"{tier}/meta/deployment.json"),
    ]


@dataclass(frozen=True)
class Scenario:
    """A command, in a target that is made for it; ``program`` is what runs it."""

    make: Callable[[Path], Layout]
    words: Callable[[Layout], list[str]]
    program: tuple[str, ...] = (installed(),)

    def prepare(self, place: Path) -> tuple[Layout, list[str]]:
        """Have the target as it was made; returns it and the command."""
        made = place.with_name("made")
        shutil.rmtree(place, ignore_errors=True)
        if not made.exists():
            place.mkdir()
            self.make(place)
            place.rename(made)
        shutil.copytree(made, place, symlinks=True)
        layout = Layout.of_target(str(place / "lab"))
        return layout, [*self.program, *self.words(layout)]

    def next_command(self, layout: Layout, done: Ended) -> list[str]:
        """Return what one types next: the same again, unless that would do more of what it did."""
        words = self.words(layout)
        if done.out and words[0] not in REPEATABLE:
            words = ["doctor", "--fix", "-t", layout.top]
        return [*self.program, *words]


def nothing(place: Path) -> Layout:
    return Layout.of_target(str(place / "lab"))


def two_deployments(place: Path) -> Layout:
    return make_target(place / "lab", green=1, blue=2)


def first(place: Path) -> Layout:
    return make_target(place / "lab", production=None, green=1, blue=2)


def promoted(place: Path) -> Layout:
    layout = two_deployments(place)
    assert 0 == run_installed("promote-staging", "-t", layout.top).code
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
    layout = with_profiles(promoted(place))
    make_deployment(layout, 3, finished=False)
    Path(layout.building(3)).touch()
    os.symlink("blue", temporary(layout.within("staging")))
    with open(layout.history, "a") as history:
        history.write('{"torn')
    return layout


def command(*words: str) -> Callable[[Layout], list[str]]:
    return lambda layout: [*words, "-t", layout.top]


def deploy(tier: str) -> Callable[[Layout], list[str]]:
    return lambda layout: [
        *("deploy", tier, "-t", layout.top),
        *("--definitions", str(Path(layout.top).parent / "definitions")),
    ]


SCENARIOS = {
    "bootstrap": Scenario(nothing, lambda layout: ["bootstrap", layout.top]),
    "promotion": Scenario(two_deployments, command("promote-staging")),
    "first promotion": Scenario(first, command("promote-staging")),
    "rollback": Scenario(promoted, command("rollback")),
    "rollback of a color": Scenario(with_a_newer_one, command("rollback")),
    "deploy that adopts": Scenario(by_hand, deploy("staging")),
    "deploy of a private tier": Scenario(by_hand, deploy("dev1")),
    "prune": Scenario(old_ones, command("prune", "--keep", "0", "--older-than", "0d")),
    "doctor": Scenario(interrupted, command("doctor", "--fix")),
}


def shape(layout: Layout) -> dict[str, Any]:
    """Return all that there is to compare of two targets, but for the numbers of deployments.

    A deploy that is killed when its deployment is finished leaves that; the next
    one builds another.
    """
    records = {name: layout.deployment_record(f"deployments/{name}") for name in _builds(layout)}
    found = {
        "links": links_of(layout),
        "events": _events(layout),
        "beside": sorted(os.listdir(layout.top)),
        "infrastructure": sorted(os.listdir(layout.infrastructure)),
        # Who holds the lock is for messages only: without it a change goes on.
        "control": {**_modes(layout.control), "holder.json": None},
        "tiers": {tier: _modes(layout.within(tier)) for tier in ("blue", "green", "dev1")},
        "profiles": {color: _profiles(layout.within(color)) for color in ("blue", "green")},
        "unfinished": [name for name, path in records.items() if not os.path.exists(path)],
        "going": [name for name in records if name.startswith(".")],
        "made": [name for name, path in records.items() if _is_made_here(path)],
    }
    return json.loads(re.sub(r'(deployments/|"adopted": )[0-9]+', r"\g<1>0", json.dumps(found)))


def without_build_locks(shape: dict[str, Any]) -> dict[str, Any]:
    """Leave out the lock of a build that is over, which the next deploy removes."""
    control = {name: mode for name, mode in shape["control"].items() if "building-" not in name}
    return shape | {"control": control}


def _builds(layout: Layout) -> list[str]:
    return sorted(os.listdir(layout.deployments)) if os.path.isdir(layout.deployments) else []


def _is_made_here(record: str) -> bool:
    return os.path.exists(record) and Path(record).read_text() == "{}\n"


def _events(layout: Layout) -> list[list[object]]:
    """Return the events: whole lines, since whatever was torn is to be mended by now."""
    if not os.path.exists(layout.history):
        return []
    events = [json.loads(line) for line in Path(layout.history).read_text().splitlines()]
    assert len({event["id"] for event in events}) == len(events), "an event is there twice"
    return [[event["kind"], event["before"], event["after"]] for event in events]


def _modes(top: str) -> dict[str, int]:
    """Return what stands below a directory, with its modes."""
    paths = sorted(Path(top).rglob("*"))
    return {str(path.relative_to(top)): path.lstat().st_mode for path in paths}


def _profiles(color: str) -> dict[str, str]:
    """Return what one sources in a plain directory; a deployment's says its number."""
    if os.path.islink(color):
        return {}
    return {path.name: path.read_text() for path in sorted(Path(color, "etc").glob("profile.*sh"))}


def links_of(layout: Layout) -> dict[str, str]:
    """Return what the links say; where there is no infrastructure, there are none."""
    return links(layout) if os.path.isdir(layout.infrastructure) else {}


class Reference(NamedTuple):
    """A command that nothing disturbs: its system calls, the links around it, and the target."""

    done: Ended
    calls: list[Call]
    before: dict[str, str]
    wanted: dict[str, str]
    after: dict[str, Any]


def reference(scenario: Scenario, place: Path) -> Reference:
    """Run a command undisturbed."""
    layout, typed = scenario.prepare(place / "it")
    before = links_of(layout)
    done, calls = strace.traced(typed, concerned(layout), place / "log")
    assert len(calls) > 10
    return Reference(done, calls, before, links_of(layout), shape(layout))


def is_between(
    now: dict[str, str], before: dict[str, str], after: dict[str, str], *, exchanged: bool = True
) -> bool:
    """Say whether links that are looked at between two states are whole.

    Each is what it was or what it is to be, none of them is missing, production
    and staging are two (unless they are not exchanged, but replaced), and a new
    target has all of its links or none. Prepared ones do not count.
    """
    now = {name: text for name, text in now.items() if name[0] != "."}
    names = now.keys() | before.keys() | after.keys()
    tiers = [now[tier] for tier in ("production", "staging") if tier in now]
    return (
        all(now.get(name) in (before.get(name), after.get(name)) for name in names)
        and (before.keys() & after.keys()) <= now.keys()
        and (not exchanged or len(set(tiers)) == len(tiers))
        and (bool(before) or now in ({}, after))
    )
