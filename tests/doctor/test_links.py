"""What doctor says of links: one finding for a cause, and what to type."""

import os
import subprocess
from pathlib import Path

import pytest

from reporters import Heard, carry_out
from targets import links, make_deployment, make_target
from tierctl.change import bootstrap, change
from tierctl.change.requests import Promotion
from tierctl.doctor import Finding, Severity, diagnose
from tierctl.fs.local import OsFileSystem
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import Author

FS = OsFileSystem()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A target in a path that has to be quoted, with three finished deployments."""
    layout = make_target(tmp_path / "my lab", blue=42, green=41, deployments=(40,))
    for number in (40, 41, 42):
        add_profile(layout, number)
    return layout


def add_profile(layout: Layout, number: int) -> Path:
    profile = Path(layout.within(f"deployments/{number}"), "etc", "profile.sh")
    profile.parent.mkdir()
    profile.touch()
    return profile


def relink(layout: Layout, name: str, text: str) -> None:
    Path(layout.within(name)).unlink(missing_ok=True)
    Path(layout.within(name)).symlink_to(text)


def problems(layout: Layout) -> list[Finding]:
    found = diagnose(Target(FS, layout))
    return [finding for finding in found if finding.severity is Severity.PROBLEM]


def do_what_it_says(finding: Finding) -> None:
    """Type what stands at the end of an advice."""
    command = finding.advice[finding.advice.index(": ") + 2 :]
    subprocess.run(["sh", "-c", command], check=True)


def test_a_color_that_dangles_is_one_problem_with_its_chain(layout: Layout) -> None:
    relink(layout, "green", "deployments/9")
    (finding,) = problems(layout)
    assert "/green is dangling: green -> deployments/9, which does not exist" in finding.text
    assert finding.meaning.startswith("production cannot be loaded.")
    assert "(or 41, 40)" in finding.advice
    do_what_it_says(finding)
    assert "deployments/42" == links(layout)["green"]


@pytest.mark.parametrize(
    ("tier", "text", "right"),
    [
        ("staging", "gone", "blue"),
        ("staging", "staging", "blue"),
        ("staging", "deployments/42", "blue"),
        ("production", "deployments/41", "green"),
        ("staging", "green", "blue"),
    ],
)
def test_a_tier_that_points_to_something_odd_gets_the_color_that_is_free(
    layout: Layout, tier: str, text: str, right: str
) -> None:
    relink(layout, tier, text)
    (finding,) = problems(layout)
    do_what_it_says(finding)
    assert right == links(layout)[tier]
    assert [] == problems(layout)


def test_what_stands_in_the_place_of_a_link_is_moved_aside(layout: Layout) -> None:
    Path(layout.within("staging")).unlink()
    Path(layout.within("staging")).mkdir()
    Path(layout.within("staging"), "thesis").touch()
    (finding,) = problems(layout)
    do_what_it_says(finding)
    assert "blue" == links(layout)["staging"]
    assert Path(layout.within("staging.old"), "thesis").exists()


def test_a_production_that_was_there_is_a_problem_when_it_is_not(layout: Layout) -> None:
    change.carry_out(Target(FS, layout), Promotion(), Author("ada", "lab"), Heard(), lock_timeout=0)
    Path(layout.within("production")).unlink()
    (finding,) = problems(layout)
    assert "production is missing; history knows that it was blue" == finding.text
    do_what_it_says(finding)
    assert "blue" == links(layout)["production"]
    assert [] == problems(layout)


def test_a_production_that_never_was_is_no_problem(tmp_path: Path) -> None:
    layout = make_target(tmp_path, production=None)
    assert [] == problems(layout)
    (finding,) = (
        finding
        for finding in diagnose(Target(FS, layout))
        if "production -> missing" in finding.text
    )
    assert (Severity.NOTE, "promote-staging") == (finding.severity, finding.command)


def test_a_color_that_shows_what_was_never_finished_is_a_problem(layout: Layout) -> None:
    make_deployment(layout, 50, finished=False)
    add_profile(layout, 50)
    assert [] == problems(layout)
    relink(layout, "blue", "deployments/50")
    (finding,) = problems(layout)
    assert "blue shows deployment 50, which was never finished" == finding.text
    do_what_it_says(finding)
    assert [] == problems(layout)


def test_production_without_profile_is_a_problem_where_it_is_a_deployment(layout: Layout) -> None:
    os.unlink(f"{layout.within('blue')}/etc/profile.sh")
    assert [] == problems(layout)
    os.unlink(f"{layout.within('green')}/etc/profile.sh")
    (finding,) = problems(layout)
    assert ("green has no etc/profile.sh", "") == (finding.text, finding.command)
    assert finding.advice.endswith("or promote another.")  # history knows of nothing before it
    carry_out(layout, Promotion(force=True))
    (finding,) = problems(layout)
    assert ("blue has no etc/profile.sh", "rollback") == (finding.text, finding.command)


def test_a_color_is_pointed_back_to_what_history_says_it_showed(layout: Layout) -> None:
    carry_out(layout, Promotion(force=True))
    make_deployment(layout, 50)
    shown = os.readlink(layout.within("blue"))
    relink(layout, "blue", "deployments/gone")
    finding = next(each for each in problems(layout) if "blue" in each.text)
    assert f"To point it to what it showed (or 50, 41, 40): ln -sfn {shown} " in finding.advice
    do_what_it_says(finding)
    assert shown == os.readlink(layout.within("blue"))


def test_a_target_that_was_moved_is_a_problem_and_moved_back_it_is_none(tmp_path: Path) -> None:
    old, new = tmp_path / "it's my lab", tmp_path / "elsewhere"
    bootstrap.create(FS, str(old), Author("ada", "lab"), None, lock_timeout=0)
    assert [] == problems(Layout.of_target(str(old)))
    old.rename(new)
    found = problems(Layout.of_target(str(new)))
    assert [
        f"the profile of blue leads to {old}/infrastructure/deployments/1",
        f"the profile of green leads to {old}/infrastructure/deployments/1",
    ] == [finding.text for finding in found]
    new.rename(old)
    (tmp_path / "alias").symlink_to(old)
    assert [] == problems(Layout.of_target(str(tmp_path / "alias")))


@pytest.mark.parametrize("kind", ["file", "symlink"])
def test_what_is_named_like_a_deployment_and_is_none_is_worth_knowing(
    layout: Layout, kind: str
) -> None:
    path = Path(layout.within("deployments/77"))
    path.touch() if kind == "file" else path.symlink_to("41")
    texts = [
        found.text for found in diagnose(Target(FS, layout)) if found.severity is Severity.NOTE
    ]
    assert f"{path} is a {kind}, not a directory" in texts
    assert not any("unfinished" in text for text in texts)
