"""The group: help, the table of commands, errors that are nobody's command."""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from pytest_mock import MockerFixture

from program import Program, installed, run_installed
from targets import make_target
from tierctl.cli.commands import COMMANDS
from tierctl.cli.main import tierctl as group

TRY_AGAIN = "Fix that and try again.\n"


def commands() -> list[click.Command]:
    """Every command, imported."""
    found = [group.get_command(click.Context(group), name) for name in COMMANDS]
    assert None not in found
    return found  # type: ignore[return-value]


def test_the_table_says_what_the_commands_say() -> None:
    for command in commands():
        assert COMMANDS[command.name] == command.get_short_help_str(limit=200)


def test_every_command_has_a_file_of_its_own() -> None:
    for name in COMMANDS:
        module = import_module(f"tierctl.cli.{name.replace('-', '_')}")
        assert name == module.command.name


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("name", [None, *COMMANDS])
def test_help_is_everywhere(tierctl: Program, name: str | None, option: str) -> None:
    done = tierctl(*filter(None, (name, option)))
    assert (0, "") == (done.code, done.err)
    assert done.out.startswith(f"Usage: tierctl {name or '[OPTIONS]'}")
    assert "-h, --help" in done.out


@pytest.mark.parametrize("name", ["promote-staging", "rollback", "status", "history"])
def test_help_shows_an_example(tierctl: Program, name: str) -> None:
    assert f"Example: tierctl {name} " in tierctl(name, "--help").out


def test_every_option_has_help() -> None:
    for command in commands():
        for param in command.params:
            if isinstance(param, click.Option):
                assert param.help, f"{command.name} {param.opts}"


def test_the_same_options_are_everywhere_they_belong() -> None:
    options = {
        command.name: {name for param in command.params for name in param.opts}
        for command in commands()
    }
    for name, has in options.items():
        if name not in ("bootstrap", "completion", "demo"):
            assert {"-t", "--target"} <= has, name
        if name not in ("completion", "demo", "run"):  # they print what others read
            assert "--json" in has, name
    for name in ("bootstrap", "promote-staging", "rollback"):
        assert {"-n", "--dry-run", "-m", "--message"} <= options[name], name


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version_is_the_packages(tierctl: Program, option: str) -> None:
    assert (0, f"tierctl {sys.modules['tierctl'].__version__}\n", "") == tierctl(option)


def test_the_groups_help_imports_neither_rich_nor_a_command() -> None:
    code = (
        "import sys; from tierctl.cli.main import main; main(['--help']);"
        "print(*(name for name in sys.modules if name.startswith(('rich', 'tierctl.cli.'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = done.stdout.splitlines()[-1].split()
    modules = {f"tierctl.cli.{name.replace('-', '_')}" for name in COMMANDS}
    assert "tierctl.cli.main" in imported
    assert not modules.intersection(imported)
    assert not [name for name in imported if name.startswith("rich")]


HEAVY = {"rich", "dataclasses", "pathlib", "tomllib", "subprocess", "socket", "importlib.metadata"}


def test_a_promotion_imports_nothing_heavy(tmp_path: Path) -> None:
    make_target(tmp_path)
    code = (
        "import sys, click; before = set(sys.modules); from tierctl.cli.main import main;"
        f"main(['promote-staging', '--target', {str(tmp_path)!r}]);"
        "print(*(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.splitlines()[-1].split())
    assert "tierctl.fs.syscalls" in imported  # it went all the way
    assert not HEAVY & imported


def test_without_arguments_help_is_printed(tierctl: Program) -> None:
    done = tierctl()
    assert (2, "") == (done.code, done.out)
    assert done.err.startswith("Usage: tierctl")


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["status", "--nonsense"], ["rollback", "--to"], ["bootstrap"], ["completion"]],
)
def test_wrong_usage_is_exit_2_with_a_hint(tierctl: Program, arguments: list[str]) -> None:
    done = tierctl(*arguments)
    assert (2, "") == (done.code, done.out)
    assert re.fullmatch(r"Error: .+\nSee: tierctl.* --help\n", done.err, re.DOTALL)


def test_wrong_usage_with_json_is_a_document(tierctl: Program) -> None:
    done = tierctl("status", "--nonsense", "--json")
    assert 2 == done.code
    assert ("status", "usage") == (done.document["command"], done.document["error"]["code"])


