"""What doctor says of links that are spelled oddly, or of which several are damaged."""

import subprocess
from pathlib import Path

import pytest

from damage import by_hand, found, problems
from reporters import Heard
from targets import links, make_deployment, make_target
from tierctl.change import change
from tierctl.change.requests import Promotion
from tierctl.doctor import Finding, Severity, diagnose
from tierctl.fs.local import OsFileSystem
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import Author
from tierctl.text import typed

FS = OsFileSystem()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A target in a path that has to be quoted; production -> green -> deployments/41."""
    layout = make_target(tmp_path / "my lab", blue=42, green=41)
    for number in (41, 42):
        add_profile(layout, f"deployments/{number}")
    return layout


def add_profile(layout: Layout, directory: str) -> Path:
    profile = Path(layout.within(directory), "etc", "profile.sh")
    profile.parent.mkdir()
    profile.touch()
    return profile


def relink(layout: Layout, name: str, text: str) -> None:
    Path(layout.within(name)).unlink(missing_ok=True)
    Path(layout.within(name)).symlink_to(text)


def promote(layout: Layout) -> None:
    change.carry_out(Target(FS, layout), Promotion(), Author("ada", "lab"), Heard(), lock_timeout=0)


def do_what_it_says(finding: Finding) -> None:
    """Type what stands at the end of an advice."""
    command = finding.advice[finding.advice.index(": ") + 2 :]
    subprocess.run(["sh", "-c", command], check=True)


def test_the_chain_of_a_production_that_dangles_is_named_once(layout: Layout) -> None:
    relink(layout, "green", "deployments/7")
    (finding,) = problems(layout)
    chain = "production -> green -> deployments/7, which does not exist."
    assert f"production cannot be loaded. {chain}" in finding.meaning


@pytest.mark.parametrize(
    "spelling", ["{top}/green", "./green", "green/", "../infrastructure/green"]
)
def test_a_color_that_dangles_is_one_problem_however_production_spells_it(
    layout: Layout, spelling: str
) -> None:
    relink(layout, "production", spelling.format(top=layout.infrastructure))
    relink(layout, "green", "deployments/7")
    (finding,) = problems(layout)
    assert "/green is dangling" in finding.text
    assert finding.meaning.startswith("production cannot be loaded.")


def test_a_color_of_another_target_is_not_taken_for_this_ones(
    layout: Layout, tmp_path: Path
) -> None:
    other = make_target(tmp_path / "other")
    relink(layout, "production", other.within("green"))
    relink(layout, "green", "deployments/7")
    assert 2 == len(problems(layout))


def test_where_both_tiers_are_damaged_history_knows_their_colors(layout: Layout) -> None:
    promote(layout)
    relink(layout, "production", "gone")
    relink(layout, "staging", "gone")
    for finding in problems(layout):
        do_what_it_says(finding)
    assert ("blue", "green") == (links(layout)["production"], links(layout)["staging"])
    assert [] == problems(layout)


def test_where_nothing_tells_the_colors_what_is_typed_still_separates_the_tiers(
    layout: Layout,
) -> None:
    relink(layout, "production", "gone")
    relink(layout, "staging", "gone")
    findings = problems(layout)
    assert all("Nothing tells which color it showed" in finding.advice for finding in findings)
    for finding in findings:
        do_what_it_says(finding)
    assert [] == problems(layout)


def test_staging_gets_the_free_color_though_production_dangles(layout: Layout) -> None:
    relink(layout, "green", "deployments/7")
    relink(layout, "staging", "gone")
    do_what_it_says(found(layout, "/staging is dangling"))
    assert "blue" == links(layout)["staging"]


def test_what_is_moved_aside_covers_nothing_that_was_moved_before(layout: Layout) -> None:
    Path(layout.within("staging.old")).mkdir()
    Path(layout.within("staging")).unlink()
    Path(layout.within("staging")).mkdir()
    (finding,) = problems(layout)
    do_what_it_says(finding)
    assert "blue" == links(layout)["staging"]
    assert Path(layout.within("staging.old.2")).is_dir()


@pytest.mark.parametrize("how", ["missing", "dangling", "a file"])
def test_without_deployments_a_color_can_begin_empty(tmp_path: Path, how: str) -> None:
    layout = by_hand(tmp_path / "my lab")
    blue = Path(layout.within("blue"))
    blue.rename(tmp_path / "was-blue")
    if how == "dangling":
        blue.symlink_to("gone")
    elif how == "a file":
        blue.touch()
    (finding,) = problems(layout)
    do_what_it_says(finding)
    assert [] == problems(layout)


def test_a_private_tier_that_dangles_can_be_removed_where_there_is_nothing_to_show(
    tmp_path: Path,
) -> None:
    layout = by_hand(tmp_path / "my lab")
    relink(layout, "dev1", "deployments/9")
    (finding,) = problems(layout)
    do_what_it_says(finding)
    assert [] == problems(layout)


def test_a_private_tier_that_dangles_can_be_removed_or_pointed_elsewhere(layout: Layout) -> None:
    relink(layout, "dev1", "deployments/9")
    (finding,) = problems(layout)
    assert f"remove it (rm {typed(layout.within('dev1'))})" in finding.advice
    do_what_it_says(finding)
    assert [] == problems(layout)


def test_a_lost_production_is_told_of_though_another_link_is_damaged(layout: Layout) -> None:
    promote(layout)
    Path(layout.within("production")).unlink()
    relink(layout, "staging", "gone")
    finding = found(layout, "production is missing; history knows that it was blue")
    do_what_it_says(finding)
    assert "blue" == links(layout)["production"]


class TestUnfinished:
    def test_all_that_show_it_are_named_in_one_problem(self, layout: Layout) -> None:
        make_deployment(layout, 50, finished=False)
        relink(layout, "blue", "deployments/50")
        relink(layout, "dev1", "deployments/50")
        (finding,) = problems(layout)
        assert "blue and dev1 show deployment 50, which was never finished" == finding.text

    def test_a_private_tier_that_shows_one_is_a_problem(self, layout: Layout) -> None:
        make_deployment(layout, 50, finished=False)
        relink(layout, "dev1", "deployments/50")
        (finding,) = problems(layout)
        assert "dev1 shows deployment 50, which was never finished" == finding.text
        assert "It may be half of a build." == finding.meaning

    def test_one_that_a_tier_shows_is_not_told_of_twice(self, layout: Layout) -> None:
        for number in (50, 51):
            make_deployment(layout, number, finished=False)
        relink(layout, "blue", "deployments/50")
        texts = [finding.text for finding in diagnose(Target(FS, layout))]
        assert "unfinished deployments: 51" in texts

    def test_it_is_a_problem_though_another_link_is_damaged(self, layout: Layout) -> None:
        make_deployment(layout, 50, finished=False)
        relink(layout, "blue", "deployments/50")
        relink(layout, "staging", "gone")
        assert Severity.PROBLEM is found(layout, "blue shows deployment 50").severity

    def test_one_made_by_hand_is_finished_by_what_is_typed(self, layout: Layout) -> None:
        Path(layout.within("deployments/50")).mkdir()
        add_profile(layout, "deployments/50")
        relink(layout, "blue", "deployments/50")
        (finding,) = problems(layout)
        do_what_it_says(finding)
        assert [] == problems(layout)
