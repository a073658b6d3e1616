"""``tierctl deploy`` on a host without the certificates that https needs."""

import os
import subprocess
from pathlib import Path

import pytest

from lab import Lab, Served
from program import Ended

pytest.importorskip("rattler")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def deploy(lab: Lab, *words: str) -> Ended:
    """Deploy where no certificate is found: these variables name all places to look in."""
    nowhere = {"SSL_CERT_FILE": "/nonexistent/ca.pem", "SSL_CERT_DIR": "/nonexistent"}
    environment = {**os.environ, **nowhere}
    done = subprocess.run(lab.command(*words), capture_output=True, text=True, env=environment)
    return Ended(done.returncode, done.stdout, done.stderr)


def test_what_is_asked_for_without_https_needs_none(lab: Lab) -> None:
    for words in (["dev1"], ["dev2", "--like", "dev1"], ["dev1", "-n", "--rebuild"]):
        done = deploy(lab, *words)
        assert 0 == done.code, done.err
    with Served(lab.channel) as server:
        lab.want_from(server.url, "hello=1.0")
        done = deploy(lab, "dev3")
        assert 0 == done.code, done.err


@pytest.mark.parametrize("channel", ["https://127.0.0.1:9/channel", "conda-forge"])
def test_https_is_refused_with_what_to_install_or_set(lab: Lab, channel: str) -> None:
    lab.want_from(channel, "hello")
    done = deploy(lab, "dev1", "-n")
    assert (1, "") == (done.code, done.out)
    assert f"SSL_CERT_FILE is /nonexistent/ca.pem, which holds none: {channel}\n" in done.err
    assert "Install the package ca-certificates" in done.err


def test_offline_nobody_is_asked(lab: Lab) -> None:
    lab.want_from("https://127.0.0.1:9/channel", "hello")
    assert "certificates" not in deploy(lab, "dev1", "--offline").err
