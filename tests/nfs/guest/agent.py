"""Runs what the tests ask for: ``N.job`` in the directory given, answered by ``N.end``."""

import grp
import json
import os
import pwd
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

_PAUSE_S = 0.02


def _carry_out(job: Path) -> None:
    asked = json.loads(job.read_text())
    job.unlink()
    # In memory: the host's files have to be asked for.
    out, err = (Path("/tmp", f"{job.stem}.{name}") for name in ("out", "err"))  # noqa: S108
    with out.open("wb") as to_out, err.open("wb") as to_err:
        process = subprocess.Popen(
            ["bash", "-c", asked["command"]],
            stdin=subprocess.DEVNULL,
            stdout=to_out,
            stderr=to_err,
            start_new_session=True,
            **_as_user(asked["user"]),
        )
        code = process.wait()
    answer = [code, *(path.read_text(errors="surrogateescape") for path in (out, err))]
    for path in (out, err):
        path.unlink()
    new = job.with_suffix(".new")
    new.write_text(json.dumps(answer))
    new.rename(job.with_suffix(".end"))


def _as_user(name: str) -> dict[str, Any]:
    user = pwd.getpwnam(name)
    groups = [group.gr_gid for group in grp.getgrall() if name in group.gr_mem]
    environment = {**os.environ, "HOME": user.pw_dir, "USER": name, "LOGNAME": name}
    return {
        "user": user.pw_uid,
        "group": user.pw_gid,
        "extra_groups": groups,
        "cwd": user.pw_dir,
        "env": environment,
    }


def _main(directory: Path) -> None:
    seen: set[str] = set()
    (directory / "ready").touch()
    while True:
        for name in os.listdir(directory):
            if name.endswith(".job") and name not in seen:
                seen.add(name)
                job = directory / name
                threading.Thread(target=_carry_out, args=[job], daemon=True).start()
        time.sleep(_PAUSE_S)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
