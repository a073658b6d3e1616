"""The names of a target: its tiers and its deployments."""

from pathlib import Path

import pytest

from targets import make_deployment, make_target
from tierctl.errors import NoSuchTier
from tierctl.fs.local import OsFileSystem
from tierctl.target import tiers
from tierctl.target.paths import Layout
from tierctl.target.target import Target

FS = OsFileSystem()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A target with private tiers, and with files whose names look like some."""
    layout = make_target(tmp_path, deployments=(7,))
    top = Path(layout.infrastructure)
    (top / "dev1").symlink_to("deployments/7")
    (top / "dev2").symlink_to("nowhere")
    (top / "test").mkdir()
    (top / "test.txt").write_text("no tier")
    (top / "mine").mkdir()
    return layout


def test_private_tiers_are_directories_and_links_that_are_named_so(layout: Layout) -> None:
    expected = ["production", "staging", "blue", "green", "dev1", "dev2", "test"]
    assert expected == tiers.names(Target(FS, layout))


@pytest.mark.parametrize("name", ["production", "green", "dev1", "dev2", "test"])
def test_a_tier_that_is_there_may_be_named_even_if_it_is_damaged(layout: Layout, name: str) -> None:
    tiers.require(Target(FS, layout), name)


@pytest.mark.parametrize("name", ["test.txt", "mine", "dev3", "deployments", "dev1/../mine", ""])
def test_what_is_no_tier_is_refused_with_those_that_are(layout: Layout, name: str) -> None:
    with pytest.raises(NoSuchTier) as raised:
        tiers.require(Target(FS, layout), name)
    assert "There are: production, staging, blue, green, dev1, dev2, test" == raised.value.hint


def test_deployments_are_directories_newest_first(layout: Layout) -> None:
    make_deployment(layout, 10)
    make_deployment(layout, 8, finished=False)
    top = Path(layout.deployments)
    (top / "5").write_text("a file")
    (top / "6").symlink_to("7")
    (top / "07").mkdir()
    make_deployment(layout, 9)
    (top / "9/meta").rename(top / "9/was-meta")
    (top / "9/meta").symlink_to("meta")  # a loop: nobody can look into it
    assert [10, 7] == tiers.deployments(Target(FS, layout), finished=True)
    assert [9, 8] == tiers.deployments(Target(FS, layout), finished=False)
