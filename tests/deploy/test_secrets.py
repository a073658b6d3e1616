"""What counts as a password or a token, and what only looks like one."""

import pytest

from tierctl.deploy.definitions import secrets


@pytest.mark.parametrize(
    "text",
    [
        "conda-forge",
        "file:///srv/t/data/channel",
        "https://host/channel/noarch",
        "https://host/fast/t",
        "https://host/x-1-py3-none-any.whl#sha256=00",
        "https://host/simple?page=2",
        "x @ git+ssh://git@host/x.git",
        "tools/t/channel",
    ],
)
def test_what_holds_no_secret_passes(text: str) -> None:
    secrets.require_none(text)
