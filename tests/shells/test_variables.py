"""The variables of environments: set where a tier is loaded, and taken back where it is left."""

import random
from pathlib import Path

import pytest

from shell_driver import (
    BASH,
    FISH,
    SHELLS,
    TCSH,
    ZSH,
    Shell,
    expected,
    loaded,
    make_loadable,
    run,
    type_in,
)
from tierctl import profiles
from tierctl.deploy import variables
from tierctl.target.paths import Layout

every_shell = pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell.name)

HOSTILE = (
    "",
    " a  b ",
    """it's a "quote" ''""",
    "$HOME ${x} $(touch PWNED) `touch PWNED`",
    "! !! !x ^a^b back\\slash\\\\ end\\",
    "* ? [a] {b,c} ~ ; & | < > ( ) # % = ,",
    "~root",
    "a[$(touch PWNED)]",
    "ünï ☃ 日本 \u00a0\u3000\u2028\u0085",
    "@IAC_DIR@ {name} {value}",
    "-n",
    "two\nlines\n",
    "\n\\\n\\\\\n'\n\"\n",
    # To csh, which skips lines until the end of an if or a switch, this must not be one.
    "\nendsw\nendif\nend\ntouch PWNED\ncase _iac_status:\ntouch PWNED\nbreaksw\ndefault:\n",
    "\nexport IAC_TIER_DIR='/elsewhere'\n",
    "".join(map(chr, range(1, 256))),
    "x" * 60_000,
)
# Names that could be taken for something else by what sets them.
NAMES = {"XPATH": "a::b:", "name": "1", "value": "2", "i": "3", "_x": "4", "aB1": "5", "n": "6"}

SETTINGS = {
    BASH: ("set -euo pipefail", "set -eE; trap 'exit 7' ERR", "set -o posix", "IFS=V_aeiou "),
    ZSH: (
        "setopt err_return no_unset",
        "setopt ksh_arrays sh_word_split glob_subst magic_equal_subst",
        "setopt all_export warn_create_global",
        "emulate sh",
        "emulate ksh",
    ),
    TCSH: ("set backslash_quote", "set noglob", "set echo_style = none"),
}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return make_loadable(tmp_path / "my lab")


def with_variables(layout: Layout, values: dict[str, str], number: int = 41) -> None:
    """Write the profiles of a deployment, whose environments set variables."""
    directory = f"deployments/{number}"
    for name, text in profiles.files(layout, directory, variables=values).items():
        Path(layout.within(directory), "etc", name).write_text(text, "utf-8")


def setting(shell: Shell, name: str, value: str) -> str:
    """Return the command that exports a variable."""
    if shell is FISH:
        return f"set -gx {name} {value}\n"
    return f"setenv {name} {value}\n" if shell is TCSH else f"export {name}={value}\n"


@every_shell
@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_each_value_arrives_as_it_is_and_nothing_in_it_is_executed(
    shell: Shell, locale: str, layout: Layout, tmp_path: Path
) -> None:
    letters = [*map(chr, range(1, 128)), *"\n\\'\"$`!~" * 5, "é", "☃"]
    drawn = random.Random(7)
    values = [*HOSTILE, *("".join(drawn.choices(letters, k=20)) for _ in range(50))]
    wanted = {f"V{number}": value for number, value in enumerate(values)} | NAMES
    with_variables(layout, wanted)
    done = run(shell, shell.source() + "iac_reload\niac_status\n", layout, tmp_path, LC_ALL=locale)
    assert ("", 0) == (done.err, done.code)
    assert wanted == {name: done.env.get(name) for name in wanted}
    assert not list(tmp_path.rglob("PWNED"))
    assert expected(layout, "deployments/41", "production", "/usr/bin:/bin") == loaded(done)


