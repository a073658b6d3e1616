"""Whether shells can load what was built."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import IO

from tierctl.deploy import tree
from tierctl.errors import TierctlError
from tierctl.text import shown

# What a shell ends with that came to the end of its script; a profile may have ended it before.
_LOADED = 86
_POSIX = f'. "$0"; [ "$IAC_TIER_DIR" = "$1" ] && exit {_LOADED}'
# How each shell sources $0 and then compares what that set: without its user's own settings.
_SHELLS = {
    "bash": ("profile.sh", ["--noprofile", "--norc", "-c"], _POSIX),
    "zsh": ("profile.sh", ["-f", "-c"], _POSIX),
    "fish": (
        "profile.fish",
        ["--no-config", "-c"],
        f'source $argv[1]; test "$IAC_TIER_DIR" = $argv[2]; and exit {_LOADED}',
    ),
    "tcsh": (
        "profile.csh",
        ["-f", "-c"],
        f'source $argv[1]:q; if ( "$IAC_TIER_DIR:q" == "$argv[2]:q" ) exit {_LOADED}',
    ),
}
_LONGEST_LOAD_S = 60


class NotLoadable(TierctlError):
    """What was built is whole, but a shell cannot load it."""

    code = "not-loadable"

    def __init__(self, problems: list[str]) -> None:
        super().__init__(
            "\n  ".join(("the tier cannot be loaded:", *problems)),
            "Mend tier/etc/profile.d, or what a package has in etc/conda/activate.d. "
            "No tier was changed.",
        )


def profiles_load(top: str) -> None:
    """Raise ``NotLoadable`` unless each shell that is installed can load the tier at ``top``."""
    until = time.monotonic() + _LONGEST_LOAD_S
    with tree.scratch() as home, ExitStack() as running:
        # All of them at once.
        started = {name: running.enter_context(_loading(name, top, home)) for name in _SHELLS}
        problems = [
            f"{name} cannot load etc/{_SHELLS[name][0]}: {wrong}"
            for name, shell in started.items()
            if shell is not None and (wrong := _why_not(*shell, until))
        ]
    if problems:
        raise NotLoadable(problems)


@contextmanager
def _loading(
    shell: str, top: str, home: str
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]] | None]:
    """Have a shell that loads the tier, and the file of what it says; None if it is missing."""
    profile, options, script = _SHELLS[shell]
    # Nothing of the caller's is to make the difference, and nothing of it is read.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": home, "TERM": "dumb"}
    # A file and no pipe: what a script leaves running would keep that open.
    with tree.unnamed_file() as said:
        try:
            process = subprocess.Popen(  # noqa: S603 (a shell of this host, paths as parameters)
                [shell, *options, script, f"{top}/etc/{profile}", top],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=environment,
                process_group=0,
            )
        except FileNotFoundError:
            yield None
            return
        try:
            yield process, said
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with whatever it left running
            process.wait()


def _why_not(shell: subprocess.Popen[bytes], said: IO[bytes], until: float) -> str:
    try:
        code = shell.wait(max(0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        return f"it did not end within {_LONGEST_LOAD_S} s"
    if code == _LOADED:
        return ""
    if code == 0:
        return "a script in it ends the shell; use return instead of exit"
    said.seek(0)
    last = shown(said.read().decode(errors="replace").strip().rpartition("\n")[2])
    return f"exit code {code}, {last or 'no message'}"
