"""What a shell knows after it has loaded a tier."""

import subprocess
from pathlib import Path

import pytest

from shell_driver import (
    BASH,
    SHELLS,
    TCSH,
    ZSH,
    Shell,
    expected,
    loaded,
    make_loadable,
    make_tier,
    run,
    type_in,
)
from tierctl.target.paths import Layout
from tools import require_root, require_tool

ORIGINAL = "/usr/bin:/bin"
LINKS = {"production": 41, "staging": 42, "blue": 41, "green": 42, "dev1": 41}
MOVE_PRODUCTION = """
/usr/bin/ln -s green "$I/.new"
/usr/bin/mv -T "$I/.new" "$I/production"
"""

every_shell = pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell.name)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return make_loadable(tmp_path / "lab")


def script(layout: Layout, shell: Shell, name: str, text: str, number: int = 41) -> Path:
    """Put a script into the profile.d of a deployment."""
    file = Path(layout.within(f"deployments/{number}/etc/profile.d/{name}.{shell.suffix}"))
    file.write_text(text)
    return file


@every_shell
@pytest.mark.parametrize("tier", LINKS)
def test_the_name_is_the_one_in_the_sourced_path(
    shell: Shell, tier: str, layout: Layout, tmp_path: Path
) -> None:
    """tcsh knows the path only of what was typed."""
    if shell is TCSH:
        done = type_in(shell, [shell.source(tier)], layout, tmp_path)
    else:
        done = run(shell, shell.source(tier), layout, tmp_path)
    wanted = expected(layout, f"deployments/{LINKS[tier]}", tier, ORIGINAL)
    assert wanted == loaded(done)


