"""The engine's process, a worker that answers questions.

It takes longer to start than all else that a deploy without changes does, so
it is started before anything is imported that it does not need; what it is for,
it learns from the questions.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress

# What the engine needs of the caller's environment: how to reach a channel. Its
# home is not there, so nothing of the caller's settings or passwords is read.
PROXIES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "http_proxy", "https_proxy")
NO_PROXIES = ("NO_PROXY", "no_proxy")
_PASSED_ON = (
    *PROXIES,
    *NO_PROXIES,
    "LANG",
    "LD_LIBRARY_PATH",  # with which the interpreter was started, as from a module
    "PATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
)
_NO_HOME = "/nonexistent"
# Without "-m", which takes longer. What the caller has open is not the engine's. It
# imports from where the caller does, which may be PYTHONPATH, but first from its own
# places. The engine brings its own TLS: asyncio does without Python's, which it need
# not have, and whose library takes a tenth of the start to load.
_PROGRAM = """
import gc, os, sys
gc.disable()
os.closerange(3, os.sysconf("SC_OPEN_MAX"))
sys.path += [place for place in sys.argv[1:] if place not in sys.path]
sys.modules["ssl"] = None
import asyncio
del sys.modules["ssl"]
try:
    from tierctl.deploy.engine.worker.serving import main
except Exception as error:
    import json
    print(json.dumps({"failed": {"engine": f"it cannot be started: {error}"}}), flush=True)
else:
    main()
"""
# Linking waits for the filesystem more than for a processor: on 2 processors, 8 threads
# link 20,000 files in three quarters of the time that 2 threads take.
_LEAST_THREADS = 8
_IN, _OUT, _ERR = range(3)
# For how long a deploy waits where nothing happens, if nobody says otherwise.
TIMEOUT_S = 120


class Worker:
    """The process: lines of JSON go in and come out; it ends when nothing can come any more."""

    def __init__(self) -> None:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        self._questions = os.fdopen(ours_out, "wb")
        self._answers = os.fdopen(ours_in, "rb")
        try:
            self.pid = _spawn(theirs_in, theirs_out)
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self.is_over = False

    def ask(self, question: bytes) -> None:
        """Send a line; where nobody reads it there is no answer either."""
        with suppress(BrokenPipeError):
            self._questions.write(question)
            self._questions.flush()

    def answers(self) -> Iterator[bytes]:
        """Yield the lines that come, until it has ended."""
        return iter(self._answers)

    def kill(self) -> None:
        """End it with all that it has started, whatever that is at, and do not wait for that."""
        with suppress(ProcessLookupError, PermissionError):  # it has ended; macOS says the latter
            os.killpg(self.pid, signal.SIGKILL)

    def wait(self) -> None:
        """Wait until it has ended; its number may be another process's after that."""
        with suppress(ChildProcessError):  # the system has waited: SIGCHLD is ignored here
            os.waitpid(self.pid, 0)
        self.is_over = True
        self._answers.close()
        with suppress(BrokenPipeError):  # half a question
            self._questions.close()


def _spawn(stdin: int, stdout: int) -> int:
    places = filter(os.path.isabs, sys.path)
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-c", _PROGRAM, *places],
        _environment(),
        file_actions=[
            (os.POSIX_SPAWN_DUP2, stdin, _IN),
            (os.POSIX_SPAWN_DUP2, stdout, _OUT),
            # What goes wrong it answers.
            (os.POSIX_SPAWN_OPEN, _ERR, os.devnull, os.O_WRONLY, 0),
        ],
        setpgroup=0,  # which ends as a whole
    )


def _environment() -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    threads = max(_LEAST_THREADS, os.cpu_count() or 1)
    return {**passed_on, "HOME": _NO_HOME, "RAYON_NUM_THREADS": str(threads)}


_waiting: list[Worker] = []


def start_early() -> None:
    """Start a worker that ``take`` returns; it ends with this process if nobody does."""
    with suppress(OSError):  # that is for who takes it to hear
        _waiting.append(Worker())


def take() -> Worker:
    """Return the worker that was started early, or a new one."""
    return _waiting.pop() if _waiting else Worker()
