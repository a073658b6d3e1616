"""The lines of a pip section, as uv reads them."""

import pytest

from tierctl.deploy.definitions import requirements


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("numpy >=2 ; python_version > '3'", "numpy >=2 ; python_version > '3'"),
        ("x @ https://h/x-1-py3-none-any.whl", "x @ https://h/x-1-py3-none-any.whl"),
        ("-i https://h/simple", "--index-url https://h/simple"),
        ("--index-url=https://h/a=b", "--index-url https://h/a=b"),
        ("--extra-index-url https://h", "--extra-index-url https://h"),
        ("-f lib", "--find-links file:///usr/lib"),
        ("--find-links=/usr/share/../lib", "--find-links file:///usr/lib"),
        ("--find-links file:///wheels", "--find-links file:///wheels"),
        ("--no-index", "--no-index"),
    ],
)
def test_what_a_line_says(line: str, read: str) -> None:
    assert read == requirements.read(line, "/usr")
