"""What the mount under a path promises: its type and options, from mountinfo(5)."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

# Measured to swap two names in one step (see docs/guarantees.md).
_EXCHANGING = frozenset(
    {
        "apfs",
        "btrfs",
        "ext2",
        "ext3",
        "ext4",
        "f2fs",
        "fuse.fuse-overlayfs",
        "fuse.gocryptfs",
        "overlay",
        "ramfs",
        "tmpfs",
        "xfs",
    }
)
# Those that are on no block device, and that no other host changes all the same. What FUSE shows
# may come from anywhere.
_LOCAL = frozenset({"btrfs", "overlay", "ramfs", "tmpfs", "zfs"})
# ZFS does since 2.2.
_ZFS_VERSION = "/sys/module/zfs/version"
# Options under which a lock is taken without a word and locks out no other host.
_LOCAL_LOCKS = ("nolock", "localflock", "local_lock=all", "local_lock=posix")
# For how many seconds an NFS client believes what it knows of a directory, at first and at most:
# mountinfo shows only what is otherwise.
_DIRECTORY_CACHE = {"acdirmin": 30, "acdirmax": 60}
_NO_NAME_CACHE = ("noac", "lookupcache=none")


class Limit(NamedTuple):
    """For how many seconds something can last, and the option that says so."""

    seconds: int
    option: str


class Mount(NamedTuple):
    """A mounted filesystem."""

    type: str
    point: str
    options: tuple[str, ...]

    @property
    def is_local(self) -> bool:
        """Whether no other host can change what is on it."""
        return self.type in _LOCAL

    @property
    def is_nfs(self) -> bool:
        """Whether it is NFS, of any version."""
        return self.type in ("nfs", "nfs4")

    @property
    def lists_objects(self) -> bool:
        """Whether a listing brings what the server knows of each object, as READDIRPLUS does."""
        return self.is_nfs and "nordirplus" not in self.options

    @property
    def opens_from_cache(self) -> bool:
        """Whether files and directories are opened without asking the server."""
        return "nocto" in self.options

    @property
    def locks_on_this_host_only(self) -> str | None:
        """The option that keeps locks from other hosts, if there is one."""
        return next((option for option in self.options if option in _LOCAL_LOCKS), None)

    @property
    def may_lack_locks(self) -> bool:
        """Whether it is a Lustre that was not asked for locks; not all versions have them then."""
        return self.type == "lustre" and not {"flock", "localflock"} & set(self.options)

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be written."""
        return "ro" in self.options

    @property
    def runs_nothing(self) -> bool:
        """Whether no program on it can be started."""
        return "noexec" in self.options

    @property
    def name_cache(self) -> Limit:
        """How long an NFS client finds by a name what another client has replaced."""
        for option in _NO_NAME_CACHE:
            if option in self.options:
                return Limit(0, option)
        limits = [self._limit(name, default) for name, default in _DIRECTORY_CACHE.items()]
        return max(limits, key=lambda limit: limit.seconds)

    def _limit(self, name: str, default: int) -> Limit:
        value = self.value(name)
        if value is None:
            return Limit(default, f"{name}={default}, the default")
        return Limit(int(value), f"{name}={value}")

    def value(self, name: str) -> str | None:
        """Return what an option is set to, or None."""
        values = (option.partition("=") for option in self.options)
        return next((value for each, _, value in values if each == name), None)


class Shown(NamedTuple):
    """What a mount shows, and where: the directory ``root`` of a device, at ``point``."""

    device: str
    root: str
    point: str


def table(path: str = "/proc/self/mountinfo") -> list[Shown]:
    """Return what the mounts of a namespace show; nothing where the system does not tell."""
    return [_shown(line) for line in _lines(path)]


def shown_at(path: str) -> Shown | None:
    """Return what is shown at a path that no symlink leads to: there ``point`` is the path."""
    number = _number_of_mount(path)
    for line in _lines("/proc/self/mountinfo"):
        mount = _shown(line)
        if line.partition(b" ")[0] == number and _holds(mount.point, path):
            below = path[len(mount.point.rstrip("/")) :]
            return Shown(mount.device, f"{mount.root.rstrip('/')}{below}", path)
    return None


def _lines(table: str) -> list[bytes]:
    try:
        with open(table, "rb") as file:
            return [line for line in file.read().split(b"\n") if b" - " in line]
    except OSError:
        return []


def _shown(line: bytes) -> Shown:
    device, root, point = line.split(b" ")[2:5]
    root, point = map(_unescaped, (root, point))
    return Shown(*map(os.fsdecode, (device, root, point)))


def find(path: str, table: str = "/proc/self/mountinfo") -> Mount | None:
    """Return the mount that holds ``path``, or None where the system does not tell."""
    lines, path = _lines(table), os.path.realpath(path)
    number = _number_of_mount(path)
    known = [line for line in lines if line.partition(b" ")[0] == number]
    if known:
        return _parse(known[0])
    holding = [mount for mount in map(_parse, lines) if _holds(mount.point, path)]
    return holding[-1] if holding else None  # a later mount hides what was there


def is_same(one: str, other: str) -> bool:
    """Say whether two paths are on one mount, so that names can be moved between them.

    Also where the system does not tell.
    """
    numbers = {_number_of_mount(os.path.realpath(path)) for path in (one, other)}
    return len(numbers - {None}) < 2


def _number_of_mount(path: str) -> bytes | None:
    """Return the number of the mount that holds a path, or what is above it, where Linux tells."""
    try:
        opened = os.open(path, getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None if path == "/" else _number_of_mount(os.path.dirname(path))
    except OSError:
        return None
    try:
        with open(f"/proc/self/fdinfo/{opened}", "rb") as file:
            members = (line.partition(b":") for line in file)
            return next((value.strip() for name, _, value in members if name == b"mnt_id"), None)
    except OSError:
        return None
    finally:
        os.close(opened)


def can_exchange(path: str) -> bool:
    """Foretell from the filesystem's type whether two names can be swapped in one step."""
    mount = find(path)
    if mount is None:
        return sys.platform == "darwin"
    return mount.type in _EXCHANGING or (mount.type == "zfs" and _zfs_version() >= (2, 2))


def _zfs_version() -> tuple[int, ...]:
    """Return the version of the module, or nothing where it does not tell."""
    try:
        with open(_ZFS_VERSION, encoding="ascii", errors="replace") as text:
            numbers = text.read().partition("-")[0].split(".")[:2]
        return tuple(map(int, numbers))
    except (OSError, ValueError):
        return ()


def _parse(line: bytes) -> Mount:
    # 36 35 98:0 /root /mount/point rw,noatime shared:1 - ext4 /dev/sda1 rw,errors=continue
    mine, _, kind = line.partition(b" - ")
    fields, super_fields = mine.split(b" "), kind.split(b" ")
    options = fields[5].split(b",") + super_fields[2].split(b",")
    return Mount(
        os.fsdecode(super_fields[0]),
        os.fsdecode(_unescaped(fields[4])),
        tuple(dict.fromkeys(map(os.fsdecode, options))),
    )


def _unescaped(field: bytes) -> bytes:
    for code, char in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        field = field.replace(code, char)
    return field


def _holds(point: str, path: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")
