"""What a shell gets of a tier's environments: their order, and the scripts that they bring."""

from pathlib import Path

import pytest

from shell_driver import FISH, SHELLS, TCSH, Shell, make_loadable, run
from tierctl import profiles
from tierctl.target.paths import Layout

every_shell = pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell.name)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return make_loadable(tmp_path / "my lab")


def environment(layout: Layout, name: str, number: int = 41) -> Path:
    return Path(layout.within(f"deployments/{number}/conda/envs/{name}"))


def hook(layout: Layout, shell: Shell, name: str, event: str, text: str, number: int = 41) -> None:
    """Put a script into an environment that runs when it begins or ends."""
    file = environment(layout, name, number) / f"etc/conda/{event}.d/own.{shell.suffix}"
    file.parent.mkdir(parents=True)
    file.write_text(text)


def setting(shell: Shell, name: str, value: str) -> str:
    """Return the command that exports a variable."""
    if shell is FISH:
        return f"set -gx {name} {value}\n"
    return f"setenv {name} {value}\n" if shell is TCSH else f"export {name}={value}\n"


@every_shell
def test_the_order_that_definitions_give_is_the_order_on_path(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    text = profiles.files(layout, "deployments/41", ["py", "abc"])[shell.profile]
    Path(layout.within("deployments/41/etc"), shell.profile).write_text(text)
    done = run(shell, shell.source(), layout, tmp_path)
    tier = layout.within("deployments/41")
    wanted = [f"{tier}/bin", f"{tier}/conda/envs/py/bin", f"{tier}/conda/envs/abc/bin"]
    assert wanted == done.env["PATH"].split(":")[:3]
    assert f"{tier}/conda/envs/py" == done.env["CONDA_PREFIX"]


@every_shell
def test_the_prefix_is_that_of_the_first_one_and_comes_back(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    before = setting(shell, "CONDA_PREFIX", "/mine")
    assert (
        str(environment(layout, "abc"))
        == (run(shell, before + shell.source(), layout, tmp_path).env["CONDA_PREFIX"])
    )
    text = f"{before}{shell.source()}{shell.source('staging')}iac_unload\n"
    done = run(shell, text, layout, tmp_path)
    assert ("/mine", "") == (done.env["CONDA_PREFIX"], done.err)


@every_shell
def test_scripts_run_in_their_own_prefix(shell: Shell, layout: Layout, tmp_path: Path) -> None:
    hook(layout, shell, "py", "activate", setting(shell, "SEEN", '"$CONDA_PREFIX"'))
    done = run(shell, shell.source(), layout, tmp_path)
    assert (str(environment(layout, "py")), "") == (done.env["SEEN"], done.err)
    assert str(environment(layout, "abc")) == done.env["CONDA_PREFIX"]


@every_shell
@pytest.mark.parametrize("how", ["unload", "switch", "again"])
def test_when_a_tier_is_left_its_scripts_run(
    shell: Shell, how: str, layout: Layout, tmp_path: Path
) -> None:
    hook(layout, shell, "py", "activate", setting(shell, "BEGUN", "yes"))
    hook(layout, shell, "py", "deactivate", setting(shell, "ENDED", '"$CONDA_PREFIX"'))
    leave = {
        "unload": "iac_unload\n",
        "switch": shell.source("staging"),
        "again": shell.source(),
    }
    done = run(shell, shell.source() + leave[how], layout, tmp_path)
    assert "" == done.err
    assert ("yes", str(environment(layout, "py"))) == (done.env["BEGUN"], done.env["ENDED"])


@every_shell
def test_before_anything_was_loaded_nothing_is_left(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    hook(layout, shell, "py", "deactivate", setting(shell, "ENDED", "yes"))
    done = run(shell, shell.source(), layout, tmp_path)
    assert "ENDED" not in done.env


@pytest.mark.parametrize("shell", [s for s in SHELLS if s.suffix == "sh"], ids=lambda s: s.name)
def test_scripts_that_fail_are_told_and_end_nothing(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    hook(layout, shell, "py", "activate", "false $UNSET\nreturn 2\n")
    hook(layout, shell, "py", "deactivate", "false $UNSET\nreturn 2\n")
    done = run(shell, f"set -eu\n{shell.source()}iac_unload\necho there\n", layout, tmp_path)
    assert "there\n" == done.out
    assert 2 == done.err.count("failed\n")
