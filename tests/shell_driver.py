"""Real shells, and targets with profiles for them to load."""

import os
import pty
import subprocess
from pathlib import Path
from typing import NamedTuple

from tierctl import profiles
from tierctl.target.paths import Layout
from tools import require_tool

ENVIRONMENTS = ("abc", "abc-2", "py")


class Shell(NamedTuple):
    """A shell, the ending of its profile, and what keeps the user's settings out."""

    name: str
    suffix: str
    bare: tuple[str, ...]

    @property
    def profile(self) -> str:
        """The file of a tier's etc that this shell reads."""
        return f"profile.{self.suffix}"

    def source(self, tier: str = "production") -> str:
        """Return the command that loads a tier of the target in $I."""
        return f'source "$I/{tier}/etc/{self.profile}"\n'


BASH = Shell("bash", "sh", ("--noprofile", "--norc"))
ZSH = Shell("zsh", "sh", ("-f",))
FISH = Shell("fish", "fish", ("--no-config",))
TCSH = Shell("tcsh", "csh", ("-f",))
SHELLS = (BASH, ZSH, FISH, TCSH)


class Done(NamedTuple):
    """What a shell printed, and its exported variables when it was done."""

    out: str
    err: str
    code: int
    env: dict[str, str]


def make_loadable(target: Path, numbers: tuple[int, ...] = (41, 42)) -> Layout:
    """Make a target with loadable deployments: production is 41, staging 42."""
    layout = Layout.of_target(str(target))
    top = Path(layout.infrastructure)
    for number in numbers:
        make_tier(layout, f"deployments/{number}")
    for name, leads_to in {
        "blue": f"deployments/{numbers[0]}",
        "green": f"deployments/{numbers[-1]}",
        "production": "blue",
        "staging": "green",
        "dev1": f"deployments/{numbers[0]}",
    }.items():
        (top / name).symlink_to(leads_to)
    return layout


def make_tier(layout: Layout, directory: str) -> Path:
    """Make the directory of a tier, with three environments and one without commands."""
    tier = Path(layout.within(directory))
    for name in ENVIRONMENTS:
        (tier / "conda/envs" / name / "bin").mkdir(parents=True)
    (tier / "conda/envs/empty").mkdir()
    (tier / "etc/profile.d").mkdir(parents=True)
    (tier / "bin").mkdir()
    for name, text in profiles.files(layout, directory).items():
        (tier / "etc" / name).write_text(text, "utf-8")
    return tier


def expected(layout: Layout, directory: str, name: str, path: str) -> dict[str, str]:
    """Return the variables of a shell that loaded a directory through a name."""
    tier = layout.within(directory)
    number = directory.rpartition("/")[2]
    entries = [f"{tier}/bin", *(f"{tier}/conda/envs/{env}/bin" for env in ENVIRONMENTS)]
    return {
        "IAC_TIER_DIR": tier,
        "IAC_TIER_NAME": name,
        "IAC_DIR": layout.infrastructure,
        "IAC_PARENT": layout.top,
        "IAC_ORIGINAL_PATH": path,
        "IAC_DEPLOYMENT": number if number.isdigit() else "",
        "CONDARC": f"{tier}/etc/condarc",
        "PATH": ":".join([*entries, path] if path else entries),
    }


def loaded(done: Done) -> dict[str, str]:
    """Return the variables of a shell that a profile sets."""
    return {
        name: value
        for name, value in done.env.items()
        if name.startswith("IAC_") or name in ("CONDARC", "PATH")
    }


def run(
    shell: Shell,
    script: str,
    layout: Layout,
    scratch: Path,
    *arguments: str,
    cwd: str | None = None,
    user: int | None = None,
    path: str = "/usr/bin:/bin",
    **variables: str,
) -> Done:
    """Run a script in a shell; $I is the infrastructure."""
    program, after = require_tool(shell.name), scratch / "environment"
    after.touch()
    after.chmod(0o666)
    file = scratch / "script"
    file.write_text(f'{script}\n/usr/bin/env -0 >> "$AFTER"\n', "utf-8")
    after.write_text("")
    done = subprocess.run(
        [program, *shell.bare, str(file), *arguments],
        env=_environment(layout, scratch, path) | variables,
        cwd=cwd or scratch,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        user=user,
    )
    return Done(done.stdout, done.stderr, done.returncode, _read(after))


def type_in(
    shell: Shell, lines: list[str], layout: Layout, scratch: Path, term: str = "vt100"
) -> Done:
    """Type lines into an interactive shell on a terminal; what it shows is both out and err."""
    program, after = require_tool(shell.name), scratch / "environment"
    after.write_text("")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [program, *shell.bare],
        env=_environment(layout, scratch, "/usr/bin:/bin") | {"TERM": term},
        cwd=scratch,
        pass_fds=[theirs],
        preexec_fn=lambda: os.login_tty(theirs),
    ) as process:
        os.close(theirs)
        shown = os.read(ours, 4096)  # the prompt: it has stopped discarding what is typed
        for line in [*lines, '/usr/bin/env -0 >> "$AFTER"', "exit"]:
            os.write(ours, f"{line}\n".encode())
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:  # EIO: the shell is gone
                break
        code = process.wait(20)
    os.close(ours)
    text = shown.decode(errors="replace")
    return Done(text, text, code, _read(after))


def _environment(layout: Layout, scratch: Path, path: str) -> dict[str, str]:
    return {
        "PATH": path,
        "HOME": str(scratch),
        "LC_ALL": "C.UTF-8",
        "I": layout.infrastructure,
        "AFTER": str(scratch / "environment"),
    }


def _read(after: Path) -> dict[str, str]:
    entries = after.read_bytes().decode().split("\0")[:-1]
    return dict(entry.split("=", 1) for entry in entries)