@every_shell
def test_an_interactive_shell_has_the_same_variables(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    done = type_in(shell, [shell.source("staging"), "iac_load production"], layout, tmp_path)
    assert expected(layout, "deployments/41", "production", ORIGINAL) == loaded(done)


@every_shell
def test_a_terminal_without_line_editing_loads_as_its_first_command(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    """tcsh does not define $_ there."""
    done = type_in(shell, [shell.source("staging")], layout, tmp_path, "dumb")
    assert expected(layout, "deployments/42", "staging", ORIGINAL) == loaded(done)


@pytest.mark.parametrize("tier", LINKS)
def test_a_tcsh_script_takes_the_name_from_the_links(
    tier: str, layout: Layout, tmp_path: Path
) -> None:
    done = run(TCSH, TCSH.source(tier), layout, tmp_path)
    assert {41: "production", 42: "staging"}[LINKS[tier]] == done.env["IAC_TIER_NAME"]


@every_shell
@pytest.mark.parametrize("where", ["blue", "blue/etc", "green"])
def test_a_relative_path_without_a_tier_takes_the_name_from_the_links(
    shell: Shell, where: str, layout: Layout, tmp_path: Path
) -> None:
    relative = shell.profile if where.endswith("etc") else f"etc/{shell.profile}"
    done = run(shell, f"source ./{relative}", layout, tmp_path, cwd=layout.within(where))
    name = "staging" if where == "green" else "production"
    assert name == done.env["IAC_TIER_NAME"]


@every_shell
def test_a_deployment_no_link_leads_to_is_named_after_its_directory(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    make_tier(layout, "deployments/7")
    done = run(shell, shell.source("deployments/7"), layout, tmp_path)
    assert expected(layout, "deployments/7", "7", ORIGINAL) == loaded(done)


@pytest.mark.parametrize("shell", [s for s in SHELLS if s is not TCSH], ids=lambda s: s.name)
def test_a_deployments_own_path_gives_its_number_and_reload_stays_there(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    done = run(shell, shell.source("deployments/41") + "iac_reload", layout, tmp_path)
    assert expected(layout, "deployments/41", "41", ORIGINAL) == loaded(done)


@every_shell
def test_a_color_that_is_a_directory_has_no_deployment(shell: Shell, tmp_path: Path) -> None:
    layout = Layout.of_target(str(tmp_path / "lab"))
    make_tier(layout, "blue")
    Path(layout.within("production")).symlink_to("blue")
    done = run(shell, shell.source() + "iac_status", layout, tmp_path)
    assert expected(layout, "blue", "production", ORIGINAL) == loaded(done)
    assert "none, a plain directory" in done.out


@every_shell
def test_loading_again_or_another_tier_or_in_a_child_never_stacks(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    first = run(shell, shell.source("staging") * 2 + shell.source() * 2, layout, tmp_path)
    again = run(shell, shell.source(), layout, tmp_path, **first.env)
    wanted = expected(layout, "deployments/41", "production", ORIGINAL)
    assert [wanted, wanted] == [loaded(first), loaded(again)]


@every_shell
def test_a_missing_piece_is_no_error(shell: Shell, layout: Layout, tmp_path: Path) -> None:
    tier = Path(layout.within("deployments/41"))
    for piece in ("bin", "conda", "etc/profile.d"):
        (tier / piece).rename(tmp_path / Path(piece).name)
    done = run(shell, shell.source(), layout, tmp_path)
    assert f"{tier}/bin:{ORIGINAL}" == done.env["PATH"]
    assert ("", 0) == (done.err, done.code)


@every_shell
@pytest.mark.parametrize("state", ["empty", "unset"])
def test_without_a_path_the_working_directory_is_not_searched(
    shell: Shell, state: str, layout: Layout, tmp_path: Path
) -> None:
    unset = {"fish": "set -e PATH\n", "tcsh": "unsetenv PATH\n"}.get(shell.name, "unset PATH\n")
    done = run(shell, (state == "unset") * unset + shell.source(), layout, tmp_path, path="")
    nested = run(shell, shell.source(), layout, tmp_path, **done.env)
    assert "" not in done.env["PATH"].split(":") + nested.env["PATH"].split(":")
    assert ("", 0) == (done.err, done.code)


@every_shell
def test_no_program_is_started(shell: Shell, layout: Layout, tmp_path: Path) -> None:
    for name in ("a", "b"):
        script(layout, shell, name, "")
    trace = tmp_path / "trace"
    file = tmp_path / "script"
    file.write_text(shell.source() + "iac_status\niac_load staging\niac_dump_vars\niac_unload\n")
    trace_to = [require_tool("strace"), "-f", "-e", "trace=execve", "-o", trace]
    subprocess.run(
        [*trace_to, require_tool(shell.name), *shell.bare, file],
        env={"I": layout.infrastructure, "PATH": "/nonexistent", "HOME": str(tmp_path)},
        check=True,
        capture_output=True,
    )
    assert 1 == trace.read_text().count("execve(")


@every_shell
def test_scripts_run_in_name_order_after_the_tier_is_loaded(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    for name in ("20-b", "10-a", "30-c"):
        script(layout, shell, name, f'echo {name} "$IAC_TIER_NAME"\n')
    script(layout, shell, ".hidden", "echo hidden\n")
    done = run(shell, shell.source(), layout, tmp_path)
    wanted = ["10-a production", "20-b production", "30-c production"]
    assert wanted == done.out.splitlines()


@every_shell
def test_a_promotion_in_the_middle_of_a_load_cannot_mix_two_tiers(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    script(layout, shell, "10", MOVE_PRODUCTION)
    for number in (41, 42):
        script(layout, shell, "20", f"echo from {number}\n", number)
    done = run(shell, shell.source() + "iac_status\n", layout, tmp_path)
    assert expected(layout, "deployments/41", "production", ORIGINAL) == loaded(done)
    assert "from 41" == done.out.splitlines()[0]
    assert "production has moved on" in done.out


def test_a_promotion_before_any_command_of_the_profile_cannot_mix_two_tiers(
    layout: Layout, tmp_path: Path
) -> None:
    """bash runs a DEBUG trap before each command, in functions too with -T."""
    counted = run(BASH, f"n=0; set -T; trap 'n=$((n+1))' DEBUG; {BASH.source()} trap - DEBUG\n"
                  "echo $n", layout, tmp_path)  # fmt: skip
    commands = int(counted.out)
    assert commands > 40
    wanted = expected(layout, "deployments/41", "production", ORIGINAL)
    move = "{ trap - DEBUG; " + MOVE_PRODUCTION.strip().replace("\n", "; ") + "; }"
    for position in range(2, commands, 9):
        Path(layout.within("production")).unlink()
        Path(layout.within("production")).symlink_to("blue")
        trap = f"n=0; set -T; trap 'n=$((n+1)); [[ $n != {position} ]] || {move}' DEBUG\n"
        done = run(BASH, trap + BASH.source() + "trap - DEBUG", layout, tmp_path)
        assert "green" == str(Path(layout.within("production")).readlink())
        assert wanted == loaded(done), position


@every_shell
def test_a_read_only_target_loads(shell: Shell, tmp_path: Path) -> None:
    require_root()
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", mounted], check=True)
    try:
        layout = make_loadable(mounted / "lab")
        subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
        done = run(shell, shell.source(), layout, tmp_path)
    finally:
        subprocess.run(["umount", mounted], check=True)
    assert expected(layout, "deployments/41", "production", ORIGINAL) == loaded(done)
    assert ("", 0) == (done.err, done.code)


@every_shell
def test_the_arguments_of_the_calling_script_are_left_alone(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    text = shell.source() + 'for i in $argv; echo "$i"; end' if shell.name == "fish" else ""
    text = text or shell.source() + 'echo "$1"\necho "$2"\n'
    done = run(shell, text, layout, tmp_path, "--help", "a b")
    assert ["--help", "a b"] == done.out.splitlines()
    assert expected(layout, "deployments/41", "production", ORIGINAL) == loaded(done)


def test_dash_says_that_nothing_is_loaded_and_goes_on(layout: Layout, tmp_path: Path) -> None:
    dash = Shell("dash", "sh", ())
    done = run(dash, '. "$I/production/etc/profile.sh"\necho alive', layout, tmp_path)
    assert ("alive\n", 0) == (done.out, done.code)
    assert "for bash and zsh" in done.err
    assert {"PATH": ORIGINAL} == loaded(done)


@pytest.mark.parametrize("shell", [BASH, ZSH], ids=lambda shell: shell.name)
def test_environments_come_in_the_same_order_in_every_locale(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    """An unknown locale is not complained about more often than the shell does by itself."""
    plain = run(shell, "true", layout, tmp_path, LC_ALL="xx_YY.UTF-8")
    done = run(shell, shell.source(), layout, tmp_path, LC_ALL="xx_YY.UTF-8")
    assert expected(layout, "deployments/41", "production", ORIGINAL) == loaded(done)
    assert plain.err == done.err


@every_shell
def test_a_promotion_between_two_loads_is_told_and_followed(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    before = run(shell, shell.source() + "iac_status", layout, tmp_path)
    assert "moved on" not in before.out
    text = shell.source() + MOVE_PRODUCTION + "iac_status\niac_reload\necho same\niac_status\n"
    done = run(shell, text, layout, tmp_path)
    told, followed = done.out.split("same\n")
    assert "production has moved on" in told
    assert "type iac_reload" in told
    assert "moved on" not in followed
    assert expected(layout, "deployments/42", "production", ORIGINAL) == loaded(done)
