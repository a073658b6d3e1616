"""Kill -9 before every system call of the installed commands; then the next command."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness import broken, strace
from harness.scenarios import (
    SCENARIOS,
    Reference,
    Scenario,
    concerned,
    is_between,
    links_of,
    reference,
    shape,
)
from harness.strace import Call
from program import run
from thorough import every


@pytest.mark.parametrize("name", SCENARIOS)
def test_whenever_it_is_killed_the_next_command_ends_it(name: str, tmp_path: Path) -> None:
    undisturbed = reference(SCENARIOS[name], tmp_path)
    kill(SCENARIOS[name], tmp_path, undisturbed, every(undisturbed.calls))


@pytest.mark.parametrize(
    ("variant", "before", "what"),
    [
        (broken.unlinks_and_links, "symlink", "neither before nor after"),
        (broken.writes_no_intent, "pwrite64", "not as if nothing had happened"),
        (broken.records_without_looking, "unlinkat", "an event is there twice"),
    ],
)
def test_it_would_be_noticed(
    variant: Callable[[], None], before: str, what: str, tmp_path: Path
) -> None:
    scenario = replace(SCENARIOS["promotion"], program=broken.program(variant))
    undisturbed = reference(scenario, tmp_path)
    calls = [call for call in undisturbed.calls if call.name == before]
    with pytest.raises(AssertionError, match=what):
        kill(scenario, tmp_path, undisturbed, calls)


def kill(scenario: Scenario, place: Path, undisturbed: Reference, calls: Sequence[Call]) -> None:
    """Kill a command before some of its system calls, each time in a target made anew."""
    for call in calls:
        layout, command = scenario.prepare(place / "it")
        done = strace.killed(command, concerned(layout), call)
        # How often a prune asks depends on what else runs: the last call may not come again.
        assert done.code == -9 or (done.code == 0 and call is calls[-1]), call
        whole = is_between(links_of(layout), undisturbed.before, undisturbed.wanted)
        assert whole, f"{call}: neither before nor after"
        run(scenario.next_command(layout, done))
        assert undisturbed.after == shape(layout), f"{call}: not as if nothing had happened"
