"""What the filesystem can do, tried out in a scratch directory of ``.tierctl``."""

from __future__ import annotations

from collections.abc import Iterator

from tierctl.doctor import mount
from tierctl.doctor.finding import Finding, fine, note, problem
from tierctl.doctor.scratch import SUBJECT, InUse, can_be_had, scratch, trying_failed
from tierctl.fs.protocol import (
    ExchangeUnsupported,
    LockTimeout,
    LockUnavailable,
    exists,
)
from tierctl.target.target import Target
from tierctl.text import shown

_ONE_STEP = "the links are swapped in one step: no reader finds one missing, or both on one color"
_TWO_STEPS = "the links are replaced one right after the other: no reader finds one missing"
_AN_INSTANT = (
    "For an instant, and on other NFS clients as long as they cache, a reader may see one moved "
    "and the other not. Where colors are deployments that is harmless."
)


def examine(target: Target, *, probe: bool) -> Iterator[Finding]:
    """Yield what this target guarantees on this host."""
    yield from mount.examine(target)
    if not probe or not exists(target.fs, target.control):
        foretold = _ONE_STEP if target.fs.can_exchange(target.infrastructure) else _TWO_STEPS
        yield note(SUBJECT, f"not tried out, by the type of the filesystem {foretold}")
    elif not can_be_had(target):
        yield note(SUBJECT, f"not tried out: no permission to write to {shown(target.control)}")
    else:
        try:
            yield from _tried(target)
        except InUse:
            yield note(
                SUBJECT,
                "not tried out: another doctor is at work",
                advice="Look again:",
                command="doctor",
            )
        except OSError as error:
            yield trying_failed(target, error)


def _tried(target: Target) -> Iterator[Finding]:
    with scratch(target) as no_locks:
        yield from _exchange(target)
        yield _lock(target) if no_locks is None else _unlockable(no_locks)


def _exchange(target: Target) -> Iterator[Finding]:
    one, two = (f"{target.scratch}/{name}" for name in ("one", "two"))
    target.fs.make_link(one, "1")
    target.fs.make_link(two, "2")
    try:
        target.fs.exchange(one, two)
        swapped = (target.fs.read_link(one), target.fs.read_link(two)) == ("2", "1")
    except ExchangeUnsupported:
        swapped = False
    target.fs.rename(one, two)
    target.fs.sync(target.scratch)
    yield fine(SUBJECT, _ONE_STEP) if swapped else note(SUBJECT, _TWO_STEPS, _AN_INSTANT)
    if target.fs.can_exchange(target.infrastructure) is not swapped:
        yield note(
            SUBJECT,
            f"by the filesystem's type {'two steps were' if swapped else 'one step was'} expected",
            "A dry run foretells other steps than a change takes here.",
        )


def _lock(target: Target) -> Finding:
    path = f"{target.scratch}/lock"
    try:
        # It is held already; twice, since another doctor may have put a new one in its place.
        with (
            target.fs.lock(path, mode=0o600, timeout=0),
            target.fs.lock(path, mode=0o600, timeout=0),
        ):
            return problem(
                SUBJECT,
                "locks lock nobody out here",
                "Two changes at once could mix.",
                "Mount it with locks that work, or let one person at a time make changes.",
            )
    except LockTimeout:
        return fine(SUBJECT, "a lock that is held locks out others")
    except LockUnavailable as error:
        return _unlockable(error)


def _unlockable(error: LockUnavailable) -> Finding:
    return problem(
        SUBJECT,
        f"there are no locks here: {error.strerror}",
        "Changes are refused: two at once could mix.",
        "Mount it with locks (Lustre: -o flock; NFS: a running lock service).",
    )
