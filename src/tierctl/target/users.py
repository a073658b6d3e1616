"""Who is at work, as events name them."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from typing import NamedTuple


class Author(NamedTuple):
    """Who makes a change, where, and why."""

    user: str
    host: str
    reason: str = ""


def current(environment: Mapping[str, str], reason: str = "") -> Author:
    """Return the caller, on this host, with the reason they give.

    For root the person behind sudo is named too, as sudo tells it: a help for
    colleagues, proof of nothing.
    """
    user = user_name(os.geteuid())
    behind = environment.get("SUDO_USER", "")
    if os.geteuid() == 0 and behind not in ("", user):
        user = f"{behind} as {user}"
    return Author(_decodable(user), _decodable(os.uname().nodename), _decodable(reason))


def user_name(uid: int) -> str:
    """Return the name of a user, or the number of one that this host does not know."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _decodable(text: str) -> str:
    r"""Return text that every reader of JSON takes: an undecodable byte as ``\xff``."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")
