"""Shells try a build out: what keeps them from loading it, and what its scripts print."""

import os
import re
import time
from pathlib import Path

import pytest

from lab import wait_until_ended
from shell_driver import SHELLS, Shell, make_tier
from tierctl.deploy.shells import NotLoadable, _Said, profiles_load
from tierctl.target.paths import Layout
from tools import require_tool

every_shell = pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell.name)
LIMIT_S = 30


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A tier that every shell can load."""
    return make_tier(Layout.of_target(str(tmp_path / "lab")), "deployments/41")


def script(top: Path, text: str, name: str = "own.sh") -> Path:
    file = top / "etc" / "profile.d" / name
    file.write_text(text)
    return file


def of_posix(warnings: list[str]) -> str:
    """Return the one warning, which is of bash and zsh."""
    (warning,) = warnings
    assert warning.startswith("etc/profile.d/own.sh prints on stderr whenever bash or zsh loads")
    return warning


def test_a_tier_that_says_nothing_is_no_news(top: Path) -> None:
    assert [] == profiles_load(str(top), LIMIT_S)


def test_what_a_script_writes_by_accident_is_not_where_the_caller_is(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For csh a file is called so."""
    require_tool("tcsh")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    script(top, "echo text >&2\n", "own.csh")
    profiles_load(str(top), LIMIT_S)
    assert [] == os.listdir(tmp_path / "here")


@every_shell
def test_what_a_script_prints_is_told_with_its_name(top: Path, shell: Shell) -> None:
    require_tool(shell.name)
    script(top, "echo fine\n", f"10.{shell.suffix}")
    script(top, "/bin/sh -c 'echo; echo oh dear >&2; echo more >&2'\n", f"20.{shell.suffix}")
    script(top, "echo fine\n", f"30.{shell.suffix}")
    (warning,) = profiles_load(str(top), LIMIT_S)
    assert re.match(rf"etc/profile.d/20.{shell.suffix} prints .*{shell.name}.*: oh dear$", warning)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no-such-command\n", "no-such-command"),
        ("(exit 3)\n", "failed"),
        ("if then\n", "own.sh"),
        ('echo "$x" >&2; x=1; (echo late >&2)\n', "late"),
    ],
)
def test_a_script_that_fails_is_told(top: Path, text: str, said: str) -> None:
    script(top, text)
    assert said in of_posix(profiles_load(str(top), LIMIT_S))


@pytest.mark.parametrize(
    "text",
    [
        '[ -n "$NO_SUCH_VARIABLE" ] && NEVER=1\n',
        "return 1\n",
        "set --\n",
        "set -- a b\n",
        "set -eu\n",
        "cd /\n",
        "umask 077\n",
        "IFS=:\n",
        "PATH=; unset PATH\n",
        "exec 2>/dev/null\n",
        "trap 'exit 3' EXIT\n",
        "trap 'exit 3' ERR\n",
        "test() { return 1; }; cd() { return 1; }; exit() { return 1; }\n",
        "unset IAC_ORIGINAL_PATH\n",
    ],
)
def test_what_a_script_may_do_to_its_shell_is_no_failure(top: Path, text: str) -> None:
    script(top, text)
    assert [] == profiles_load(str(top), LIMIT_S)


@pytest.mark.parametrize("text", ["set argv = ()\n", "set argv = ( a b )\n", "unset argv\n"])
def test_in_tcsh_neither_is_another_argv(top: Path, text: str) -> None:
    require_tool("tcsh")
    script(top, text, "own.csh")
    assert [] == profiles_load(str(top), LIMIT_S)


