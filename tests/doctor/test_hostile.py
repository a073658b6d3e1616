"""Whatever is in the way, doctor says something and harms nothing."""

import errno
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damage import Unreadable, faults, note_interrupted, problems
from targets import make_target
from tierctl.doctor import diagnose
from tierctl.fs.local import OsFileSystem
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.testing import MemoryFileSystem


class TestHostile:
    @pytest.mark.parametrize("name", ["", "/x", "/etc", "/etc/profile.sh"])
    def test_names_that_forge_lines_do_not(self, layout: Layout, name: str) -> None:
        tier = layout.within("dev\nproblem  links: all is lost \udcff\x1b[2J")
        if name:
            Path(tier + name).parent.mkdir(parents=True)
            Path(tier + name).touch()
        else:
            Path(tier).symlink_to("deployments/9\n")
        for number in range(20):
            Path(layout.within(f"\n\udcfe{number}")).touch()
        for finding in diagnose(Target(OsFileSystem(), layout)):
            for text in (finding.text, finding.meaning, finding.advice):
                assert text.isprintable()

    @pytest.mark.parametrize("closed", ["control", "infrastructure", "deployments"])
    def test_what_may_not_be_looked_at_is_said(self, layout: Layout, closed: str) -> None:
        findings = problems(layout, Unreadable(getattr(layout, closed)))
        assert findings
        for finding in findings:
            assert "Permission denied" in finding.text
            assert finding.advice

    @pytest.mark.parametrize("number", [errno.EIO, errno.ENOENT])
    def test_no_error_of_the_system_is_raised(self, layout: Layout, number: int) -> None:
        note_interrupted(layout)
        for fs in faults(OsFileSystem(), number):
            assert diagnose(Target(fs, layout))

    @settings(max_examples=150)
    @given(st.sampled_from(["intent", "history", "config", "holder"]), st.data())
    def test_no_bytes_make_it_raise(self, name: str, data: st.DataObject) -> None:
        fs = MemoryFileSystem()
        fs.make_directory("/lab", 0o755)
        layout = make_target("/lab", fs=fs)
        fs.make_directory(layout.control, 0o755)
        fs.write(getattr(layout, name), data.draw(RUBBISH), mode=0o644)
        diagnose(Target(fs, layout))

    def test_nothing_at_all_is_a_problem(self, tmp_path: Path) -> None:
        assert problems(Layout.of_target(str(tmp_path / "missing")))


RUBBISH = (
    st.binary(max_size=60)
    | st.sampled_from(
        [
            b'{"schema": 2}\n',
            b"[" * 5000,
            b"9" * 5000 + b"\n",
            b"\xff\n",
            b'group = "a\\u0000b"',
            b"group = 1",
        ]
    )
    | st.builds(
        lambda key, value: (
            json.dumps({**json.loads(WHOLE_EVENT), key: value}, ensure_ascii=False).encode(
                "utf-8", "surrogateescape"
            )
            + b"\n"
        ),
        st.sampled_from(["schema", "id", "time", "kind", "before", "after", "trail"]),
        st.none() | st.integers() | st.sampled_from(["", "9999-12-31T23:59:60Z", {}, []]),
    )
)


WHOLE_EVENT = json.dumps(
    {
        "schema": 1,
        "id": "20240101-000001-abcdef",
        "time": "2024-01-01T00:00:00Z",
        "kind": "promotion",
        "user": "ada",
        "host": "lab",
        "reason": "",
        "before": None,
        "after": {"production": "green", "staging": "blue", "blue": "blue", "green": "green"},
        "trail": [],
        "rolled_back": [],
    }
)
