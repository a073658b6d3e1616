"""``tierctl rollback``: what a user gets."""

import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from program import Program
from reporters import Heard
from targets import links, listing, make_deployment, make_target
from tierctl.change import change
from tierctl.change.requests import Rollback
from tierctl.fs.local import OsFileSystem
from tierctl.target.packages import Package, to_document
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import Author
from tierctl.testing import Fault, FaultyFileSystem, Killed

ADA = Author("ada", "node7")


@pytest.fixture
def promoted(tierctl: Program, tmp_path: Path) -> Layout:
    """A target whose production has moved from deployment 41 to 42."""
    layout = make_target(tmp_path, blue=42, green=41)
    assert 0 == tierctl("promote-staging", "-t", tmp_path).code
    return layout


def deploy(layout: Layout, number: int) -> None:
    """Point staging's color to a new deployment, as a deploy does."""
    make_deployment(layout, number)
    color = Path(layout.within(links(layout)["staging"]))
    color.unlink()
    color.symlink_to(f"deployments/{number}")


def served(layout: Layout) -> str:
    return Path(layout.within("production")).resolve().name


def test_it_swaps_back_if_nothing_else_moved(tierctl: Program, promoted: Layout) -> None:
    done = tierctl("rollback", "-t", promoted.top)
    assert 0 == done.code
    assert "production: blue -> green (deployment 42 -> 41)" == done.out.splitlines()[0]
    assert "41" == served(promoted)


def test_a_color_that_was_pointed_elsewhere_is_pointed_back(
    tierctl: Program, promoted: Layout
) -> None:
    deploy(promoted, 43)
    done = tierctl("rollback", "-t", promoted.top)
    assert 0 == done.code
    assert "green: deployment 43 -> deployment 41" in done.out
    assert "41" == served(promoted)
    assert 2 == len(tierctl("history", "-t", promoted.top).out.splitlines())


def test_again_goes_further_back_and_never_forward(tierctl: Program, promoted: Layout) -> None:
    for number in (43, 44):
        deploy(promoted, number)
        assert 0 == tierctl("promote-staging", "-t", promoted.top).code
    went = []
    while tierctl("rollback", "-t", promoted.top).code == 0:
        went.append(served(promoted))
    assert ["43", "42", "41"] == went


def test_any_finished_deployment_can_be_named(tierctl: Program, promoted: Layout) -> None:
    make_deployment(promoted, 7)
    assert 0 == tierctl("rollback", "-t", promoted.top, "--to", "7").code
    assert "7" == served(promoted)


def test_the_deployment_that_is_served_is_no_change(tierctl: Program, promoted: Layout) -> None:
    done = tierctl("rollback", "-t", promoted.top, "--to", "42")
    assert (0, "42") == (done.code, served(promoted))
    assert "nothing to do" in done.out


REFUSALS = {
    "the first promotion": "what production served before",
    "records missing": "what production served before",
    "no production": "production does not exist yet",
    "content gone": "deployment 41 is not there\nFinished deployments: 46, 45, 44, 43, 42. ",
    "never finished": "deployment 9 was never finished",
}


@pytest.mark.parametrize("why", REFUSALS)
def test_it_says_why_there_is_no_way_back(tierctl: Program, tmp_path: Path, why: str) -> None:
    layout = make_target(tmp_path, blue=42, green=41, production=None)
    options: list[str] = []
    if why != "no production":
        tierctl("promote-staging", "-t", tmp_path)
    if why == "records missing":
        deploy(layout, 43)
        tierctl("promote-staging", "-t", tmp_path)
        shutil.rmtree(layout.control)
    if why == "content gone":
        deploy(layout, 41)
        deploy(layout, 43)
        tierctl("promote-staging", "-t", tmp_path)
        deploy(layout, 44)
        tierctl("rollback", "-t", tmp_path, "--to", "41")
        deploy(layout, 45)
        tierctl("promote-staging", "-t", tmp_path)
        deploy(layout, 46)
        shutil.rmtree(layout.within("deployments/41"))
    if why == "never finished":
        make_deployment(layout, 9, finished=False)
        options = ["--to", "9"]
    before = listing(tmp_path)
    done = tierctl("rollback", "-t", tmp_path, *options)
    assert (1, "") == (done.code, done.out)
    assert REFUSALS[why] in done.err
    assert links(layout) == {k: before[f"infrastructure/{k}"][4].decode() for k in links(layout)}


def test_a_tier_made_by_hand_goes_back_once(tierctl: Program, tmp_path: Path) -> None:
    layout = make_target(tmp_path)
    tierctl("promote-staging", "-t", tmp_path)
    assert 0 == tierctl("rollback", "-t", tmp_path).code
    assert "green" == links(layout)["production"]
    assert 1 == tierctl("rollback", "-t", tmp_path).code


