"""What doctor finds: how bad it is, what it means, what to do, and what it can do itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """How bad a finding is."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


class Remedy(Enum):
    """What ``doctor --fix`` does about a finding."""

    FINISH_CHANGE = "finish the interrupted change"
    DROP_INTENT = "drop the interrupted change"
    CUT_HISTORY = "cut off the torn line"
    REMOVE_LEFTOVER = "remove it"
    REMOVE_BUILDS = "remove what interrupted deploys left"
    CLOSE_LOCK = "close the lock to others"
    SHARE = "give it to the group"


@dataclass(frozen=True)
class Finding:
    """Something to say of a target.

    ``advice`` is what to do next; it ends in ``command`` if that is a command of
    tierctl. ``path`` is what a remedy works on.
    """

    severity: Severity
    subject: str
    text: str
    meaning: str = ""
    advice: str = ""
    command: str = ""
    remedy: Remedy | None = None
    path: str = ""


def fine(subject: str, text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(Severity.OK, subject, text)


def note(
    subject: str,
    text: str,
    meaning: str = "",
    advice: str = "",
    command: str = "",
    remedy: Remedy | None = None,
) -> Finding:
    """Return a finding that is worth knowing."""
    return Finding(Severity.NOTE, subject, text, meaning, advice, command, remedy)


def problem(
    subject: str,
    text: str,
    meaning: str = "",
    advice: str = "",
    command: str = "",
    remedy: Remedy | None = None,
    path: str = "",
) -> Finding:
    """Return a finding that something is wrong."""
    if remedy is not None:
        advice, command = advice or f"To {remedy.value}:", "doctor --fix"
    return Finding(Severity.PROBLEM, subject, text, meaning, advice, command, remedy, path)
