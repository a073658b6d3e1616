"""The functions that a profile defines: load, reload, unload, status, dump_vars."""

import subprocess
from pathlib import Path

import pytest

from shell_driver import BASH, FISH, SHELLS, TCSH, ZSH, Shell, loaded, make_loadable, run, type_in
from tierctl.target.paths import Layout
from tools import require_tool

every_shell = pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell.name)

# Each prints the names of all variables and functions; the shell's own come and go.
NAMES = {
    "bash": "compgen -v; compgen -A function",
    "zsh": "print -l ${(k)parameters} ${(k)functions}",
    "fish": "set --names; functions -n -a",
    "tcsh": "set; alias",
}
SHELLS_OWN = {"_", "OPTIND", "PIPESTATUS", "FUNCNAME", "BASH_ARGV", "BASH_ARGC", "status"}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return make_loadable(tmp_path / "lab with 'quotes'")


@every_shell
@pytest.mark.parametrize("argument", ["", "nope", "deployments", "deployments/42", "..", "'a b'"])
def test_loading_what_is_no_tier_fails_and_lists_the_tiers(
    shell: Shell, argument: str, layout: Layout, tmp_path: Path
) -> None:
    status = "$status" if shell in (FISH, TCSH) else "$?"
    text = shell.source() + f"iac_load {argument}\necho {status}\n"
    done = run(shell, text, layout, tmp_path)
    assert "1\n" == done.out
    assert "Usage: iac_load TIER" in done.err
    assert "blue dev1 green production staging" in done.err
    assert "41" == done.env["IAC_DEPLOYMENT"]


@pytest.mark.parametrize("shell", [BASH, ZSH], ids=lambda shell: shell.name)
def test_loading_what_is_no_tier_does_not_end_a_shell_with_nounset(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    text = f"set -u\n{shell.source()}iac_load\niac_status\niac_dump_vars\niac_reload\niac_unload"
    done = run(shell, text, layout, tmp_path)
    assert 0 == done.code
    assert {"PATH"} == set(loaded(done))


@every_shell
def test_every_change_is_taken_back_by_unload_byte_for_byte(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    for variables in ({}, {"CONDARC": " odd 'rc' $x"}, {"CONDARC": ""}):
        before = run(shell, "true", layout, tmp_path, **variables)
        text = shell.source() + "iac_load staging\niac_reload\niac_unload"
        after = run(shell, text, layout, tmp_path, **variables)
        assert before.env == after.env
        child = run(shell, shell.source(), layout, tmp_path, **variables).env
        nested = run(shell, shell.source() + "iac_unload", layout, tmp_path, **child)
        assert before.env.get("CONDARC") == nested.env.get("CONDARC")
        assert before.env["PATH"] == nested.env["PATH"]


@every_shell
def test_only_iac_names_are_added_and_unload_takes_them_away(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    names = NAMES[shell.name]
    text = f"{names}\necho ------\n{shell.source()}{names}\necho ------\niac_unload\n{names}"
    done = run(shell, text, layout, tmp_path)
    before, during, after = (
        {line.split("\t")[0] for line in part.splitlines()} - SHELLS_OWN
        for part in done.out.split("------\n")
    )
    added = during - before - {"CONDARC", "CONDA_PREFIX"}
    assert set() == {name for name in added if not name.startswith(("IAC_", "iac_", "_iac_"))}
    functions = {"iac_load", "iac_reload", "iac_unload", "iac_status", "iac_dump_vars"}
    assert functions == {name for name in added if name.startswith("iac_")}
    assert set() == after - before


@every_shell
def test_status_names_the_tier_its_directory_and_its_deployment(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    done = run(shell, shell.source("staging") + "iac_load staging\niac_status", layout, tmp_path)
    lines = [line.split(maxsplit=1) for line in done.out.splitlines()]
    assert [
        ["tier", "staging"],
        ["directory", layout.within("deployments/42")],
        ["deployment", "42"],
    ] == lines


@every_shell
def test_status_says_that_a_tier_is_gone(shell: Shell, layout: Layout, tmp_path: Path) -> None:
    text = shell.source() + 'iac_load dev1\n/usr/bin/rm "$I/dev1"\niac_status\niac_reload\n'
    done = run(shell, text, layout, tmp_path)
    assert "dev1 is gone" in done.out
    assert "dev1" in done.err


@every_shell
def test_dump_vars_prints_each_variable_as_it_is(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    done = run(shell, shell.source() + "iac_dump_vars", layout, tmp_path)
    printed = dict(line.split("=", 1) for line in done.out.splitlines())
    variables = loaded(done)
    del variables["PATH"]
    assert variables == printed


@every_shell
def test_a_nested_shell_has_the_functions_after_loading_again(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    outer = run(shell, shell.source(), layout, tmp_path)
    inner = run(shell, shell.source("blue") + "iac_load staging", layout, tmp_path, **outer.env)
    assert "42" == inner.env["IAC_DEPLOYMENT"]


def test_bash_completes_the_tiers(layout: Layout, tmp_path: Path) -> None:
    lines = [BASH.source(), "iac_load st\t"]
    assert "staging" == type_in(BASH, lines, layout, tmp_path).env["IAC_TIER_NAME"]


def test_zsh_completes_the_tiers_once_its_completion_is_loaded(
    layout: Layout, tmp_path: Path
) -> None:
    lines = ["autoload -U compinit; compinit -u -D", ZSH.source(), "iac_load st\t"]
    assert "staging" == type_in(ZSH, lines, layout, tmp_path).env["IAC_TIER_NAME"]


def test_fish_completes_the_tiers(layout: Layout, tmp_path: Path) -> None:
    file = tmp_path / "complete.fish"
    file.write_text(FISH.source() + 'complete -C "iac_load "')
    done = subprocess.run(
        [require_tool("fish"), *FISH.bare, "-i", file],
        env={"I": layout.infrastructure, "HOME": str(tmp_path), "TERM": "vt100", "PATH": "/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    interactive = type_in(FISH, [FISH.source(), 'complete -C "iac_load s"'], layout, tmp_path)
    assert "staging" in done.stdout + interactive.out


def test_tcsh_completes_the_tiers(layout: Layout, tmp_path: Path) -> None:
    lines = [TCSH.source(), "iac_load st\t"]
    assert "staging" == type_in(TCSH, lines, layout, tmp_path).env["IAC_TIER_NAME"]


@every_shell
def test_status_opens_the_directory_of_the_links_before_it_looks(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    """Without that an NFS client would answer from its cache."""
    opened = {}
    for command in ("true", "iac_status"):
        log = tmp_path / command
        words = ("-qq", "-o", str(log), "-e", "trace=open,openat", require_tool(shell.name))
        traced = Shell("strace", shell.suffix, (*words, *shell.bare))
        done = run(traced, f"{shell.source()}{command}\n", layout, tmp_path)
        assert 0 == done.code, done.err
        opened[command] = log.read_text().count(f'"{layout.infrastructure}/"')
        opened[command] += log.read_text().count(f'"{layout.infrastructure}"')
    assert opened["true"] < opened["iac_status"]
