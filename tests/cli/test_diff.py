"""``tierctl diff``: what a user gets."""

import json
from pathlib import Path

import pytest

from program import Program
from targets import make_target
from tierctl.target import packages
from tierctl.target.packages import Package
from tierctl.target.paths import Layout

NUMPY = Package("numpy", "1.26", "py311_0", "linux-64", "conda-forge", "a" * 64, 10)


def fill(layout: Layout, number: int, *found: Package, commands: tuple[str, ...] = ()) -> None:
    """Give a deployment packages, and commands in its environment."""
    directory = f"deployments/{number}"
    record = Path(layout.packages_record(directory))
    record.write_text(json.dumps(packages.to_document({"python": found})))
    bin_ = Path(layout.within(directory), "conda", "envs", "python", "bin")
    bin_.mkdir(parents=True)
    for command in commands:
        (bin_ / command).touch(0o755)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Production is 41, staging 42; 40 is still there."""
    layout = make_target(tmp_path, blue=42, green=41, deployments=(40,))
    fill(
        layout,
        41,
        NUMPY,
        NUMPY._replace(name="old"),
        NUMPY._replace(name="same"),
        commands=("f2py",),
    )
    fill(
        layout,
        42,
        NUMPY._replace(version="2.0"),
        NUMPY._replace(name="new", version="7"),
        NUMPY._replace(name="same"),
        commands=("f2py", "numpy-config"),
    )
    fill(layout, 40, NUMPY._replace(build="py311_1"))
    return layout


def test_production_is_compared_with_staging(tierctl: Program, layout: Layout) -> None:
    done = tierctl("diff", "-t", layout.top)
    assert (0, "") == (done.code, done.err)
    assert [
        "production (deployment 41) -> staging (deployment 42)",
        "  python  added     new    7",
        "  python  upgraded  numpy  1.26 -> 2.0",
        "  python  removed   old    1.26",
        "commands that appear: numpy-config",
    ] == done.out.splitlines()


def test_any_two_can_be_compared(tierctl: Program, layout: Layout) -> None:
    done = tierctl("diff", "-t", layout.top, "40", "green")
    assert "40 (deployment 40) -> green (deployment 41)" in done.out
    assert "  python  rebuilt  numpy  1.26 py311_1 -> 1.26 py311_0" in done.out.splitlines()
    assert "commands that appear: f2py" in done.out
    back = tierctl("diff", "-t", layout.top, "staging", "production")
    assert "downgraded  numpy  2.0 -> 1.26" in back.out
    assert "commands that vanish: numpy-config" in back.out


@pytest.mark.parametrize(("other", "code"), [("42", 3), ("41", 0)])
def test_the_exit_code_tells_if_it_is_asked_to(
    tierctl: Program, layout: Layout, other: str, code: int
) -> None:
    assert code == tierctl("diff", "-t", layout.top, "41", other, "--exit-code").code
    assert 0 == tierctl("diff", "-t", layout.top, "41", other).code


def test_the_same_is_no_difference(tierctl: Program, layout: Layout) -> None:
    done = tierctl("diff", "-t", layout.top, "production", "41")
    assert "no difference" == done.out.splitlines()[-1]


def test_what_cannot_be_compared_is_not_said_to_be_the_same(
    tierctl: Program, tmp_path: Path
) -> None:
    layout = make_target(tmp_path / "by hand")
    Path(layout.within("blue/lib")).mkdir()
    words = ["diff", "-t", layout.top, "--exit-code"]
    done, document = tierctl(*words), tierctl(*words, "--json").document
    assert (3, "no difference in what can be compared") == (done.code, done.out.splitlines()[-1])
    assert document["differ"] is None
    assert 0 == tierctl(*words, "blue", "blue").code


def test_the_document_holds_all_of_it(tierctl: Program, layout: Layout) -> None:
    document = tierctl("diff", "-t", layout.top, "--json").document
    assert (True, True) == (document["ok"], document["differ"])
    assert {
        "name": "production",
        "directory": "deployments/41",
        "deployment": 41,
        "listed": True,
    } == (document["before"])
    added, upgraded, removed = document["packages"]
    assert ("new", "added", None) == (added["name"], added["kind"], added["before"])
    assert ("1.26", "2.0") == (upgraded["before"]["version"], upgraded["after"]["version"])
    assert removed["after"] is None
    assert {"appear": ["numpy-config"], "vanish": []} == document["commands"]


def test_of_a_plain_directory_there_are_only_commands(tierctl: Program, tmp_path: Path) -> None:
    layout = make_target(tmp_path)
    Path(layout.within("blue"), "bin").mkdir()
    Path(layout.within("blue"), "bin", "hello").touch(0o755)
    Path(layout.within("blue"), "bin", "notes.txt").touch(0o644)
    Path(layout.within("blue"), "bin", "gone").symlink_to("nowhere")
    done = tierctl("diff", "-t", layout.top)
    assert "commands that appear: hello" == done.out.splitlines()[-1]
    assert "Of staging (plain directory blue) no packages are listed." in done.err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("77", "there is no finished deployment 77"),
        ("dev9", "there is no tier dev9"),
        ("../x", "there is no tier ../x"),
    ],
)
def test_what_is_not_there_is_said(tierctl: Program, layout: Layout, name: str, said: str) -> None:
    done = tierctl("diff", "-t", layout.top, name)
    assert (1, "") == (done.code, done.out)
    assert said in done.err
    assert "There are: " in done.err


def test_a_list_that_cannot_be_read_is_named(tierctl: Program, layout: Layout) -> None:
    Path(layout.packages_record("deployments/42")).write_text("rubbish")
    done = tierctl("diff", "-t", layout.top)
    assert 1 == done.code
    assert "deployments/42/meta/packages.json" in done.err
