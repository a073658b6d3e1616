"""Files with anything in them: a clear error, never a traceback, and nothing else is changed."""

import contextlib
import io
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
from tierctl.deploy.problems import BadDefinitions
from tierctl.layout import Layout

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
        before = listing(layout.target)
        for words in COMMANDS:
            code, said = run(*words, "-t", layout.target)
            assert code in (0, 1), (words, said)
            assert "defect of tierctl" not in said, (words, said)
        assert before == listing(layout.target)
        code, said = run("doctor", "-t", layout.target)  # which tries the filesystem out
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
