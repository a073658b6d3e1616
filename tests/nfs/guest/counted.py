"""Runs a command and counts what it asks an NFS server: ``counted.py MOUNT COMMAND...``.

Prints one JSON document: how the command ended, the seconds it took, and how many
calls of each kind were made on that mount. What the command prints goes to stderr.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

_CALLS = re.compile(r"^\s+([A-Z_0-9]+): (\d+) ")


def _calls(mount: str) -> dict[str, int]:
    text = Path("/proc/self/mountstats").read_text()
    (of_mount,) = (part for part in text.split("\ndevice ") if f" mounted on {mount} " in part)
    found = (_CALLS.match(line) for line in of_mount.partition("per-op statistics")[2].splitlines())
    return {match[1]: int(match[2]) for match in found if match}


def _main(mount: str, *command: str) -> None:
    before = _calls(mount)
    begun = time.monotonic()
    code = subprocess.run(command, stdout=sys.stderr).returncode
    seconds = time.monotonic() - begun
    after = _calls(mount)
    made = {kind: after[kind] - before[kind] for kind in after if after[kind] != before[kind]}
    json.dump({"code": code, "seconds": seconds, "calls": made}, sys.stdout)


if __name__ == "__main__":
    _main(*sys.argv[1:])
