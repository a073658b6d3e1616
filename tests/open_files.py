"""What an NFS client does with a file that a process has open when it is removed."""

import errno
import os
from itertools import count

from pytest_mock import MockerFixture


class OpenFiles:
    """Files of some names are open: removed, they stay as ``.nfs...`` until ``close`` is called."""

    def __init__(self, mocker: MockerFixture, *names: str) -> None:
        self._names, self._numbers = names, count(1)
        self._unlink = os.unlink
        self._patch = mocker.patch("os.unlink", self._remove)
        self._mocker = mocker

    def close(self) -> None:
        """Have nobody use them any more; the client then removes what it has kept."""
        self._mocker.stop(self._patch)

    def _remove(self, name: str, *, dir_fd: int | None = None) -> None:
        if name.startswith(".nfs"):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), name)
        if name in self._names:
            kept = f".nfs{next(self._numbers)}"
            os.rename(name, kept, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        else:
            self._unlink(name, dir_fd=dir_fd)
