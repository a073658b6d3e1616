"""Every error from the system, at every call of every changing command."""

import errno
import os
from collections.abc import Iterable
from dataclasses import replace
from itertools import cycle
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
    without_build_locks,
)
from harness.strace import Call
from harness.words import require_words
from program import Ended, run
from thorough import THOROUGH, every

ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "EINTR", "ESTALE", "ENOLCK")
# Its failure is nobody's: what is closed was written before.
WITHOUT_FAILURE = {"close"}
# What fails while it looks around may not matter; but nothing that changes something may fail in
# silence, except to write down who holds the lock, which is for messages only, to take something
# apart that is gone in the end all the same, to remove a build's lock, to ask who holds one, or to
# try out what a filesystem can do, which a doctor does anew after its repairs.
DISPENSABLE = ("holder.json", ".going", "building-", "F_OFD_GETLK", '"scratch"')
# What it takes to note an intent: the file, and its name.
NOTE = ("intent.json", ".tierctl>)")


@pytest.mark.parametrize("name", SCENARIOS)
def test_whatever_fails_is_told_and_the_next_command_ends_it(name: str, tmp_path: Path) -> None:
    undisturbed = reference(SCENARIOS[name], tmp_path)
    calls = every([call for call in undisturbed.calls if call.name not in WITHOUT_FAILURE])
    errors = cycle(ERRORS)
    cases = [(call, error) for call in calls for error in (ERRORS if THOROUGH else [next(errors)])]
    fail(SCENARIOS[name], tmp_path, undisturbed, cases)


def test_it_would_be_noticed_if_nothing_were_said(tmp_path: Path) -> None:
    scenario = replace(SCENARIOS["promotion"], program=broken.program(broken.passes_over_errors))
    undisturbed = reference(scenario, tmp_path)
    cases = [(call, "EIO") for call in undisturbed.calls if call.name == "fsync"]
    with pytest.raises(AssertionError, match="fails in silence"):
        fail(scenario, tmp_path, undisturbed, cases)


def fail(
    scenario: Scenario, place: Path, undisturbed: Reference, cases: Iterable[tuple[Call, str]]
) -> None:
    """Have system calls of a command fail, each time in a target made anew."""
    for call, error in cases:
        layout, command = scenario.prepare(place / "it")
        done = strace.failed(command, concerned(layout), call, error)
        case = f"{call}: {error}: {done}"
        assert done.code in (0, 1), case
        require_words(done, [error], layout.top, case)
        assert is_between(links_of(layout), undisturbed.before, undisturbed.wanted), case
        # A full disk does not stop a rollback: it says that it is not in history.
        left_out = {"events"} if "is not in history" in done.err else set()
        wanted = _without(left_out, undisturbed.after)
        if is_silent(done, error):
            assert may_be_silent(call, error), f"fails in silence: {case}"
        # What the caller may not look at is somebody else's, and stays.
        if is_silent(done, error) and error != "EACCES":
            assert wanted == _without(left_out, without_build_locks(shape(layout))), case
        run(scenario.next_command(layout, done))
        assert wanted == _without(left_out, shape(layout)), case


def is_silent(done: Ended, error: str) -> bool:
    return done.code == 0 and os.strerror(getattr(errno, error)) not in done.err + done.out


OTHER_WAYS = {("fcntl", "EACCES"), ("renameat2", "EACCES"), ("renameat2", "EPERM")}


def may_be_silent(call: Call, error: str) -> bool:
    """Say whether a failure may leave no trace.

    An interrupted call is made again, and so is one for a lock that somebody else holds. What a
    seccomp filter may forbid, the exchange of two names, is done in another way. On a
    full disk a rollback needs no note of what it is about to do.
    """
    is_made_again = error == "EINTR" or (call.name, error) in OTHER_WAYS
    is_dispensable = any(name in call.text for name in DISPENSABLE)
    is_note = error in ("ENOSPC", "EDQUOT") and any(name in call.text for name in NOTE)
    return is_made_again or is_note or is_dispensable or call.name not in strace.CHANGING


def _without(names: set[str], shape: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in shape.items() if name not in names}
