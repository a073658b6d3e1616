"""A program on a terminal of its own: type to it, and wait for what it shows."""

import os
import pty
import re
import select
import signal
import time
from types import TracebackType


class Terminal:
    """A pseudo-terminal; what was shown, without control sequences, is in ``shown``."""

    def __init__(
        self, *command: str, env: dict[str, str], columns: int = 200, kind: str = "dumb"
    ) -> None:
        self.shown = ""
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            environment = {**env, "TERM": kind, "COLUMNS": str(columns)}
            os.execvpe(command[0], command, environment)  # noqa: S606 (no shell is needed)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        os.close(self._fd)
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def type(self, text: str) -> None:
        """Type something; nothing that was shown before counts any more."""
        self.shown = ""
        os.write(self._fd, text.encode())

    def wait_for(self, pattern: str, seconds: float = 10.0) -> str:
        """Return what was shown as soon as it matches; fail with what was shown instead."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.shown):
            left = deadline - time.monotonic()
            if left <= 0 or not self._read(left):
                raise AssertionError(f"waited for {pattern!r}, saw {self.shown!r}")
        return self.shown

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._fd], [], [], seconds)
        if not ready:
            return False
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # the program has ended
            return False
        text = data.decode("utf-8", "replace")
        self.shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r|\x07", "", text)
        return bool(data)