def test_a_defect_is_a_message_and_no_traceback(tierctl: Program, mocker: MockerFixture) -> None:
    mocker.patch("tierctl.target.find.find", side_effect=ZeroDivisionError("oh"))
    done = tierctl("status", "--json")
    assert 1 == done.code
    assert "Traceback" not in done.err
    assert "ZeroDivisionError" in done.err
    assert "defect" == done.document["error"]["code"]


def test_a_system_error_names_its_path(tierctl: Program, mocker: MockerFixture) -> None:
    error = PermissionError(13, "Permission denied", "/some/\npath")
    mocker.patch("tierctl.target.find.find", side_effect=error)
    done = tierctl("status")
    assert (1, f"Error: /some/\\npath: Permission denied\n{TRY_AGAIN}") == (done.code, done.err)


def test_ctrl_c_is_130(tierctl: Program, mocker: MockerFixture) -> None:
    mocker.patch("tierctl.target.find.find", side_effect=KeyboardInterrupt)
    done = tierctl("promote-staging")
    assert 130 == done.code
    assert "the next change finishes it" in done.err


@pytest.mark.parametrize("encoding", ["ascii:strict", "utf-8:strict", "latin-1:strict"])
def test_every_name_can_be_printed_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    name = b"/no/\xff\xc3\xa9\xe2\x82\xac".decode("utf-8", "surrogateescape")
    done = run_installed("status", "--target", name, env={"PYTHONIOENCODING": encoding})
    assert 1 == done.code
    assert "Traceback" not in done.err
    assert "/no/\\xff" in done.err


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            ["promot"],
            "No such command 'promot'. Did you mean promote-staging?\nSee: tierctl --help",
        ),
        (["xyz"], "No such command 'xyz'.\nSee: tierctl --help"),
        (["-t", "lab", "status"], "Options stand behind the command: tierctl status -t"),
        (["status", "--lmit"], "See: tierctl status --help"),
        (["promote-staging", "x"], "See: tierctl promote-staging --help"),
        (["rollback", "--to", "x"], "See: tierctl rollback --help"),
        (["bootstrap"], "See: tierctl bootstrap --help"),
        (["status", "-t"], "See: tierctl status --help"),
        (["-x", "status"], "\nSee: tierctl --help"),
        (["completion", "tcsh"], "'SHELL': 'tcsh' is not one of 'bash', 'zsh', 'fish'."),
        (["rollback", "--lock-timeout", "abc"], "'abc' is not a number of seconds."),
        (["rollback", "--lock-timeout", "nan"], "'nan' is not a number of seconds."),
        (["rollback", "-m", "x" * 1001], "1001 characters; 1000 are enough."),
    ],
)
def test_a_usage_error_says_what_to_type(tierctl: Program, typed: list[str], said: str) -> None:
    done = tierctl(*typed)
    assert (2, "") == (done.code, done.out)
    assert said in done.err


def test_the_document_of_a_usage_error_names_the_command(tierctl: Program) -> None:
    done = tierctl("-t", "status.d", "promote-staging", "--json")
    assert (2, "promote-staging") == (done.code, done.document["command"])


def test_of_a_misplaced_option_nothing_similar_is_proposed(tierctl: Program) -> None:
    first, second = tierctl("--json", "status").err.splitlines()
    # click 8.2 and later versions spell it differently
    assert re.fullmatch(r"Error: No such option:? '?--json'?\.?", first)
    assert "Options stand behind the command: tierctl status --json" == second


def test_a_shell_that_asks_wrongly_for_completions_hears_nothing() -> None:
    done = run_installed(env={"_TIERCTL_COMPLETE": "bash_complete"})
    assert (1, "", "") == done


def test_an_error_of_stdout_is_said_to_be_one(tmp_path: Path) -> None:
    layout = make_target(tmp_path)
    with open("/dev/full", "w") as full:
        command = [installed(), "status", "-t", layout.top]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (1, f"Error: standard output: No space left on device\n{TRY_AGAIN}") == (
        done.returncode,
        done.stderr,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux'")
def test_of_problems_doctor_s_exit_code_tells_also_where_nobody_reads(tmp_path: Path) -> None:
    layout = make_target(tmp_path, production=None, staging=None)
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe:
        done = subprocess.run([installed(), "doctor", "-t", layout.top], stdout=pipe)
    assert 1 == done.returncode
