"""A directory to try things out in, for one doctor at a time."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from tierctl.doctor.finding import Finding, problem
from tierctl.fs.protocol import Kind, LockTimeout, LockUnavailable, exists
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.text import shown

SUBJECT = "guarantee"
# What is made in it, and the lock that whoever is at work there holds.
_MADE = ("one", "two", "now")
_LOCK = "lock"
# No doctor takes longer, where its lock does not tell.
_LONGEST_SECONDS = 60.0


class InUse(OSError):
    """Another doctor is trying things out just now."""


def can_be_had(target: Target) -> bool:
    """Say whether the caller may have a scratch directory."""
    return exists(target.fs, target.control) and target.fs.is_writable(target.control)


@contextmanager
def scratch(target: Target) -> Iterator[LockUnavailable | None]:
    """Have an empty scratch directory, and none afterwards; raises ``InUse``.

    The lock in it is held meanwhile; where there are no locks, the error that
    says so is the context's value.
    """
    if _is_busy(target):
        raise InUse
    _make(target)
    with ExitStack() as held:
        # Not before the lock is free: NFS and FUSE keep a removed file that is still open.
        held.callback(_leave, target)
        try:
            refusal = _hold(target, held)
        except InUse:
            held.pop_all()  # the directory is another doctor's
            raise
        held.callback(_remove_files, target, _MADE)
        try:
            yield refusal
        except (FileExistsError, FileNotFoundError) as error:  # nobody else makes or removes these
            raise InUse from error


def clear(target: Target) -> None:
    """Remove the scratch directory, if there is one, and what is made in it.

    No more than that: whoever shares the target can put a link in its place, to
    a directory full of files.
    """
    with suppress(FileNotFoundError):
        if target.fs.entry(target.scratch).kind is Kind.DIRECTORY:
            _remove_files(target, (*_MADE, _LOCK))
        target.fs.remove(target.scratch)


def is_left_over(target: Target) -> bool:
    """Say whether there is a scratch directory that no doctor is using."""
    return all(_looks_left_over(target) for _ in range(2))  # one may begin or end in between


def trying_failed(layout: Layout, error: OSError) -> Finding:
    """Return the finding that an error stood in the way of trying something out."""
    # All of it is tried in there; told by its files, a full disk would be several findings.
    return problem(
        SUBJECT,
        f"trying it out failed: {shown(layout.scratch)}: {error.strerror or error}",
        "What fails here can fail in a change too.",
        "Fix that, then look again:",
        "doctor",
    )


def _looks_left_over(target: Target) -> bool:
    if not exists(target.fs, target.scratch):
        return False
    # A doctor that has just made it, or is just removing it, has no more in it than the lock.
    just_made = _names(target) <= {_LOCK} and not _is_old(target)
    return not just_made and not _is_busy(target)


def _make(target: Target) -> None:
    try:
        clear(target)
        target.fs.make_directory(target.scratch, 0o700)
    except (FileExistsError, FileNotFoundError) as error:
        raise InUse from error
    except OSError as error:
        if error.errno == errno.ENOTEMPTY and _names(target) <= {*_MADE, _LOCK}:
            raise InUse from error
        raise


def _leave(target: Target) -> None:
    try:
        clear(target)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:  # another doctor has moved in already
            raise


def _remove_files(target: Target, names: tuple[str, ...]) -> None:
    for name in names:
        with suppress(FileNotFoundError):
            target.fs.remove(f"{target.scratch}/{name}")


def _hold(target: Target, held: ExitStack) -> LockUnavailable | None:
    try:
        held.enter_context(target.fs.lock(f"{target.scratch}/{_LOCK}", mode=0o600, timeout=0))
    except LockUnavailable as error:
        return error
    except (LockTimeout, FileNotFoundError) as error:  # taken for a leftover by another doctor
        raise InUse from error
    return None


def _is_busy(target: Target) -> bool:
    # Twice: another doctor may be between making a file and locking it.
    return any(_names(target) and _is_locked(target) for _ in range(2))


def _is_locked(target: Target) -> bool:
    try:
        return target.fs.is_locked(f"{target.scratch}/{_LOCK}")
    except PermissionError:  # it is another user's, who may be at work
        return not _is_old(target)
    except OSError:
        return False


def _is_old(target: Target) -> bool:
    try:
        modified = target.fs.entry(target.scratch).modified
    except FileNotFoundError:
        return False
    return abs(time.time() - modified) > _LONGEST_SECONDS


def _names(target: Target) -> set[str]:
    """Return what is in the scratch directory; something if the caller may not look."""
    try:
        return set(target.fs.names(target.scratch))
    except FileNotFoundError:
        return set()
    except OSError:  # no directory, or another user's
        return {"?"}
