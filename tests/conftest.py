"""What every test can count on: no network, no user's environment."""

import os
import signal
import socket
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from program import Program

# The same examples in every run, without a time limit: no test fails for a busy machine.
settings.register_profile("tierctl", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("tierctl")

# A run in the background, or under nohup, has them ignored; so would all that a test starts.
for _number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)


class _OneLab(LoadScopeScheduling):
    """Has one process run all tests on real NFS: the machines are booted once."""

    def _split_scope(self, nodeid: str) -> str:
        nfs = "tests/nfs/"
        return nfs if nodeid.startswith(nfs) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Keep the tests of a module in one process, and those on real NFS together."""
    return _OneLab(config, log) if config.getvalue("dist") == "loadscope" else None


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a loaded tier, or of a user's taste in colors, reaches a test."""
    for name in list(os.environ):
        if name.startswith(("IAC_", "CONDA", "_TIERCTL")) or name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anything but this host is an error."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else ""
        if host not in ("", "127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test wants to connect to {host}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def tierctl(capsys: pytest.CaptureFixture[str]) -> Program:
    """Run tierctl in this process: ``tierctl("status", "--json")``."""
    return Program(capsys)
