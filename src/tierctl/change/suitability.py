"""What a target needs of its filesystem, tried out where bootstrap has begun to build it.

Whatever is made to try it out is what the infrastructure needs anyway, or takes the
place of that: a killed bootstrap leaves nothing that the next one does not go on with.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from tierctl.errors import NoSuchGroup, TierctlError, UnsuitableFilesystem, cause_of
from tierctl.fs import mounts
from tierctl.rotation.names import STAGING
from tierctl.target.groups import Group, group_name
from tierctl.target.paths import Layout, temporary
from tierctl.target.target import Target
from tierctl.target.users import user_name
from tierctl.text import shown

_OF_THE_KERNEL = {"bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "efivarfs"}
_OF_THE_KERNEL |= {"mqueue", "proc", "pstore", "securityfs", "sysfs", "tracefs"}
# A system call says one of these if the filesystem does not know what it is asked for.
_UNKNOWN = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
# Making a directory and setting its mode says one of these if modes cannot be set.
_CANNOT_SET_MODE = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP)
# chown(2) says one of these of a group that the caller cannot give, or that has no number here.
_CANNOT_GIVE = (errno.EPERM, errno.EINVAL)
_AS_THE_OWNER = "Run bootstrap as the user who is to own the target."


def require_real_links(target: str) -> None:
    """Raise ``UnsuitableFilesystem`` if other hosts would not see the symlinks of a target.

    With mfsymlinks a client of an SMB server makes a file and shows it as a symlink.
    """
    mount = mounts.find(target)
    if mount is not None and "mfsymlinks" in mount.options:
        reason = f"symlinks {_there(target)} are plain files to the server (mfsymlinks)"
        raise UnsuitableFilesystem(target, reason)


def require_files(target: str) -> None:
    """Raise ``UnsuitableFilesystem`` where the kernel shows itself, and nobody keeps files."""
    mount = mounts.find(target)
    if mount is not None and mount.type in _OF_THE_KERNEL:
        reason = f"{mount.type}, mounted on {mount.point}, shows the kernel and keeps no files"
        raise UnsuitableFilesystem(target, reason)


def require_own(target: Target, group: Group | None) -> None:
    """Raise ``UnsuitableFilesystem`` if what was made for the caller is another's, or open to all.

    That is the directory in which the infrastructure is built, which is closed to
    others, and ``.tierctl`` in it, which is not.
    """
    work = Layout(target.half_built)
    closed, opened = target.fs.entry(work.infrastructure), target.fs.entry(work.control)
    if closed.uid != os.geteuid():
        raise _not_ones_own(target.top, closed.uid)
    is_open_to_a_group = group is None and closed.group_writes
    if is_open_to_a_group or closed.others_write or opened.others_write:
        reason = f"permissions are not kept {_there(target.top)}"
        raise UnsuitableFilesystem(target.top, f"{reason}: others can write what one makes")


def require_links(target: Target, text: str) -> None:
    """Make staging's link with a text; raise ``UnsuitableFilesystem`` if there are no symlinks.

    Another bootstrap can have made the link already.
    """
    link = Layout(target.half_built).within(STAGING)
    try:
        with suppress(FileExistsError):
            target.fs.make_link(link, text)
        is_link = target.fs.read_link(link) == text
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
        is_link = False
    if not is_link:
        raise UnsuitableFilesystem(target.top, f"there are no symlinks {_there(target.top)}")


def require_given(target: Target, group: Group) -> None:
    """Raise ``NoSuchGroup`` if a group did not get what was made for it.

    Some filesystems take chown(2) and chmod(2) and do nothing.
    """
    opened = target.fs.entry(Layout(target.half_built).control)
    if opened.gid != group.gid:
        raise _cannot_give(group, f"it stays with the group {group_name(opened.gid)}")
    if not opened.group_writes:
        raise _cannot_give(group, "it gets no permission to write")


def require_replaceable_links(target: Target) -> None:
    """Raise ``UnsuitableFilesystem`` if a prepared link cannot take the place of staging's.

    The caller holds the lock, and has made the prepared one.
    """
    link = Layout(target.half_built).within(STAGING)
    try:
        target.fs.rename(temporary(link), link)
    except OSError as error:
        if error.errno not in (*_UNKNOWN, errno.EEXIST):
            raise
        reason = f"a rename does not replace a symlink {_there(target.top)}"
        raise UnsuitableFilesystem(target.top, f"{reason}: {error.strerror}") from error


def refusal(layout: Layout, group: Group | None, error: OSError) -> TierctlError | None:
    """Return the error to show if the system refused a directory's group or mode, else None."""
    if group is not None and error.errno in _CANNOT_GIVE:
        if os.geteuid() == 0 and _is_nfs(layout.top):
            reason = f"root cannot give things to the group {group.name} {_there(layout.top)}"
            return _squashed(layout.top, reason)
        return _cannot_give(group, cause_of(error))
    if group is None and error.errno in _CANNOT_SET_MODE:
        reason = f"permissions cannot be set {_there(layout.top)}: {error.strerror}"
        return UnsuitableFilesystem(layout.top, reason)
    return None


def _not_ones_own(target: str, uid: int) -> UnsuitableFilesystem:
    reason = f"what {user_name(os.geteuid())} makes {_there(target)} belongs to {user_name(uid)}"
    if os.geteuid() == 0:
        return _squashed(target, reason)
    if _is_nfs(target):
        reason += ": the NFS server does not keep who makes something, as with all_squash"
    return UnsuitableFilesystem(target, reason)


def _squashed(target: str, reason: str) -> UnsuitableFilesystem:
    if _is_nfs(target):
        reason += ": the NFS server takes root for another user (root_squash)"
    return UnsuitableFilesystem(target, reason, _AS_THE_OWNER)


def _cannot_give(group: Group, cause: str) -> NoSuchGroup:
    return NoSuchGroup(
        f"nothing can be given to the group {shown(group.name)} here: {cause}",
        "Choose another group or another directory, or leave out --group.",
    )


def _there(target: str) -> str:
    """Return words for a place, with the type of its filesystem and where that is mounted."""
    mount = mounts.find(target)
    return "there" if mount is None else f"there ({mount.type}, mounted on {mount.point})"


def _is_nfs(target: str) -> bool:
    mount = mounts.find(target)
    return mount is not None and mount.is_nfs
