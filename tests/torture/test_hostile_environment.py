"""Any environment and any words: told, nothing executed that was not asked for, nothing written."""

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from lab import Lab
from program import installed
from targets import listing
from thorough import every
from tools import require_root

VARIABLES = (
    *("IAC_TIER_DIR", "IAC_TIER_NAME", "IAC_DIR", "IAC_ORIGINAL_PATH", "IAC_DEPLOYMENT"),
    *("HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "USER", "LOGNAME"),
    *("TERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "LANG", "LC_ALL", "PWD", "SHELL"),
    *("SUDO_USER", "_TIERCTL_COMPLETE", "COMP_WORDS", "COMP_CWORD", "BASH_ENV", "ENV", "CDPATH"),
    *("GIT_DIR", "GIT_CONFIG_COUNT", "GIT_EXTERNAL_DIFF", "CONDARC", "CONDA_PREFIX", "IFS"),
    *("http_proxy", "HTTPS_PROXY", "SSL_CERT_FILE", "UV_CONFIG_FILE", "RATTLER_CACHE_DIR", "PS4"),
)
TEXTS = (
    *(b"", b"\n", b"a\nb\n", b"\xff\xfe", b"-h", b"--target=/", b"-", b"..", b"/", b"0", b"-1"),
    *(b"x" * 4000, b"/" + b"x/" * 2000, b"/dev/zero", b"%s%n", b"\x1b[31m", b"9" * 40, b"nan"),
    *(b"$(touch canary)", b"`touch canary`", b"; touch canary #", b"' ; touch canary '"),
    *(b"bash_complete", b"zsh_source", b"x=() { :; }; touch canary", b"a[$(touch canary)]"),
)
COMMANDS = (
    *(["status"], ["history"], ["diff"], ["doctor"], ["promote-staging", "-n"], ["rollback", "-n"]),
    *(["prune", "-n"], ["deploy", "dev1", "-n", "--offline"], ["run", "staging", "hello"]),
    *(["completion", "bash"], ["bootstrap", "-n", "other"], ["--help"], ["--version"]),
)
# What takes a word of the caller's.
WORDS = (
    *(["{}"], ["status", "{}"], ["status", "-t", "{}"], ["history", "{}"], ["history", "--limit"]),
    *(["history", "--limit", "{}"], ["diff", "{}", "{}"], ["deploy", "{}"], ["run", "{}", "true"]),
    *(["deploy", "dev1", "-n", "--definitions", "{}"], ["deploy", "dev1", "-n", "--like", "{}"]),
    *(["promote-staging", "-n", "-m", "{}"], ["promote-staging", "-n", "--to", "{}"]),
    *(["rollback", "-n", "--to", "{}"], ["prune", "-n", "--keep", "{}"], ["completion", "{}"]),
    *(["prune", "-n", "--older-than", "{}"], ["promote-staging", "-n", "--lock-timeout", "{}"]),
    *(["bootstrap", "-n", "{}"], ["bootstrap", "-n", "--group", "{}", "other"], ["demo", "-{}"]),
)
# Every name that a program could be started by.
PROGRAMS = (
    *("git", "bash", "sh", "zsh", "fish", "tcsh", "csh", "uv", "python", "python3", "conda", "pip"),
    *("mamba", "ldd", "ldconfig", "gcc", "cc", "id", "hostname", "stty", "tput", "less", "more"),
    *("pager", "env", "uname", "locale", "getent", "sudo", "ssh", "cat", "ls", "rm", "mount", "df"),
    *("lsb_release", "nvidia-smi", "curl", "file", "tar", "cp", "ln", "mkdir", "systemctl"),
)
SHELLS = {"bash", "zsh", "fish", "tcsh"}
STARTED = {"deploy": {*SHELLS, "git", "nvidia-smi"}, "run": {"bash"}}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A target with a deployment in staging, and definitions, from which all is called."""
    pytest.importorskip("rattler")
    lab = Lab(tmp_path_factory.mktemp("hostile"))
    done = lab.deploy("staging")
    assert 0 == done.code, done.err
    return lab


def call(
    lab: Lab, words: Iterable[bytes | str], **environment: bytes | str
) -> subprocess.CompletedProcess[bytes]:
    """Run the program in the definitions, where no canary may appear."""
    before = listing(lab.definitions)
    done = subprocess.run(
        [installed(), *words],
        capture_output=True,
        timeout=60,
        check=False,
        cwd=lab.definitions,
        env={"PATH": os.environ["PATH"], **environment},
    )
    assert before == listing(lab.definitions), (words, environment)
    return done


def require_told(done: subprocess.CompletedProcess[bytes], *context: object) -> None:
    """Fail unless a command ended as it may, and showed nothing that changes a terminal."""
    assert done.returncode in (0, 1, 2), (context, done)
    for said in (done.stdout, done.stderr):
        assert b"Traceback" not in said, (context, said)
        assert b"defect of tierctl" not in said, (context, said)
        assert b"\x1b" not in said, (context, said)


def contents(lab: Lab) -> dict[str, bytes]:
    """Return what the files of a target hold; that a doctor tried things out does not count."""
    return {name: found[-1] for name, found in listing(lab.layout.top).items()}


def mixed(one: Sequence[object], other: Sequence[object]) -> list[tuple[object, object]]:
    """Return every pair, so ordered that a few in equal distance are of many kinds."""
    numbers = range(len(one) * len(other))
    return [(one[n % len(one)], other[(n + n // len(one)) % len(other)]) for n in numbers]


def test_no_variable_brings_a_command_down(lab: Lab) -> None:
    before = contents(lab)
    cases = [(v, t) for v in VARIABLES for t in TEXTS]
    for (variable, text), words in every(mixed(cases, COMMANDS), 9):
        for target in ([], ["-t", lab.layout.top]):
            if target and words[0] in ("completion", "bootstrap", "--help", "--version"):
                continue
            done = call(lab, [*words[:1], *target, *words[1:]], **{str(variable): text})
            require_told(done, variable, text, words)
    assert before == contents(lab)


def test_no_word_brings_a_command_down(lab: Lab) -> None:
    before = listing(lab.layout.top)
    for words, text in every(mixed(WORDS, TEXTS), 9):
        done = call(lab, [text if word == "{}" else word.encode() for word in words])
        require_told(done, words, text)
    assert before == listing(lab.layout.top)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_no_variable_makes_completion_execute_anything(lab: Lab, shell: str) -> None:
    for words, cword in every(mixed(TEXTS, TEXTS), 4):
        environment = {"_TIERCTL_COMPLETE": f"{shell}_complete", "COMP_WORDS": b"tierctl " + words}
        done = call(lab, [], **environment, COMP_CWORD=cword)
        require_told(done, words, cword)


def canaries(directory: Path, place: Path) -> Path:
    """Have a program of each name that writes down that it was started; return where, in a place.

    What the engine starts can write below the target's cache, for one.
    """
    place.mkdir(exist_ok=True)
    started = place / "started"
    (directory / "bin").mkdir()
    for name in PROGRAMS:
        program = directory / "bin" / name
        program.write_text(f'#!/bin/sh\necho "${{0##*/}}" >>{started}\n')
        program.chmod(0o755)
    return started


def read_started(started: Path) -> set[str]:
    found = set(started.read_text().split()) if started.exists() else set()
    started.unlink(missing_ok=True)
    return found


def test_only_what_security_names_is_started(lab: Lab, tmp_path: Path) -> None:
    started = canaries(tmp_path, Path(lab.layout.cache))
    real = (["deploy", "dev2"], ["promote-staging"], ["rollback"], ["doctor", "--fix"], ["prune"])
    for words in (*COMMANDS, *real):
        done = call(lab, words, PATH=str(tmp_path / "bin"), SHELL="sh", PAGER="less")
        assert done.returncode in (0, 1), done
        assert read_started(started) <= STARTED.get(words[0], set()), words
    (lab.definitions / ".git").mkdir()  # without a repository there is nothing to ask git
    call(lab, ["deploy", "dev3"], PATH=str(tmp_path / "bin"))
    assert STARTED["deploy"] == read_started(started)


def test_a_program_that_is_started_is_noticed(lab: Lab, tmp_path: Path) -> None:
    started = canaries(tmp_path, Path(lab.layout.cache))
    code = "import subprocess; subprocess.run(['ls']); from tierctl.__main__ import run; run()"
    subprocess.run(
        [sys.executable, "-c", code, "status", "-t", lab.layout.top],
        env={"PATH": str(tmp_path / "bin")},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    assert {"ls"} == read_started(started)


def test_a_loaded_tier_brings_root_no_script_along(lab: Lab, tmp_path: Path) -> None:
    """A profile ends what is loaded before it loads another tier; that may be anybody's."""
    require_root()
    scripts = tmp_path / "conda" / "envs" / "x" / "etc" / "conda" / "deactivate.d"
    scripts.mkdir(parents=True)
    (scripts / "x.sh").write_text(f"touch {tmp_path}/executed\n")
    loaded = {"IAC_TIER_DIR": str(tmp_path), "IAC_ORIGINAL_PATH": os.environ["PATH"]}
    done = call(lab, ["run", "-t", lab.layout.top, "staging", "hello"], **loaded)
    assert b"hello 1.0\n" == done.stdout
    assert not (tmp_path / "executed").exists()