def test_a_dry_run_prints_the_same_and_writes_nothing(tierctl: Program, promoted: Layout) -> None:
    deploy(promoted, 43)
    before = listing(promoted.top)
    dry = tierctl("rollback", "-t", promoted.top, "--dry-run")
    assert before == listing(promoted.top)
    assert dry.out == tierctl("rollback", "-t", promoted.top).out


@pytest.mark.parametrize("number", ["0", "-1", "x", "../41"])
def test_a_deployment_is_a_number(tierctl: Program, promoted: Layout, number: str) -> None:
    assert 2 == tierctl("rollback", "-t", promoted.top, "--to", number).code


def test_an_interrupted_rollback_to_what_was_removed_since_moves_nothing(
    tierctl: Program, promoted: Layout
) -> None:
    deploy(promoted, 43)
    fs = OsFileSystem()
    at = 0
    while not Path(promoted.intent).exists():
        at += 1
        with suppress(Killed):
            faulty = FaultyFileSystem(fs, Fault(at, number=None))
            change.carry_out(Target(faulty, promoted), Rollback(), ADA, Heard(), lock_timeout=0)
    shutil.rmtree(promoted.within("deployments/41"))
    before = links(promoted)
    done = tierctl("promote-staging", "-t", promoted.top)
    assert (1, before) == (done.code, links(promoted))
    assert "deployment 41 is gone" in done.err
    assert "42" == served(promoted)


def test_the_last_line_says_how_to_go_forward_again(tierctl: Program, promoted: Layout) -> None:
    done = tierctl("rollback", "-t", promoted.top)
    forward = f"tierctl rollback --to 42 --target {promoted.top}"
    assert f"To go forward again: {forward}" == done.out.splitlines()[-1]
    again = tierctl(*forward.split()[1:], "--json")
    assert (0, "42", None) == (again.code, served(promoted), again.document["forward"])
    back = tierctl("rollback", "-t", promoted.top, "--json")
    assert (0, forward) == (back.code, back.document["forward"])


def test_a_tier_made_by_hand_goes_forward_by_a_promotion(tierctl: Program, tmp_path: Path) -> None:
    layout = make_target(tmp_path)
    tierctl("promote-staging", "-t", tmp_path)
    forward = f"tierctl promote-staging --target {tmp_path}"
    done = tierctl("rollback", "-t", tmp_path)
    assert f"To go forward again: {forward}" == done.out.splitlines()[-1]
    assert 0 == tierctl(*forward.split()[1:]).code
    assert "blue" == links(layout)["production"]


def hold(layout: Layout, number: int, packages: int, commands: int) -> None:
    """Put packages and commands into a deployment."""
    top = Path(layout.within(f"deployments/{number}"))
    named = tuple(Package(f"p{each}", "1.0") for each in range(packages))
    listed = json.dumps(to_document({"python": named}))
    Path(layout.packages_record(f"deployments/{number}")).write_text(listed)
    (top / "bin").mkdir()
    for each in range(commands):
        (top / "bin" / f"c{each}").touch(0o755)


@pytest.mark.parametrize(
    ("packages", "commands", "vanishes"),
    [
        (2, 1, "2 packages and 1 command (c0)"),
        (1, 0, "1 package"),
        (0, 7, "7 commands (c0, c1, c2, c3, c4, ...)"),
        (0, 0, "all that is in deployment 2"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_before_production_is_emptied_it_says_what_would_vanish(
    tierctl: Program,
    tmp_path: Path,
    packages: int,
    commands: int,
    vanishes: str,
    options: list[str],
) -> None:
    layout = make_target(tmp_path, blue=2, green=1, empty=(1,))
    hold(layout, 2, packages, commands)
    assert 0 == tierctl("promote-staging", "-t", tmp_path).code
    done = tierctl("rollback", "-t", tmp_path, *options)
    message = (
        f"this rollback leads to deployment 1, the empty tier: production would lose {vanishes}"
    )
    command = f"tierctl rollback --to 1 --target {tmp_path}"
    assert (1, "", f"Error: {message}\nIf you mean it: {command}\n") == done
    error = tierctl("rollback", "-t", tmp_path, *options, "--json").document["error"]
    assert ("empties-production", message) == (error["code"], error["message"])
    assert "2" == served(layout)
    assert 0 == tierctl("rollback", "-t", tmp_path, "--to", "1").code
    assert "1" == served(layout)


def test_what_cannot_be_looked_into_is_no_reason_to_empty_production(
    tierctl: Program, tmp_path: Path
) -> None:
    layout = make_target(tmp_path, blue=2, green=1, empty=(1,))
    hold(layout, 2, 1, 1)
    assert 0 == tierctl("promote-staging", "-t", tmp_path).code
    Path(layout.packages_record("deployments/2")).write_text("no JSON")
    done = tierctl("rollback", "-t", tmp_path)
    assert (1, "2") == (done.code, served(layout))
    assert "production would lose all that is in deployment 2" in done.err
