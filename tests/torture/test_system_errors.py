"""Every error from the system, at every call of every changing command."""

from itertools import cycle
from pathlib import Path

import pytest

import strace
from program import run_installed
from scenarios import SCENARIOS, concerned, is_between, next_command, reference, shape
from targets import links
from thorough import THOROUGH, every

ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "EINTR", "ESTALE", "ENOLCK")
# Its failure is nobody's: what is closed was written before.
WITHOUT_FAILURE = {"close"}


@pytest.mark.parametrize("name", SCENARIOS)
def test_whatever_fails_is_told_and_the_next_command_ends_it(name: str, tmp_path: Path) -> None:
    scenario = SCENARIOS[name]
    calls, before, wanted, after = reference(scenario, tmp_path)
    errors = cycle(ERRORS)
    for call in every([call for call in calls if call.name not in WITHOUT_FAILURE]):
        for error in ERRORS if THOROUGH else [next(errors)]:
            layout, words = scenario.prepare(tmp_path / "it")
            done = strace.failed(words, concerned(layout), call, error)
            assert done.code in (0, 1), (call, error, done)
            assert "defect of tierctl" not in done.err, (call, error, done)
            assert "Traceback" not in done.err, (call, error, done)
            assert is_between(links(layout), before, wanted), (call, error)
            run_installed(*next_command(words, done))
            # A full disk does not stop a rollback: it says that it is not in history.
            left_out = {"events"} if "is not in history" in done.err else set()
            assert _without(left_out, after) == _without(left_out, shape(layout)), (call, error)


def _without(names: set[str], shape: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in shape.items() if name not in names}
