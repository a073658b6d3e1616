"""Loading goes on, and leaves the shell as it was, whatever the user's settings and scripts."""

import subprocess
import tempfile
from pathlib import Path

import pytest

from shell_driver import BASH, FISH, SHELLS, TCSH, ZSH, Shell, expected, loaded, make_loadable, run
from tierctl.target.paths import Layout
from tools import require_root

ORIGINAL = "/usr/bin:/bin"
NOBODY = 65534

every_shell = pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell.name)

SHADOWS = "; ".join(f"{name}() {{ exit 9; }}" for name in ("cd", "source", "test", "printf", "pwd"))
ALIASES = "alias cd=false source=false test=false printf=false pwd=false .=false"
SETTINGS = {
    BASH: (
        "set -eu",
        "set -euo pipefail",
        "set -eEuo pipefail; trap 'exit 7' ERR",
        "set -o noclobber",
        "set -f",
        "shopt -s nullglob",
        "shopt -s failglob",
        "shopt -s dotglob extglob globstar nocaseglob nocasematch",
        "set -o posix",
        "IFS=/",
        "IFS=",
        "IFS=abcdefghijklmnopqrstuvwxyz-_:",
        "CDPATH=/tmp:/",
        f"shopt -s expand_aliases; {ALIASES}",
        SHADOWS,
    ),
    ZSH: (
        "set -eu",
        "set -euo pipefail",
        "setopt err_return no_unset",
        "setopt noclobber",
        "setopt no_glob",
        "setopt ksh_arrays sh_word_split glob_subst",
        "setopt null_glob glob_dots",
        "setopt csh_null_glob",
        "setopt rc_quotes csh_junkie_quotes",
        "setopt glob_assign magic_equal_subst mark_dirs numeric_glob_sort",
        "setopt all_export local_options chase_links auto_pushd cd_silent",
        "emulate sh",
        "emulate ksh",
        "IFS=/",
        "IFS=",
        "CDPATH=/tmp:/",
        ALIASES,
        SHADOWS + "; chpwd() { echo moved }",
    ),
}
OPTIONS = {"bash": "set +o; shopt -p", "zsh": "set -o"}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return make_loadable(tmp_path / "lab")


def script(layout: Layout, shell: Shell, name: str, text: str) -> Path:
    """Put a script into the profile.d of production."""
    file = Path(layout.within(f"deployments/41/etc/profile.d/{name}.{shell.suffix}"))
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("shell", "setting"),
    [(shell, setting) for shell, settings in SETTINGS.items() for setting in settings],
    ids=lambda value: value.name if isinstance(value, Shell) else None,
)
def test_settings_neither_break_a_load_nor_are_changed_by_it(
    shell: Shell, setting: str, layout: Layout, tmp_path: Path
) -> None:
    for name in ("10-a", "20-b"):
        script(layout, shell, name, f"ran=${{ran:-}}{name}; false\n: $no_such_variable\n")
    state = f'{OPTIONS[shell.name]}; trap; builtin printf "%q\\n" "$IFS" "$@"'
    text = f"""{setting}
{{ {state}; }} > before
{{ \\builtin . "$I/production/etc/profile.sh" "$@"; }} 2> messages
{{ {state}; }} > after
iac_status > status; iac_reload; iac_load production; builtin echo "$ran"
"""
    done = run(shell, text, layout, tmp_path, "one", "t w o")
    assert (0, "") == (done.code, (tmp_path / "messages").read_text() + done.err)
    assert expected(layout, "deployments/41", "production", ORIGINAL) == loaded(done)
    assert (tmp_path / "before").read_text() == (tmp_path / "after").read_text()
    assert "moved" not in (tmp_path / "status").read_text()
    assert 3 * "10-a20-b" == done.out.strip()


