"""What a test needs of the machine, and what happens where that is missing."""

import os
import shutil

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


def missing(what: str) -> None:
    """Skip the test; fail it where TIERCTL_REQUIRE_TOOLS says that nothing may be missing."""
    if os.environ.get("TIERCTL_REQUIRE_TOOLS"):
        pytest.fail(what)
    pytest.skip(what)