@every_shell
def test_where_one_types_the_same_values_arrive(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    wanted = {f"V{number}": value for number, value in enumerate(HOSTILE)}
    with_variables(layout, wanted)
    done = type_in(shell, [shell.source(), "iac_load production"], layout, tmp_path)
    assert wanted == {name: done.env.get(name) for name in wanted}
    assert not list(tmp_path.rglob("PWNED"))


@every_shell
@pytest.mark.parametrize(
    "leave", ["iac_unload", "iac_load staging\niac_unload", "iac_reload\niac_unload"]
)
def test_what_was_set_before_comes_back(
    shell: Shell, leave: str, layout: Layout, tmp_path: Path
) -> None:
    with_variables(layout, {"MODE": "fast", "LEVEL": "2", "EMPTY": "no", "MY_PATH": "x:y"})
    with_variables(layout, {"MODE": "slow", "OTHER": "3"}, 42)
    own = {"MODE": "it's \n `mine` $x !", "EMPTY": "", "MY_PATH": ":a::b"}
    before = run(shell, "true", layout, tmp_path, **own)
    done = run(shell, f"{shell.source()}{leave}\n", layout, tmp_path, **own)
    assert (before.env, "") == (done.env, done.err)


@every_shell
def test_another_tier_sets_its_own_and_takes_back_the_first_ones(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    with_variables(layout, {"MODE": "fast", "LEVEL": "2"})
    with_variables(layout, {"MODE": "slow", "OTHER": "3"}, 42)
    text = shell.source() + setting(shell, "MODE", "changed") + shell.source("staging")
    done = run(shell, text, layout, tmp_path, LEVEL="mine")
    assert ("slow", "mine", "3") == tuple(done.env[name] for name in ("MODE", "LEVEL", "OTHER"))


@every_shell
def test_a_shell_that_is_started_in_a_tier_can_leave_it(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    with_variables(layout, {"MODE": "fast", "LEVEL": "2"})
    for inner in SHELLS:
        outer = run(shell, shell.source(), layout, tmp_path, MODE="mine").env
        text = inner.source() + "iac_unload\n"
        done = run(inner, text, layout, tmp_path, **outer)
        assert ("mine", None, "") == (done.env["MODE"], done.env.get("LEVEL"), done.err)


def test_without_knowing_which_tier_is_loaded_its_variables_are_taken_back(
    layout: Layout, tmp_path: Path
) -> None:
    """So ``run`` calls it for root, which runs nothing that the loaded tier has for its end."""
    with_variables(layout, {"MODE": "fast", "LEVEL": "2"})
    outer = run(BASH, BASH.source(), layout, tmp_path, MODE="mine").env
    del outer["IAC_TIER_DIR"]
    done = run(BASH, BASH.source("staging"), layout, tmp_path, **outer)
    assert ("mine", None) == (done.env["MODE"], done.env.get("LEVEL"))


@every_shell
def test_the_first_load_forgets_what_is_left_of_another_session(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    """As a batch system does that takes over some variables only."""
    with_variables(layout, {"MODE": "fast"})
    left = {"_iac_variables": "MODE GONE ", "_iac_before_MODE": "old", "_iac_before_GONE": "old"}
    done = run(shell, shell.source() + "iac_unload\n", layout, tmp_path, **left)
    assert {None} == {done.env.get(name) for name in ("MODE", "GONE", "_iac_before_MODE")}


@every_shell
@pytest.mark.parametrize(
    "names", ["X", " ", "a[$(touch${IFS}PWNED)] ", "1 -v * ", "$(touch PWNED) "]
)
def test_names_that_somebody_has_changed_do_no_harm(
    shell: Shell, names: str, layout: Layout, tmp_path: Path
) -> None:
    text = shell.source() + setting(shell, "_iac_variables", f"'{names}'") + shell.source("staging")
    done = run(shell, text + "iac_unload\n", layout, tmp_path)
    assert {"PATH"} == set(loaded(done))
    assert not list(tmp_path.rglob("PWNED"))


@every_shell
def test_scripts_find_them_set_when_the_tier_begins_and_ends(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    with_variables(layout, {"MODE": "fast"})
    for event in ("activate", "deactivate"):
        directory = Path(layout.within(f"deployments/41/conda/envs/py/etc/conda/{event}.d"))
        directory.mkdir(parents=True)
        (directory / f"own.{shell.suffix}").write_text(f'echo "{event} $MODE"\n')
    done = run(shell, shell.source() + "iac_unload\n", layout, tmp_path)
    assert ["activate fast", "deactivate fast"] == done.out.splitlines()


@every_shell
def test_a_script_can_set_them_to_something_else(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    with_variables(layout, {"MODE": "fast"})
    profile_d = Path(layout.within("deployments/41/etc/profile.d"))
    (profile_d / f"own.{shell.suffix}").write_text(setting(shell, "MODE", "slow"))
    assert "slow" == run(shell, shell.source(), layout, tmp_path).env["MODE"]


@pytest.mark.parametrize(
    ("shell", "line"),
    [(shell, line) for shell, lines in SETTINGS.items() for line in lines],
    ids=lambda value: value.name if isinstance(value, Shell) else None,
)
def test_whatever_the_users_settings_they_are_set_and_taken_back(
    shell: Shell, line: str, layout: Layout, tmp_path: Path
) -> None:
    wanted = {"V1": HOSTILE[3], "V2": HOSTILE[12], "V3": "", "V4": "*", "aeiou": "a e i"}
    with_variables(layout, wanted)
    own = {"V2": "mine * $x", "V4": ""}
    done = run(shell, f"{line}\n{shell.source()}", layout, tmp_path, **own)
    assert (wanted, "") == ({name: done.env.get(name) for name in wanted}, done.err)
    done = run(shell, f"{line}\n{shell.source()}iac_unload\n", layout, tmp_path, **own)
    assert own == {name: done.env[name] for name in wanted if name in done.env}
    assert ("", 0) == (done.err, done.code)


@pytest.mark.parametrize("shell", [BASH, ZSH], ids=lambda shell: shell.name)
def test_one_that_the_user_may_not_change_stays_and_is_told(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    with_variables(layout, {"MODE": "fast", "LEVEL": "2"})
    text = f"export MODE=mine; readonly MODE; set -eu\n{shell.source()}iac_reload\n"
    done = run(shell, text, layout, tmp_path)
    assert ("mine", "2") == (done.env["MODE"], done.env["LEVEL"])
    assert 2 * "tierctl: MODE is read-only here and stays as it is\n" == done.err
    left = run(shell, f"{text}iac_unload\n", layout, tmp_path)
    assert ("mine", None) == (left.env["MODE"], left.env.get("LEVEL"))


@pytest.mark.parametrize("shell", [BASH, ZSH], ids=lambda shell: shell.name)
def test_a_value_for_a_number_of_the_users_is_not_computed(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    with_variables(layout, {"LEVEL": "a[$(touch PWNED)]"})
    text = f"typeset -i LEVEL=3\n{shell.source()}"
    assert "a[$(touch PWNED)]" == run(shell, text, layout, tmp_path).env["LEVEL"]
    assert "3" == run(shell, f"{text}iac_unload\n", layout, tmp_path).env["LEVEL"]
    assert not (tmp_path / "PWNED").exists()


# How a shell lists the variables that it has for itself.
OWN = {
    BASH: "compgen -v",
    ZSH: "zmodload zsh/parameter; print -l ${(k)parameters}",
    FISH: "set -n",
    TCSH: "set",
}


@every_shell
def test_a_name_that_a_shell_has_for_itself_is_left_out_or_does_no_harm(
    shell: Shell, layout: Layout, tmp_path: Path
) -> None:
    """In every shell: the profiles of all of them set the same."""
    listed = run(shell, OWN[shell], layout, tmp_path).out
    names = {line.split("\t")[0] for line in listed.splitlines()} - {"I", "AFTER", "LC_ALL"}
    allowed = {name: "12" for name in names if not variables.why_not(name, "12")}
    with_variables(layout, allowed)
    for other in SHELLS:
        done = run(other, other.source(), layout, tmp_path)
        assert (allowed, "", 0) == (
            {name: done.env.get(name) for name in allowed},
            done.err,
            done.code,
        )
        assert expected(layout, "deployments/41", "production", "/usr/bin:/bin") == loaded(done)
        done = run(other, other.source() + "iac_unload\n", layout, tmp_path)
        assert ("", 0, "/usr/bin:/bin") == (done.err, done.code, done.env["PATH"])