@every_shell
@pytest.mark.parametrize("name", ["lab", "it's my lab"])
def test_of_a_target_that_was_moved_nothing_is_loaded_and_it_says_why(
    shell: Shell, name: str, tmp_path: Path
) -> None:
    layout = make_loadable(tmp_path / name)
    Path(layout.top).rename(tmp_path / "elsewhere")
    moved = Layout.of_target(str(tmp_path / "elsewhere"))
    options = "set -eu\n" if shell in (BASH, ZSH) else ""
    done = run(shell, f"{options}{shell.source()}echo on", moved, tmp_path)
    assert (0, "on\n") == (done.code, done.out)
    gone = layout.within("deployments/41")
    assert done.err.startswith(f"tierctl: nothing loaded: {gone} is gone. Was the target moved")
    assert not any(variable.startswith("IAC_") for variable in done.env)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_executed_it_says_that_it_is_to_be_sourced(shell: str, layout: Layout) -> None:
    profile = f"{layout.within('production')}/etc/profile.sh"
    done = subprocess.run([shell, profile], capture_output=True, text=True)
    said = f"tierctl: nothing loaded: a profile is sourced, not executed. Type: source {profile}\n"
    assert (1, "", said) == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    "command",
    [
        ["bash", "-c", '. "$0"; echo "$IAC_TIER_NAME"'],
        ["bash", "-c", 'f() { . "$1"; }; f "$0"; echo "$IAC_TIER_NAME"'],
        ["bash", "-c", 'BASH_ENV=$0 exec bash -c "echo \\$IAC_TIER_NAME"'],
        ["bash", "-c", 'bash --rcfile "$0" -ic "echo \\$IAC_TIER_NAME" 2>/dev/null'],
        ["bash", "-c", 'echo ". "$0"; echo \\$IAC_TIER_NAME" > script; bash script'],
        ["zsh", "-c", '. "$0"; echo "$IAC_TIER_NAME"'],
        ["zsh", "-c", 'f() { . "$1" }; f "$0"; echo "$IAC_TIER_NAME"'],
        ["zsh", "-c", 'echo ". "$0"; echo \\$IAC_TIER_NAME" > script; zsh script'],
        ["zsh", "-c", 'cp "$0" .zshenv; ZDOTDIR=. zsh -c "echo \\$IAC_TIER_DIR:t"'],
    ],
)
def test_however_it_is_sourced_it_is_loaded(
    command: list[str], layout: Layout, tmp_path: Path
) -> None:
    profile = f"{layout.within('production')}/etc/profile.sh"
    done = subprocess.run([*command, profile], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() in ("production", "41")
    assert "" == done.stderr


@pytest.mark.parametrize("shell", [BASH, ZSH], ids=lambda shell: shell.name)
@pytest.mark.parametrize("options", ["", "set -eu; set -o pipefail"])
def test_a_broken_script_is_warned_about_and_the_next_ones_run(
    shell: Shell, options: str, layout: Layout, tmp_path: Path
) -> None:
    quiet = script(layout, shell, "10-last", '[ -n "${NO_SUCH_VARIABLE-}" ] && NEVER=1\n')
    broken = {
        "15-status": "(exit 2)\n",
        "20-unset": 'echo "$no_such_variable"; return 3\n',
        "30-syntax": "if then\n",
        "40-returns": "set -eu; return 3\n",
    }
    files = [script(layout, shell, name, text) for name, text in broken.items()]
    folder = Path(layout.within("deployments/41/etc/profile.d/50-folder.sh"))
    folder.mkdir()
    script(layout, shell, "90", 'export REACHED="yes$no_such_variable"\n')
    done = run(shell, f"{options}\n{shell.source()}echo $-", layout, tmp_path)
    assert ("yes", 0) == (done.env["REACHED"], done.code)
    for file in files:
        assert f"tierctl: {file} failed\n" in done.err
    assert str(quiet) not in done.err
    assert f"tierctl: cannot read {folder}\n" in done.err
    assert bool(options) == ("e" in done.out.splitlines()[-1])
    assert expected(layout, "deployments/41", "production", ORIGINAL) == loaded(done)


def test_in_zsh_a_glob_without_a_match_costs_only_its_script(
    layout: Layout, tmp_path: Path
) -> None:
    file = script(layout, ZSH, "10", "echo *.no-such\n")
    script(layout, ZSH, "20", "export REACHED=yes\n")
    done = run(ZSH, ZSH.source(), layout, tmp_path)
    assert "yes" == done.env["REACHED"]
    assert f"{file} failed" in done.err


@pytest.mark.parametrize("shell", [FISH, TCSH], ids=lambda shell: shell.name)
def test_a_failing_script_is_warned_about_and_the_next_one_runs(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    quiet = script(layout, shell, "05", "/usr/bin/false\n")
    file = script(layout, shell, "10", "/bin/sh -c 'exit 2'\n")
    if shell is FISH:
        script(layout, shell, "20", "if (\n")
    export = "set -gx REACHED yes\n" if shell is FISH else "setenv REACHED yes\n"
    script(layout, shell, "90", export)
    done = run(shell, shell.source(), layout, tmp_path)
    assert ("yes", 0) == (done.env["REACHED"], done.code)
    assert f"tierctl: {file} failed\n" in done.err
    assert str(quiet) not in done.err
    if shell is FISH:  # which says of itself what is wrong with the syntax, and where
        assert str(file).replace("10.fish", "20.fish") in done.err
    assert expected(layout, "deployments/41", "production", ORIGINAL) == loaded(done)


@pytest.mark.parametrize("text", ["echo $no_such_variable\n", "if ( then\n", "ls *.no-such\n"])
def test_a_csh_error_in_a_script_leaves_the_tier_loaded(
    text: str, layout: Layout, tmp_path: Path
) -> None:
    """Such an error ends the files that csh reads, but neither the shell nor what is set."""
    script(layout, TCSH, "10", text)
    done = run(TCSH, TCSH.source() + "iac_load staging\niac_load production", layout, tmp_path)
    assert expected(layout, "deployments/41", "production", ORIGINAL) == loaded(done)


@every_shell
def test_an_unreadable_script_is_warned_about(shell: Shell) -> None:
    require_root()  # to become somebody who cannot read
    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        scratch.chmod(0o755)
        layout = make_loadable(scratch / "lab")
        file = script(layout, shell, "10", "echo read\n")
        file.chmod(0o600)
        script(layout, shell, "20", "echo reached\n")
        done = run(shell, shell.source(), layout, scratch, user=NOBODY)
    assert "reached\n" == done.out
    assert f"tierctl: cannot read {file}\n" == done.err
    assert expected(layout, "deployments/41", "production", ORIGINAL) == loaded(done)


def test_in_csh_the_glob_variables_are_left_as_they_were(layout: Layout, tmp_path: Path) -> None:
    for setting in ("", "set noglob", "set nonomatch", "set noglob nonomatch"):
        text = f"{setting}\nset > before\n{TCSH.source()}set > after"
        done = run(TCSH, text, layout, tmp_path)
        before, after = (
            {"noglob", "nonomatch"} & set((tmp_path / name).read_text().split())
            for name in ("before", "after")
        )
        assert before == after
        assert expected(layout, "deployments/41", "production", ORIGINAL) == loaded(done)


def test_failglob_is_no_error_where_there_is_no_script(layout: Layout, tmp_path: Path) -> None:
    done = run(BASH, f"shopt -s failglob\n{BASH.source()}", layout, tmp_path)
    assert expected(layout, "deployments/41", "production", ORIGINAL) == loaded(done)
    assert "" == done.err


def test_status_does_not_run_the_users_hook_for_a_new_working_directory(
    layout: Layout, tmp_path: Path
) -> None:
    Path(layout.within("blue")).unlink()
    Path(layout.within("blue")).symlink_to("deployments/42")
    stale = ZSH.source("deployments/41") + "IAC_TIER_NAME=production; chpwd() { echo hook >&2 }\n"
    done = run(ZSH, stale + "iac_status", layout, tmp_path)
    assert "production has moved on to 42: type iac_reload" == done.out.splitlines()[-1]
    assert "" == done.err
