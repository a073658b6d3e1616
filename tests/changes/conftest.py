"""Targets to change."""

from pathlib import Path

import pytest

from changed import Make, Scene
from places import FILESYSTEMS, place_on
from targets import make_target
from tierctl.change.requests import Promotion


@pytest.fixture(params=FILESYSTEMS)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Make a target: ``make(blue=42, green=41)``."""
    place = place_on(request.param, tmp_path)

    def make(**links: object) -> Scene:
        return Scene(place.fs, make_target(place.root, fs=place.fs, **links))

    return make


@pytest.fixture
def plain(make: Make) -> Scene:
    """Two plain directories, as made by hand."""
    return make()


@pytest.fixture
def new(make: Make) -> Scene:
    """Production serves 41, staging shows 42, nothing is recorded."""
    return make(blue=42, green=41)


@pytest.fixture
def moved(new: Scene) -> Scene:
    """Production has moved on from 41 to 42."""
    new.carry_out(Promotion())
    return new


@pytest.fixture
def travelled(moved: Scene) -> Scene:
    """Production has served 41, 42, 43 and now 44."""
    for number in (43, 44):
        moved.deploy(number)
        moved.carry_out(Promotion())
    return moved
