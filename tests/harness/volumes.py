"""Real filesystems, made for the purpose and mounted, so that only root has them."""

import errno
import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from targets import make_target
from tierctl.fs.local import OsFileSystem
from tierctl.fs.protocol import ExchangeUnsupported
from tierctl.target.paths import Layout
from tools import missing, require_root, require_tool

EXCHANGING = ("ext4", "xfs", "btrfs", "tmpfs", "overlay")
KINDS = (*EXCHANGING, "bindfs")
# Those whose power can be cut.
JOURNALLED = ("ext4", "xfs")

# XFS needs 300 MB, and btrfs room for the trees that thousands of flushes leave; it has holes.
_IMAGE_BYTES = 4 << 30
_SHUTDOWN, _WITHOUT_FLUSHING_THE_LOG = 0x8004587D, struct.pack("I", 2)
_TOOLS = {
    "ext4": ["mkfs.ext4"],
    "xfs": ["mkfs.xfs"],
    "btrfs": ["mkfs.btrfs"],
    "bindfs": ["bindfs"],
}


class Volume:
    """A mounted filesystem."""

    def __init__(self, kind: str, top: Path) -> None:
        self.kind = kind
        self.top = top
        self.point = top / "point"
        self._numbers = count()

    def make(self) -> None:
        for name in ("point", "lowerdir", "upperdir", "workdir"):
            (self.top / name).mkdir()
        if self.kind in ("ext4", "xfs", "btrfs"):
            (self.top / "image").touch()
            os.truncate(self.top / "image", _IMAGE_BYTES)
            _run(f"mkfs.{self.kind}", "-q", self.top / "image")

    def mount(self) -> None:
        match self.kind:
            case "tmpfs":
                _run("mount", "-t", "tmpfs", "tmpfs", self.point)
            case "overlay":
                parts = [
                    f"{name}={self.top / name}" for name in ("lowerdir", "upperdir", "workdir")
                ]
                _run("mount", "-t", "overlay", "overlay", "-o", ",".join(parts), self.point)
            case "bindfs":
                _run("bindfs", self.top / "upperdir", self.point)
            case _:
                _run("mount", "-o", "loop", self.top / "image", self.point)

    def place(self) -> Path:
        """Make an empty directory of its own."""
        directory = self.point / f"place{next(self._numbers)}"
        directory.mkdir()
        return directory

    def target(self, **links: object) -> Layout:
        """Make a target of its own, flushed."""
        layout = make_target(self.place() / "lab", **links)
        self.flush()
        return layout

    def flush(self) -> None:
        _run("sync", "-f", self.point)

    def cut_power(self) -> None:
        """Lose what is not flushed: the filesystem does nothing more until it is mounted again."""
        fd = os.open(self.point, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, _WITHOUT_FLUSHING_THE_LOG)
        finally:
            os.close(fd)

    def restart(self) -> None:
        _run("umount", self.point)
        self.mount()


class WithoutExchange(OsFileSystem):
    """Cannot swap two names, as NFS cannot."""

    def exchange(self, first: str, second: str) -> None:
        raise ExchangeUnsupported(errno.EINVAL, os.strerror(errno.EINVAL), first, None, second)


@contextmanager
def mounted(kind: str, top: Path) -> Iterator[Volume]:
    """Make a filesystem and mount it; skip where that cannot be done."""
    require_root()
    for tool in _TOOLS.get(kind, ()):
        require_tool(tool)
    with ExitStack() as mounts:
        try:
            # In memory, so that flushing takes no time.
            _run("mount", "-t", "tmpfs", "tmpfs", top)
            mounts.callback(_run, "umount", "-l", top)
            volume = Volume(kind, top)
            volume.make()
            volume.mount()
            mounts.callback(_run, "umount", "-l", volume.point)
        except OSError as error:
            missing(f"no {kind} here: {error}")
        yield volume


def _run(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{' '.join(map(str, command))}: {done.stderr}")


def each_of(kinds: Sequence[str]) -> Any:
    """Return a fixture of a module: each of the filesystems, mounted."""

    @pytest.fixture(scope="module", params=kinds)
    def volume(
        request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Volume]:
        with mounted(request.param, tmp_path_factory.mktemp(request.param)) as volume:
            yield volume

    return volume
