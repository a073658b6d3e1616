"""Keeps the machines of a cluster, and ends them with whoever started it.

``python keeper.py DIRECTORY`` reads requests from its input, a JSON document a line:
the name of a machine and the command that runs it, or ``null`` to cut its power. It
answers each with an empty line. When the input ends, as it does however the tests
end, it ends all machines and removes the directory.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path


def _start(directory: Path, name: str, command: list[str]) -> "subprocess.Popen[bytes]":
    with (directory / f"{name}.console").open("ab") as console:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # the switch ends when its input does
            stdout=console,
            stderr=console,
            env={**os.environ, "TMPDIR": str(directory)},
            start_new_session=True,
        )


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a machine: it is a group of processes, and the others outlive the first."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _main(directory: Path) -> None:
    running: dict[str, subprocess.Popen[bytes]] = {}
    for line in sys.stdin:
        name, command = json.loads(line)
        if name in running:
            _end(running.pop(name))
        if command:
            running[name] = _start(directory, name, command)
        sys.stdout.write("\n")
        sys.stdout.flush()
    for process in running.values():
        _end(process)
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    _main(Path(sys.argv[1]))
