"""Kill -9 before every system call of the installed commands; then the next command."""

from pathlib import Path

import pytest

import strace
from program import run_installed
from scenarios import SCENARIOS, concerned, is_between, next_command, reference, shape
from targets import links
from thorough import every


@pytest.mark.parametrize("name", SCENARIOS)
def test_whenever_it_is_killed_the_next_command_ends_it(name: str, tmp_path: Path) -> None:
    scenario = SCENARIOS[name]
    calls, before, wanted, after = reference(scenario, tmp_path)
    for call in every(calls):
        layout, words = scenario.prepare(tmp_path / "it")
        done = strace.killed(words, concerned(layout), call)
        assert -9 == done.code, call
        assert is_between(links(layout), before, wanted), call
        run_installed(*next_command(words, done))
        assert after == shape(layout), call
