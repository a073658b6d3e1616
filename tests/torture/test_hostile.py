"""Files with anything in them: a clear error, never a traceback, and nothing else is changed."""

import contextlib
import io
import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from targets import listing, make_target
from thorough import times
from tierctl.cli.main import main
from tierctl.deploy import definitions
from tierctl.deploy.definitions.problems import BadDefinitions
from tierctl.target.paths import Layout

COMMANDS = (
    ["status"],
    ["history"],
    ["promote-staging", "-n"],
    ["rollback", "-n"],
    ["prune", "-n"],
    ["diff"],
)
RECORDS = (
    "intent.json",
    "history.jsonl",
    "config.toml",
    "holder.json",
    "lock",
    "highest",
    "../deployments/1/meta/deployment.json",
    "../deployments/1/meta/packages.json",
)
# What a file can begin like that was once whole, and what else there is.
BEGINNINGS = (
    b"",
    b'{"schema": 1, "id": "20261125-174559-53300e", "kind": "promotion", ',
    b'{"schema": 1, "environments": {"a": [{"name": "b", ',
    b"keep = ",
    b"channels: [a]\ndependencies:\n- python\n- pip: [",
    b'target = "../lab"\npath = ["',
)
# A lock file of rattler's, whose values may be anything.
LOCK = """version: 6
environments:
  default:
    channels:
    - url: {0}
    packages:
      linux-64:
      - conda: {1}
      - pypi: {2}
packages:
- conda: {1}
  sha256: {3}
  size: {4}
- pypi: {2}
  name: {5}
  version: {4}
  sha256: {3}
"""
VALUES = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["file:///dev/zero", "https://h/noarch/a-1-0.conda", "../x", "-h", "[", "1", "a" * 64]
    ),
)
CONTENT = st.builds(
    lambda beginning, rest: beginning + rest,
    st.sampled_from(BEGINNINGS),
    st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode())),
)


def run(*words: str) -> tuple[int, str]:
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = main(list(words))
    return code, said.getvalue()


@pytest.fixture(scope="module")
def layout() -> Layout:
    layout = make_target(Path(tempfile.mkdtemp()) / "lab", green=1, blue=2)
    os.mkdir(layout.control)
    return layout


@pytest.mark.parametrize("record", RECORDS)
def test_no_record_brings_a_command_down(layout: Layout, record: str) -> None:
    path = Path(layout.control, record)
    whole = path.read_bytes() if path.exists() else None

    @settings(max_examples=times(15, 2_000))
    @given(CONTENT)
    def holds(data: bytes) -> None:
        path.write_bytes(data)
        before = listing(layout.top)
        for words in COMMANDS:
            code, said = run(*words, "-t", layout.top)
            assert code in (0, 1), (words, said)
            assert "defect of tierctl" not in said, (words, said)
        assert before == listing(layout.top)
        code, said = run("doctor", "-t", layout.top)  # which tries the filesystem out
        assert code in (0, 1), said
        assert "defect of tierctl" not in said, said

    try:
        holds()
    finally:
        path.unlink() if whole is None else path.write_bytes(whole)


@pytest.mark.parametrize("name", ["environments/a.yaml", "tierctl.toml", "environments/linux"])
def test_no_definitions_bring_their_reader_down(tmp_path: Path, name: str) -> None:
    (tmp_path / "environments").mkdir()

    @settings(max_examples=times(60, 5_000))
    @given(CONTENT)
    def holds(data: bytes) -> None:
        (tmp_path / name).write_bytes(data)
        with contextlib.suppress(BadDefinitions):
            definitions.read(str(tmp_path), "linux-64", lambda spec: "")

    holds()


def test_no_lock_file_brings_the_engine_down(tmp_path: Path) -> None:
    """In the engine's process; what it raises besides would end that without an answer."""
    pytest.importorskip("rattler")
    from tierctl.deploy.engine.worker import locks
    from tierctl.deploy.engine.worker.failures import Failed

    path = tmp_path / "a.lock"
    like_one = st.lists(VALUES, min_size=6, max_size=6).map(
        lambda values: LOCK.format(*map(json.dumps, values)).encode()
    )

    @settings(max_examples=times(60, 5_000))
    @given(st.one_of(CONTENT, like_one))
    def holds(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(Failed):
            locks.read({"locks": {"a": str(path)}, "subdir": "linux-64"})

    holds()
