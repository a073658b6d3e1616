"""A target to damage, and nothing flushed."""

from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from damage import bootstrapped, copied
from tierctl.target.paths import Layout


@pytest.fixture(autouse=True)
def no_flushing(mocker: MockerFixture) -> None:
    """No power is cut here, and flushing takes most of the time."""
    mocker.patch("os.fsync")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A target as bootstrap makes it; nobody changes it."""
    return bootstrapped(tmp_path_factory.mktemp("template") / "lab")


@pytest.fixture
def layout(template: Layout, tmp_path: Path) -> Layout:
    """A copy of what bootstrap makes, without the directories that nobody looks into."""
    return copied(template, tmp_path / "lab")