def test_nor_is_it_in_an_environment(top: Path) -> None:
    hook = top / "conda/envs/py/etc/conda/activate.d/own.sh"
    hook.parent.mkdir(parents=True)
    hook.write_text("set --; echo here >&2\n")
    (warning,) = profiles_load(str(top), LIMIT_S)
    assert warning.startswith("conda/envs/py/etc/conda/activate.d/own.sh prints on stderr")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("exit 0\n", "etc/profile.d/own.sh ends the shell; use return instead of exit"),
        ("echo why >&2; exit 4\n", "exit code 4 in etc/profile.d/own.sh, why"),
        ("exit 1\n", "exit code 1 in etc/profile.d/own.sh, no message"),
        ("export IAC_TIER_DIR=/elsewhere\n", "exit code 1 in its profile, no message"),
    ],
)
def test_what_a_login_would_end_with_is_refused_with_the_script_s_name(
    top: Path, text: str, why: str
) -> None:
    script(top, "echo fine >&2\n", "05.sh")
    script(top, text)
    script(top, "echo never >&2\n", "zz.csh")
    with pytest.raises(NotLoadable) as caught:
        profiles_load(str(top), LIMIT_S)
    assert "bash cannot load etc/profile.sh: " in caught.value.message
    assert why in caught.value.message
    assert "--timeout" not in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "sleep 600\n",
        "while :; do echo x >&2; done\n",
        "while :; do echo x; done\n",
        "yes long >&2\n",
        "exec 2>&-; sleep 600\n",
        "kill -STOP $$\n",
    ],
)
def test_one_that_does_not_end_is_told_with_what_to_type(top: Path, text: str) -> None:
    script(top, text)
    begun = time.monotonic()
    with pytest.raises(NotLoadable) as caught:
        profiles_load(str(top), 2)
    assert time.monotonic() - begun < 20
    assert "etc/profile.d/own.sh did not end within 2 s" in caught.value.message
    assert "--timeout SECONDS" in caught.value.hint


def test_who_waits_for_the_keyboard_gets_none(top: Path) -> None:
    script(top, "read answer; read answer </dev/tty\n")
    of_posix(profiles_load(str(top), LIMIT_S))


@pytest.mark.parametrize(
    "text",
    [
        "sleep 600 & echo $! >> {pids}\n",
        "(setsid sleep 600 & echo $! >> {pids}) &\nsleep 0.2\n",
        "setsid sh -c 'echo $$ >> {pids}; exec sleep 600' >/dev/null 2>&1 &\nsleep 0.3\n",
        "(sh -c 'echo $$ >> {pids}; while :; do sleep 600 & wait; done' &)\nsleep 0.2\n",
    ],
)
def test_nothing_that_it_starts_is_left_running_or_waited_for(
    top: Path, tmp_path: Path, text: str
) -> None:
    script(top, text.format(pids=tmp_path / "pids"))
    begun = time.monotonic()
    assert [] == profiles_load(str(top), LIMIT_S)
    assert time.monotonic() - begun < 20
    pids = (tmp_path / "pids").read_text().split()
    assert pids
    for pid in pids:
        wait_until_ended(int(pid))


def test_what_it_prints_is_kept_in_a_bounded_way() -> None:
    said = _Said("word", "/top")
    for _ in range(1000):
        said.take(b"x" * 10_000)
    assert len(said._line) < 1000
    said.take(b"\nword /top/etc/profile.d/own.sh\n")
    for _ in range(1000):
        said.take(b"again\n" * 1000)
    said.end()
    assert {"": "x" * 300, "etc/profile.d/own.sh": "again"} == said.first


def test_control_characters_reach_nobody_s_terminal() -> None:
    said = _Said("word", "/top")
    said.take(b"word /top/a\x1b.sh\n\x1b[31mred\xff\n")
    assert {"a\\x1b.sh": "\\x1b[31mred\ufffd"} == said.first


def test_the_terminal_of_the_caller_is_out_of_reach(top: Path) -> None:
    script(top, "cut -d' ' -f6 /proc/$$/stat >&2\n")
    session = of_posix(profiles_load(str(top), LIMIT_S)).rpartition(" ")[2]
    assert os.getsid(0) != int(session)
