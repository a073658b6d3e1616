"""Modules that came without bytecode are compiled, each of them once."""

import sys
from pathlib import Path

from tierctl.deploy.worker import bytecode


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
