"""System calls that a seccomp filter forbids, as that of a container does which is older."""

import subprocess
from pathlib import Path

import pytest

from lab import Lab
from program import installed
from targets import links
from tools import require_tool

pytest.importorskip("rattler")

CALLS = (
    "renameat2",
    "statx",
    "syncfs",
    "faccessat2",
    "landlock_create_ruleset",
    "landlock_add_rule",
    "landlock_restrict_self",
    "copy_file_range",
)


def without(call: str, error: str, *words: str) -> subprocess.CompletedProcess[str]:
    strace = [require_tool("strace"), "-f", "-qq", "-o", "/dev/null"]
    return subprocess.run(
        [*strace, "-e", f"inject={call}:error={error}", *words], capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("call", "error"),
    [
        *((call, "EPERM") for call in CALLS),
        ("syncfs", "ENOSYS"),
        ("faccessat2", "EACCES"),
        ("renameat2", "EACCES"),
    ],
)
def test_there_is_another_way_for_each(tmp_path: Path, call: str, error: str) -> None:
    lab = Lab(tmp_path)
    built = without(call, error, *lab.command("staging"))
    assert 0 == built.returncode, built.stderr
    promote = [installed(), "promote-staging", "-t", lab.layout.top]
    promoted = without(call, error, *promote)
    assert 0 == promoted.returncode, promoted.stderr
    assert "blue" == links(lab.layout)["production"]
    assert "hello 1.0\n" == lab.runs("production")
