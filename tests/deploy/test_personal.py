"""What names a home or a variable, and what only looks like it."""

import pytest

from tierctl.deploy.definitions import personal


@pytest.mark.parametrize(
    "text",
    [
        "conda-forge",
        "./~/channel",
        "./a$b/channel",
        "../backup~/channel",
        "https://host/~ada/channel",
        "x ~=1.0",
        "x~=1.0",
        "x >=1,~=1.0",
        "numpy=2=^py31.*$",
        "-f ../wheels~",
    ],
)
def test_what_is_the_same_for_everybody_passes(text: str) -> None:
    personal.require_none(text)
