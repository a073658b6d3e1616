"""The group that shares a target."""

from __future__ import annotations

import grp
import os
import pwd
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


def is_member(uid: int, gid: int) -> bool:
    """Say whether a user is in a group, as far as this host knows both."""
    try:
        user = pwd.getpwuid(uid)
        return gid in os.getgrouplist(user.pw_name, user.pw_gid)
    except (KeyError, OSError):
        return False


def is_private(gid: int, uid: int) -> bool:
    """Say whether a group is the one that a user has alone: named as the user, with no others."""
    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    is_own = (user.pw_gid, user.pw_name) == (group.gr_gid, group.gr_name)
    return is_own and set(group.gr_mem) <= {user.pw_name}


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
