"""Links in the place of the directories that builds, packages and removals go to."""

import os
from pathlib import Path

import pytest

from damage import found
from program import Program
from targets import listing, make_target
from tierctl.target.paths import Layout


@pytest.fixture(
    params=["infrastructure/deployments", "conda_package_cache", "conda_package_cache/repodata"]
)
def diverted(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Layout, Path]:
    """A target with a link where a directory was, and that directory elsewhere."""
    layout = make_target(tmp_path / "lab", blue=2, green=1, deployments=(3,))
    cache = Path(layout.cache)
    cache.mkdir()
    (cache / "repodata").mkdir()
    (cache / "mine-1-0.tar.bz2").touch()
    elsewhere = tmp_path / "elsewhere"
    place = Path(layout.top, request.param)
    place.rename(elsewhere)
    place.symlink_to(elsewhere)
    (tmp_path / "definitions" / "tier" / "bin").mkdir(parents=True)
    (tmp_path / "definitions" / "tier" / "bin" / "hello").touch()
    return layout, elsewhere


@pytest.mark.parametrize("dry", [[], ["-n"]])
@pytest.mark.parametrize(
    "words",
    [["prune", "--keep", "0", "--older-than", "0d"], ["deploy", "dev1", "--definitions"]],
)
def test_nothing_is_built_or_removed_behind_them(
    diverted: tuple[Layout, Path], tierctl: Program, words: list[str], dry: list[str]
) -> None:
    layout, elsewhere = diverted
    if words[0] == "deploy":
        pytest.importorskip("rattler")
        words = [*words, str(elsewhere.parent / "definitions")]
    before = listing(elsewhere)
    done = tierctl(*words, "-t", layout.top, *dry)
    assert (1, True) == (done.code, "is a symlink, not a directory" in done.err), done.err
    assert before == listing(elsewhere)


def test_doctor_tells_of_them(diverted: tuple[Layout, Path]) -> None:
    layout, _ = diverted
    finding = found(layout, "is a symlink, not a directory")
    assert finding.advice.startswith("Look at it; then move it away: mv ")


def test_changes_of_the_links_go_on(diverted: tuple[Layout, Path], tierctl: Program) -> None:
    layout, _ = diverted
    assert 0 == tierctl("promote-staging", "-t", layout.top).code
    assert "blue" == os.readlink(layout.within("production"))
