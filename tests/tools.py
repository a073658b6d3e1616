"""What a test needs of the machine, and what happens where that is missing."""

import os
import shutil
import subprocess
import sys

import pytest


def require_tool(name: str) -> str:
    """Return the path of a program; without it skip, or fail where nothing may be missing."""
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not installed")
    return found


def require_root() -> None:
    """Skip, or fail where nothing may be missing, unless the tests run as root."""
    if os.geteuid() != 0:
        missing("only root can do this")


def require_landlock() -> None:
    """Skip, or fail where nothing may be missing, without a kernel that keeps processes in."""
    asking = "from tierctl.deploy.engine.worker.confining import confine; print(confine(['/tmp']))"
    done = subprocess.run([sys.executable, "-c", asking], capture_output=True, text=True)
    if done.stdout != "True\n":
        missing("the kernel has no Landlock, or an old one")


def missing(what: str) -> None:
    """Skip the test; fail it where TIERCTL_REQUIRE_TOOLS says that nothing may be missing."""
    if os.environ.get("TIERCTL_REQUIRE_TOOLS"):
        pytest.fail(what)
    pytest.skip(what)


def as_user(uid: int, *groups: int) -> list[str]:
    """Return what to put before a command to run it as somebody else, in these groups besides.

    They may read whatever there is (the interpreter may stand in a home that is
    closed to others) but write only what is theirs.
    """
    require_root()
    reads = "-all,+dac_read_search"
    return [
        require_tool("setpriv"),
        f"--reuid={uid}",
        f"--regid={uid}",
        f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups",
        f"--inh-caps={reads}",
        f"--ambient-caps={reads}",
        f"--bounding-set={reads}",
    ]
