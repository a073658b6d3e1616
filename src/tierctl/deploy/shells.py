"""Whether shells can load what was built, and what its scripts print meanwhile."""

from __future__ import annotations

import os
import secrets
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

from tierctl.deploy.engine.failures import LONGER
from tierctl.errors import TierctlError
from tierctl.fs import procfs, tree
from tierctl.text import shown

# What a shell ends with that came to the end of its script; a profile may have ended it before.
_LOADED = 86
# What a profile compares with, and the word that it prints on stderr before each script: variables,
# since a script may set the parameters of its shell.
_TOP, _TRIAL = "_iac_top", "_iac_trial"
_POSIX = (
    f'. "$0"; \\builtin trap - EXIT; [[ $IAC_TIER_DIR == "${_TOP}" ]] && \\builtin exit {_LOADED}'
)
# How each shell sources $0 and then compares what that set: without its user's own settings.
_SHELLS = {
    "bash": ("profile.sh", ["--noprofile", "--norc", "-c"], _POSIX),
    "zsh": ("profile.sh", ["-f", "-c"], _POSIX),
    "fish": (
        "profile.fish",
        ["--no-config", "-c"],
        f'source $argv[1]; builtin test "$IAC_TIER_DIR" = "${_TOP}"; and exit {_LOADED}',
    ),
    "tcsh": (
        "profile.csh",
        ["-f", "-c"],
        f'source $argv[1]:q; if ( "$IAC_TIER_DIR:q" == "${_TOP}:q" ) exit {_LOADED}',
    ),
}
# In bytes: so much is read at a time, and so much of a line is kept.
_PART, _LONGEST_LINE = 1 << 16, 300
# How often a shell is looked at whose end stderr does not tell, in seconds.
_PAUSE_S = 0.05
# So often it is looked for what a script has left running.
_MOST_ROUNDS = 20


class NotLoadable(TierctlError):
    """What was built is whole, but a shell cannot load it."""

    code = "not-loadable"

    def __init__(self, problems: list[str], longer: str = "") -> None:
        super().__init__(
            "\n  ".join(("the tier cannot be loaded:", *problems)),
            "Fix tier/etc/profile.d, or what a package has in etc/conda/activate.d. "
            f"No tier was changed. {longer}".rstrip(),
        )


def profiles_load(top: str, limit: float) -> list[str]:
    """Raise ``NotLoadable`` unless each shell that is installed can load the tier at ``top``.

    ``limit``: within so many seconds. Returns a warning for each script that
    prints something on stderr, as it will in each login.
    """
    word = secrets.token_hex(8)
    with tree.scratch() as home, ExitStack() as running:
        running.callback(_end_what_is_left, word)
        # All of them at once.
        started = [running.enter_context(_loading(name, top, home, word)) for name in _SHELLS]
        trials = [trial for trial in started if trial is not None]
        _hear(trials, limit)
        wrong = {trial.shell: _why_not(trial, limit) for trial in trials}
        took_too_long = any(map(_is_running, trials))
    problems = [
        f"{shell} cannot load etc/{_SHELLS[shell][0]}: {why}" for shell, why in wrong.items() if why
    ]
    if problems:
        raise NotLoadable(problems, LONGER if took_too_long else "")
    return _warnings(trials)


class _Said:
    """What a shell prints on stderr: of each script the first line, whatever more there is."""

    def __init__(self, word: str, top: str) -> None:
        self._mark = f"{word} ".encode()
        self._top = f"{top}/"
        self._line = b""
        self.script = ""  # the one at work
        self.first: dict[str, str] = {}

    def take(self, data: bytes) -> None:
        """Hear what is printed next."""
        *lines, rest = (self._line + data).split(b"\n")
        self._line = rest[:_LONGEST_LINE]
        for line in lines:
            if line.startswith(self._mark):
                path = os.fsdecode(line.removeprefix(self._mark))
                self.script = shown(path.removeprefix(self._top))
            elif line.strip() and self.script not in self.first:
                text = line[:_LONGEST_LINE].decode(errors="replace").strip()
                self.first[self.script] = shown(text)

    def end(self) -> None:
        """Hear that nothing more is printed."""
        self.take(b"\n")


