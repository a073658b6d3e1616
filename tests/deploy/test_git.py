"""A git that does not answer costs the record its commit, and nothing else."""

import json
import os
from pathlib import Path

import pytest

from lab import Lab, wait_until_ended
from program import run_installed

pytest.importorskip("rattler")


@pytest.mark.parametrize("hangs", ["exec sleep 600", "sleep 600 & echo $! >> {0}; wait"])
def test_one_that_hangs_is_told_and_ended(tmp_path: Path, hangs: str) -> None:
    lab = Lab(tmp_path)
    git = tmp_path / "path" / "git"
    git.parent.mkdir()
    git.write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/pids\n{hangs.format(tmp_path / 'pids')}\n")
    git.chmod(0o755)
    done = run_installed(
        "deploy",
        "dev1",
        "--json",
        "--timeout",
        "1",
        "--definitions",
        lab.definitions,
        env={"PATH": f"{git.parent}:{os.environ['PATH']}"},
    )
    assert 0 == done.code, done.err
    (warning,) = done.document["warnings"]
    assert warning.startswith(f"git did not answer within 1 s of {lab.definitions}")
    assert "--timeout SECONDS" in warning
    record = json.loads(Path(lab.layout.deployment_record("deployments/1")).read_text())
    assert record["definitions"]["git"] is None
    for pid in (tmp_path / "pids").read_text().split():
        wait_until_ended(int(pid))
