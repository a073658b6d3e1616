"""Modules that came without bytecode are compiled, each of them once."""

import sys
from pathlib import Path

import pytest

from tierctl.deploy.engine.worker import bytecode


def test_modules_that_a_link_shows_again_are_compiled_once(tmp_path: Path) -> None:
    """Python's own packages bring such a link: lib/python3.1 shows lib/python3.11."""
    modules = tmp_path / "lib" / "python3.11" / "site-packages"
    modules.mkdir(parents=True)
    (modules / "wave.py").write_text("import sys\n")
    (tmp_path / "lib" / "python3.1").symlink_to("python3.11")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    assert [f"{modules}/wave.py"] == bytecode._without_bytecode(str(tmp_path))
    bytecode.compile_modules(str(tmp_path), 60)
    assert [] == bytecode._without_bytecode(str(tmp_path))


@pytest.mark.parametrize("link", ["lib", "lib/python3.11/site-packages"])
def test_modules_behind_a_link_out_of_the_environment_are_left_alone(
    tmp_path: Path, link: str
) -> None:
    elsewhere = tmp_path / "elsewhere" / "python3.11" / "site-packages"
    elsewhere.mkdir(parents=True)
    (elsewhere / "wave.py").write_text("import sys\n")
    place = tmp_path / "prefix" / link
    place.parent.mkdir(parents=True)
    place.symlink_to(elsewhere if link != "lib" else elsewhere.parent.parent)
    assert [] == bytecode._without_bytecode(str(tmp_path / "prefix"))