class _Trial(NamedTuple):
    """A shell that loads the tier."""

    shell: str
    process: subprocess.Popen[bytes]
    stderr: int
    said: _Said


@contextmanager
def _loading(shell: str, top: str, home: str, word: str) -> Iterator[_Trial | None]:
    """Have a shell that loads the tier; None if it is not installed."""
    profile, options, script = _SHELLS[shell]
    # Nothing of the caller's is to make the difference, and nothing of it is read.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": home, "TERM": "dumb"}
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    try:
        try:
            process = subprocess.Popen(  # noqa: S603 (a shell of this host, paths as parameters)
                [shell, *options, script, f"{top}/etc/{profile}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=theirs,
                env=environment | {_TOP: top, _TRIAL: word},
                cwd=home,  # what a script writes by accident is thrown away with it
                start_new_session=True,  # without a terminal that it could wait for
            )
        except FileNotFoundError:
            yield None
            return
        finally:
            os.close(theirs)
        try:
            yield _Trial(shell, process, ours, _Said(word, top))
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with whatever it left running
            process.wait()
    finally:
        os.close(ours)


def _hear(trials: Sequence[_Trial], limit: float) -> None:
    """Hear what the shells print until all have ended, or the limit is reached.

    Their end is not that of their stderr: what a script leaves running keeps that open.
    """
    until = time.monotonic() + limit
    running = list(trials)
    with selectors.DefaultSelector() as open_ones:
        for trial in trials:
            open_ones.register(trial.stderr, selectors.EVENT_READ, trial)
        while running and (left := until - time.monotonic()) > 0:
            for key, _ in open_ones.select(min(_PAUSE_S, left)):
                trial = key.data
                if not _read(trial):  # most often that is its end
                    open_ones.unregister(key.fd)
                    with suppress(subprocess.TimeoutExpired):
                        trial.process.wait(_PAUSE_S)
            if not open_ones.get_map():
                time.sleep(min(_PAUSE_S, left) if all(map(_is_running, running)) else 0)
            running = list(filter(_is_running, running))
    for trial in trials:
        _read(trial)
        trial.said.end()


def _is_running(trial: _Trial) -> bool:
    return trial.process.poll() is None


def _read(trial: _Trial) -> bool:
    """Read what a shell has printed; say whether it may print more."""
    try:
        data = os.read(trial.stderr, _PART)
    except BlockingIOError:
        return True
    trial.said.take(data)
    return bool(data)


def _why_not(trial: _Trial, limit: float) -> str:
    code, script = trial.process.returncode, trial.said.script
    if code == _LOADED:
        return ""
    which = script or "its profile"
    if code is None:
        return f"{which} did not end within {limit:g} s"
    if code == 0:
        return f"{which} ends the shell; use return instead of exit"
    said = trial.said.first.get(script, "no message")
    return f"exit code {code} in {which}, {said}"


def _warnings(trials: Sequence[_Trial]) -> list[str]:
    shells: dict[str, list[str]] = {}
    lines: dict[str, str] = {}
    for trial in trials:
        for script, line in trial.said.first.items():
            shells.setdefault(script, []).append(trial.shell)
            lines.setdefault(script, line)
    return [
        f"{script or 'a profile'} prints on stderr whenever {' or '.join(shells[script])} loads "
        f"the tier: {line}"
        for script, line in lines.items()
    ]


def _end_what_is_left(word: str) -> None:
    """End what has left its shell's group, as a daemon does; it has the word in its environment."""
    mark = f"{_TRIAL}={word}".encode()
    for _ in range(_MOST_ROUNDS):
        left = [
            pid for pid in procfs.processes() if mark in procfs.told(pid, "environ").split(b"\0")
        ]
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not left:
            return
