"""The group that shares a target."""

from __future__ import annotations

import grp
import os
from typing import NamedTuple

from tierctl.errors import NoSuchGroup
from tierctl.text import shown


class Group(NamedTuple):
    """A group of this host."""

    name: str
    gid: int


def group_name(gid: int) -> str:
    """Return the name of a group, or the number of one that this host does not know."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def find(name: str) -> Group:
    """Return a group that the caller may give things to; raises ``NoSuchGroup``."""
    try:
        gid = grp.getgrnam(name).gr_gid
    except (KeyError, ValueError) as error:
        raise NoSuchGroup(
            f"this host knows no group {shown(name)}", "See the groups you are in: id"
        ) from error
    if os.geteuid() != 0 and gid not in (os.getegid(), *os.getgroups()):
        raise NoSuchGroup(
            f"you are not in the group {shown(name)}", "See the groups you are in: id"
        )
    return Group(name, gid)
