"""Everything that tierctl refuses or fails at, one class a condition.

An error says what is wrong and which path (``message``) and what to type next
(``hint``, which ends in ``command`` if that is a command of tierctl); ``code``
is its name in JSON documents. Turning an error into text and an exit code
happens in one place, ``tierctl.cli.main``.
"""

from __future__ import annotations

import os
from typing import ClassVar

from tierctl.text import shown


def cause_of(error: OSError) -> str:
    """Return what the system said, and of which path."""
    reason = error.strerror or str(error)
    if not isinstance(error.filename, (str, bytes)):  # none, or a descriptor
        return reason
    return f"{shown(os.fsdecode(error.filename))}: {reason}"


class TierctlError(Exception):
    """The base of all errors that are shown to people."""

    code: ClassVar[str] = "failed"

    def __init__(self, message: str, hint: str = "", command: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.command = command


# Finding the target


class NoTarget(TierctlError):
    """Nothing says which target is meant."""

    code = "no-target"

    def __init__(self, variable: str, definitions: str) -> None:
        super().__init__(
            f"which target? IAC_TIER_DIR is {variable}, and {definitions}",
            "Load a tier (source .../production/etc/profile.sh), or give --target DIR.",
        )


class NotATarget(TierctlError):
    """A directory was named as target that holds no infrastructure."""

    code = "not-a-target"

    def __init__(self, source: str, path: str, reason: str, hint: str = "") -> None:
        super().__init__(
            f"{source}: {shown(path) or repr('')} {reason}",
            hint
            or "Give the directory that was given to bootstrap with --target DIR, "
            "or create one with: tierctl bootstrap DIR",
        )
        self.path = path


class AmbiguousTarget(TierctlError):
    """The environment and tierctl.toml name different targets."""

    code = "ambiguous-target"

    def __init__(self, from_environment: str, from_file: str) -> None:
        super().__init__(
            f"IAC_TIER_DIR means {shown(from_environment)}, "
            f"but tierctl.toml means {shown(from_file)}",
            "Say which one with --target DIR.",
        )


class NoDefinitions(TierctlError):
    """There are no definitions where deploy was called."""

    code = "no-definitions"

    def __init__(self, directory: str) -> None:
        super().__init__(
            f"no definitions in {shown(directory)}: neither tierctl.toml, here or above, "
            "nor environments/ or tier/",
            "Change to the directory that holds them, or name it with --definitions DIR.",
        )


class BadFile(TierctlError):
    """A file that tierctl reads does not hold what it should."""

    code = "bad-file"

    def __init__(self, path: str, reason: str, hint: str = "", command: str = "") -> None:
        super().__init__(f"{shown(path)}: {reason}", hint, command)
        self.path = path


class NewerVersion(BadFile):
    """A record that a newer tierctl has written; some keep this one from making changes."""

    code = "newer-version"

    def __init__(self, path: str, how: str, *, stops_changes: bool) -> None:
        until = " Until then no change is made by this one." if stops_changes else ""
        super().__init__(
            path,
            f"written by a newer tierctl than this one ({how})",
            "Update tierctl here, or run the command where the newer one is installed." + until,
        )


class Untrusted(TierctlError):
    """A file that others could have written."""

    code = "untrusted"

    def __init__(self, path: str, reason: str, hint: str = "") -> None:
        super().__init__(
            f"not trusted: {shown(path)} {reason}",
            hint
            or "It has to belong to root, to you, to the infrastructure's owner or to a member of "
            "its group, and be writable by nobody else. See what is wrong:",
            "" if hint else "doctor",
        )
        self.path = path


class InvalidTargetPath(TierctlError):
    """A path at which no target can live."""

    code = "invalid-target-path"


# What the links say


class InvalidLink(TierctlError):
    """A tier or color is not what it has to be."""

    code = "invalid-link"

    def __init__(self, path: str, reason: str, hint: str = "") -> None:
        super().__init__(
            f"{shown(path)} {reason}", hint or "See what is wrong:", "" if hint else "doctor"
        )
        self.path = path


class SameColor(TierctlError):
    """Production and staging point to one color."""

    code = "same-color"

    def __init__(self, color: str) -> None:
        super().__init__(
            f"production and staging point to the same color: {color}",
            "Point staging to the other color, then try again.",
        )
        self.color = color


# Refusals


class Guarded(TierctlError):
    """A guard of the rotation says no; ``--force`` passes it."""

    code = "guarded"


class WrongColor(TierctlError):
    """``--to`` names a color that is not staging's."""

    code = "wrong-color"


class NothingToRollBackTo(TierctlError):
    """Rollback has nowhere to go."""

    code = "nothing-to-roll-back-to"


class EmptiesProduction(TierctlError):
    """A rollback leads to the empty tier; ``--to`` says that this is meant."""

    code = "empties-production"


class Refused(TierctlError):
    """What was asked for is never done, whatever the options."""

    code = "refused"


class NoSuchEvent(TierctlError):
    """No event has this id, or several begin with it."""

    code = "no-such-event"


class NoSuchTier(TierctlError):
    """A name that is no tier of this target."""

    code = "no-such-tier"


class CannotRun(TierctlError):
    """What it takes to run a command in a tier is missing."""

    code = "cannot-run"


class Exists(TierctlError):
    """Something is there already, in the place of what was to be made."""

    code = "exists"


class NoSuchGroup(TierctlError):
    """A group that this host does not know, or the caller is not in."""

    code = "no-such-group"


class NotWritable(TierctlError):
    """The caller may not change this infrastructure."""

    code = "not-writable"

    def __init__(self, path: str, why: str) -> None:
        super().__init__(
            f"no permission to write to {shown(path)}: {shown(why)}",
            "Ask the owner to run this, or to give you write access.",
        )
        self.path = path


class Locked(TierctlError):
    """Somebody else is changing the target."""

    code = "locked"

    def __init__(self, holder: str, seconds: float, hint: str = "", more: str = "") -> None:
        again = "Try again when that has finished, or wait longer with --lock-timeout SECONDS."
        super().__init__(
            f"the target is locked by {holder}; waited {seconds:g} s",
            f"{hint or again}\n{more}".rstrip(),
        )


class LockLost(TierctlError):
    """A server that did not hear of this host for long has given the lock to another one."""

    code = "lock-lost"

    def __init__(self, what: str, holder: str) -> None:
        super().__init__(
            f"{what}: this host was cut off from the server for so long that it gave the lock to "
            f"{holder}",
            "See what is served now, before you run the command again:",
            "status",
        )


class UnsuitableFilesystem(TierctlError):
    """No target can live on a filesystem, or the caller cannot own one there."""

    code = "unsuitable-filesystem"

    def __init__(self, path: str, reason: str, hint: str = "") -> None:
        super().__init__(
            f"no target can be made in {shown(path)}: {shown(reason)}",
            hint or "Choose a directory on another filesystem.",
        )
        self.path = path


class LocksUnsupported(TierctlError):
    """The filesystem cannot lock."""

    code = "locks-unsupported"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"this filesystem cannot lock {shown(path)}: {reason}",
            "Without a lock two changes could mix. Mount it with locks "
            "(Lustre: -o flock; NFS: a running lock service).",
        )


# Failures on the way


class Interrupted(TierctlError):
    """An unfinished change fits neither the state before it nor the one after."""

    code = "unfinished-change"

    def __init__(self, what: str, why: str, intended: str, found: str, served: str) -> None:
        super().__init__(
            f"{what} is unfinished, and {why}:\n"
            f"  intended: {intended}\n  found:    {found}\n  production serves {served} now",
            "Look at the links; then drop the unfinished change with:",
            "doctor --fix",
        )


class ChangeFailed(TierctlError):
    """A change failed and everything is as it was before."""

    code = "nothing-changed"

    def __init__(self, what: str, cause: str) -> None:
        super().__init__(f"{what} failed, nothing was changed: {cause}", "Fix that and try again.")


class ChangeUnfinished(TierctlError):
    """A change failed half way; the next command finishes it."""

    code = "unfinished"

    def __init__(self, what: str, how_far: str, cause: str) -> None:
        super().__init__(
            f"{what}: {how_far}: {cause}",
            "Fix that and run the command again: it finishes this change and does nothing else.",
        )
