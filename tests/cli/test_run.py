"""``tierctl run``: a command inside a tier."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from program import Program, installed, run_installed
from targets import make_target, opened
from tierctl.target.paths import Layout
from tools import require_root


@pytest.fixture
def layout(tierctl: Program, tmp_path: Path) -> Layout:
    """A target with a command in staging."""
    assert 0 == tierctl("bootstrap", tmp_path / "my lab").code
    layout = Layout.of_target(str(tmp_path / "my lab"))
    hello = opened(layout, 1) / "bin" / "hello"
    hello.write_text('#!/bin/sh\necho "hello from $IAC_TIER_NAME" "$@"\nexit 7\n')
    hello.chmod(0o755)
    return layout


def test_a_command_of_the_tier_is_found_and_its_exit_code_passed_on(layout: Layout) -> None:
    done = run_installed("run", "-t", layout.top, "staging", "hello", "-x", "--json", "a b")
    assert (7, "hello from staging -x --json a b\n", "") == done


@pytest.mark.parametrize("tier", ["production", "staging", "blue", "green"])
def test_it_finds_what_a_shell_finds_that_sourced_the_profile(layout: Layout, tier: str) -> None:
    profile_d = Path(layout.within(tier), "etc", "profile.d")
    (profile_d / "x.sh").write_text("export GREETING='it is me'\n")
    profile = f"{layout.within(tier)}/etc/profile.sh"
    sourced = subprocess.run(
        ["bash", "-c", '. "$0" && env', profile],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    done = run_installed("run", "-t", layout.top, tier, "env")
    differing = ("_=", "SHLVL=")
    expected, found = (
        sorted(line for line in text.splitlines() if not line.startswith(differing))
        for text in (sourced.stdout, done.out)
    )
    assert expected == found
    assert f"IAC_TIER_NAME={tier}" in found
    assert "GREETING=it is me" in found


def test_no_word_is_read_by_a_shell(layout: Layout, tmp_path: Path) -> None:
    words = ["$HOME", "`touch x`", "$(touch x)", "; touch x", "a'b\"c", "*", "", "-n", "\n"]
    done = run_installed(
        "run", "-t", layout.top, "blue", "printf", "<%s>", *words, cwd=str(tmp_path)
    )
    assert (0, "".join(f"<{word}>" for word in words)) == (done.code, done.out)
    assert not (tmp_path / "x").exists()


def test_a_tier_that_is_loaded_says_which_target(layout: Layout) -> None:
    environment = {"IAC_TIER_DIR": layout.within("green")}
    assert 7 == run_installed("run", "staging", "hello", env=environment).code


def test_the_environment_cannot_bring_a_script_along(layout: Layout, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    trap.write_text("echo trapped\n")
    environment = {"BASH_ENV": str(trap), "BASH_FUNC_hello%%": "() { echo trapped; }"}
    done = run_installed("run", "-t", layout.top, "blue", "hello", env=environment)
    assert (7, "hello from blue \n".replace(" \n", "\n")) == (done.code, done.out)


def test_it_becomes_the_command_so_a_signal_reaches_it(layout: Layout) -> None:
    command = [installed(), "run", "-t", layout.top, "blue", "sh", "-c", "echo $$; sleep 60"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    assert running.pid == int(running.stdout.readline())
    running.send_signal(signal.SIGTERM)
    assert -signal.SIGTERM == running.wait(timeout=30)
    running.stdout.close()


def test_a_command_whose_reader_is_gone_ends(layout: Layout) -> None:
    """Python ignores SIGPIPE; the command must not."""
    command = [installed(), "run", "-t", layout.top, "blue", "yes"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert running.stdout is not None
    running.stdout.read(10)
    running.stdout.close()
    assert -signal.SIGPIPE == running.wait(timeout=30)


def test_an_unknown_command_is_127(layout: Layout) -> None:
    done = run_installed("run", "-t", layout.top, "blue", "no-such-command")
    assert (127, "") == (done.code, done.out)
    assert "tierctl: no command no-such-command in the tier, nor on PATH\n" == done.err


def test_in_a_target_that_was_moved_or_copied_nothing_is_run(
    layout: Layout, tmp_path: Path
) -> None:
    shutil.copytree(layout.top, tmp_path / "copy", symlinks=True)
    done = run_installed("run", "-t", tmp_path / "copy", "staging", "echo", "it ran")
    assert (1, "") == (done.code, done.out)
    assert f"etc/profile.sh leads to {layout.deployments}/1" in done.err


@pytest.mark.parametrize("tier", ["nix", "../blue", "dev1", ""])
def test_what_is_no_tier_is_refused(layout: Layout, tier: str) -> None:
    done = run_installed("run", "-t", layout.top, tier, "true")
    assert 1 == done.code
    assert "there is no tier" in done.err
    assert "There are: production, staging, blue, green" in done.err


def test_a_tier_without_profile_is_refused(tmp_path: Path) -> None:
    layout = make_target(tmp_path)
    done = run_installed("run", "-t", layout.top, "blue", "true")
    assert 1 == done.code
    assert f"{layout.within('blue')}/etc/profile.sh is missing" in done.err


def test_a_profile_of_one_s_own_may_find_out_where_it_is(layout: Layout) -> None:
    here = '"$(cd "${BASH_SOURCE[0]%/*}/.." && pwd -P)"'
    profile = Path(layout.within("blue"), "etc", "profile.sh")
    profile.write_text(f"export IAC_TIER_DIR={here}\n")
    done = run_installed("run", "-t", layout.top, "staging", "printenv", "IAC_TIER_DIR")
    assert (0, f"{layout.deployments}/1\n", "") == done
    assert 0 == run_installed("doctor", "-t", layout.top).code


def test_root_runs_only_what_root_wrote(layout: Layout) -> None:
    require_root()
    profile = f"{layout.within('blue')}/etc/profile.sh"
    os.chown(profile, 10031, -1)
    os.chown(layout.infrastructure, 10031, -1)
    done = run_installed("run", "-t", layout.top, "blue", "hello")
    assert 1 == done.code
    assert "belongs to user 10031, and root runs only what root wrote" in done.err


ACTIVATE = "blue/conda/envs/tools/etc/conda/activate.d"


@pytest.mark.parametrize(
    "name",
    [
        *("", "blue", "blue/etc/profile.sh", "blue/etc/profile.d/x.sh"),
        *("blue/conda/envs/tools", "blue/conda/envs/tools/bin", ACTIVATE, f"{ACTIVATE}/x.sh"),
    ],
)
def test_root_runs_nothing_that_a_group_could_have_written(layout: Layout, name: str) -> None:
    require_root()
    Path(layout.within("blue"), "etc", "profile.d", "x.sh").touch(0o644)
    for directory in ("blue/conda/envs/tools/bin", ACTIVATE):
        Path(layout.within(directory)).mkdir(parents=True)
    Path(layout.within(ACTIVATE), "x.sh").touch(0o644)
    assert 7 == run_installed("run", "-t", layout.top, "blue", "hello").code
    path = Path(layout.within(name))
    os.chown(path, 0, 10031)
    path.chmod(path.stat().st_mode | 0o020)
    done = run_installed("run", "-t", layout.top, "blue", "hello")
    assert 1 == done.code
    assert "can be written by group 10031, and root runs only what root wrote" in done.err


def test_what_stands_before_the_command_may_be_two_dashes(layout: Layout) -> None:
    assert 7 == run_installed("run", "-t", layout.top, "blue", "--", "hello").code
    assert 2 == run_installed("run", "-t", layout.top, "blue", "--").code


def test_a_profile_that_ends_the_shell_is_no_success(layout: Layout) -> None:
    Path(layout.within("blue"), "etc", "profile.d", "x.sh").write_text("exit 0\n")
    done = run_installed("run", "-t", layout.top, "blue", "hello")
    assert (126, "") == (done.code, done.out)
    assert "the tier was not loaded, nothing is run" in done.err


def test_what_others_could_have_written_is_not_run(layout: Layout) -> None:
    Path(layout.within("blue"), "etc", "profile.sh").chmod(0o666)
    done = run_installed("run", "-t", layout.top, "blue", "hello")
    assert 1 == done.code
    assert "can be written by everybody" in done.err


def test_without_a_command_it_is_wrong_usage(layout: Layout) -> None:
    assert 2 == run_installed("run", "-t", layout.top, "blue").code


def test_words_that_look_like_options_are_the_command_s(layout: Layout) -> None:
    done = run_installed("run", "-t", layout.top, "blue", "-c", "env")
    assert (127, "") == (done.code, done.out)


@pytest.mark.parametrize("words", [["-t", "DIR"], ["--target", "DIR"], ["--target=DIR"], ["-tDIR"]])
def test_a_target_behind_the_command_is_the_command_s_and_where_it_belongs_is_told(
    layout: Layout, tmp_path: Path, words: list[str]
) -> None:
    words = [word.replace("DIR", layout.top) for word in words]
    done = run_installed("run", "staging", "true", *words, cwd=tmp_path, env={"IAC_TIER_DIR": ""})
    assert (1, True) == (done.code, "tierctl run --target DIR TIER CMD" in done.err)
    right = run_installed("run", *words, "staging", "true", cwd=tmp_path)
    assert 0 == right.code, right.err


def test_without_one_it_is_not(tmp_path: Path) -> None:
    done = run_installed("run", "staging", "true", cwd=tmp_path, env={"IAC_TIER_DIR": ""})
    assert (1, False) == (done.code, "behind the tier" in done.err)
