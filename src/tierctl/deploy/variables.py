"""The variables of environments: what their packages and their state want to have set.

As conda reads them: the files of ``etc/conda/env_vars.d`` by name, then ``conda-meta/state``; what
is read later counts. No shell reads these files: the values stand in the profiles.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from io import BufferedReader
from typing import Any, NamedTuple

from tierctl.deploy.definitions import files
from tierctl.fs import sealing
from tierctl.fs.tree import Held
from tierctl.rotation.names import PACKAGE_RECORDS
from tierctl.text import shown

_OF_PACKAGES = "etc/conda/env_vars.d"
_STATE = f"{PACKAGE_RECORDS}/state"
# What conda writes as the value of a variable that is not to be set.
_UNSET = "***unset***"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What shells have for themselves, tierctl's profiles included: other values end the login, or
# change what runs in it. What a site wants of that, it writes into tier/etc/profile.d.
_WORDS_NEEDED = (
    "_ ARGC CDPATH COLUMNS CONDARC CONDA_PREFIX DIRSTACK EGID ENV EPOCHREALTIME EPOCHSECONDS EUID "
    "FIGNORE FPATH FUNCNAME FUNCNEST GID GLOBIGNORE GROUPS HISTCHARS HISTCMD HISTFILE HISTSIZE "
    "HOME IFS KEYBOARD_HACK LINENO LINES LOGNAME MAILPATH MODULE_PATH NULLCMD OLDPWD OPTARG OPTERR "
    "OPTIND PATH PIPESTATUS POSIXLY_CORRECT PPID PROMPT PROMPT_COMMAND PSVAR PWD RANDOM "
    "READNULLCMD REPORTTIME SAVEHIST SECONDS SHELL SHELLOPTS SHLVL SPROMPT SRANDOM TMOUT "
    "TRY_BLOCK_ERROR TRY_BLOCK_INTERRUPT TTYIDLE UID USER USERNAME WATCH ZDOTDIR "
    "argv builtins cdpath commands cwd dirstack fignore fpath funcstack functions functions_source "
    "gid histchars history historywords home hostname keymaps mailpath manpath module_path modules "
    "nameddirs options owd parameters patchars path pipestatus prompt psvar reswords shell shlvl "
    "status status_generation termcap terminfo tty uid umask user userdirs usergroups version "
    "watch widgets"
)
_NEEDED = frozenset(_WORDS_NEEDED.split())
_NEEDED_KINDS = re.compile(
    r"(BASH|FISH|ZSH|LD_|DYLD_|IAC_|_IAC_|_iac_|fish_|__fish|zsh_|dis_)\w*"
    r"|R?(PS|PROMPT)\d*|GLIBC_TUNABLES"
    r"|job(dirs|states|texts)|func\w*trace|\w*aliases"
)
# Of all variables together: the system starts no program with much more than that.
_MOST_BYTES = 1 << 16
_MOST_WARNINGS = 10
_LONGEST_SHOWN = 80


class Variables(NamedTuple):
    """What is to be set where a tier is loaded, and what is said of the rest."""

    values: dict[str, str]
    warnings: list[str]


class _Variable(NamedTuple):
    """A variable as a file of an environment has it."""

    value: str
    file: str


def read(held: Held, top: str, environments: Iterable[str]) -> Variables:
    """Return the variables of environments, which are in the directory ``top`` of a tree.

    Where several environments set one, the first counts, as for commands on PATH.
    """
    found = Variables({}, [])
    room = _MOST_BYTES
    for environment in environments:
        reader = _Reader(held, f"{top}/{environment}", environment)
        for name, (value, file) in reader.read().items():
            if name in found.values:
                if found.values[name] != value:
                    why = "an environment that comes before on PATH sets another value"
                    reader.leave_out(name, file, why)
            elif (size := len(f"{name}={value}".encode())) > room:
                reader.leave_out(name, file, f"all together have more than {_MOST_BYTES} bytes")
            else:
                found.values[name] = value
                room -= size
        found.warnings.extend(reader.warnings())
    return found


class _Reader:
    """Reads the files of one environment, following no link, and notes what is left out."""

    def __init__(self, held: Held, prefix: str, environment: str) -> None:
        self._held = held
        self._prefix = prefix
        self._environment = environment
        self._left_out: list[str] = []

    def warnings(self) -> list[str]:
        """Return what to say of all that was left out."""
        more = len(self._left_out) - _MOST_WARNINGS
        told = [f"{more} more variables or files are left out"] if more > 0 else []
        lines = (*self._left_out[:_MOST_WARNINGS], *told)
        return [f"environment {self._environment}: {line}" for line in lines]

    def read(self) -> dict[str, _Variable]:
        """Return the variables by name."""
        found: dict[str, _Variable] = {}
        for file in (*self._files_of_packages(), _STATE):
            for name, value in self._variables(file):
                before = found.pop(name, None)
                if before is not None and before.value != value:
                    self.leave_out(name, before.file, f"{shown(file)} has another value")
                if value != _UNSET:
                    found[name] = _Variable(value, file)
        return found

    def leave_out(self, name: str, file: str, why: str) -> None:
        """Note that a variable is not set."""
        short = name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}..."
        self._left_out.append(f"{shown(short)!r} of {self._described(file)} is not set: {why}")

    def _files_of_packages(self) -> list[str]:
        try:
            return [f"{_OF_PACKAGES}/{name}" for name in self._names(_OF_PACKAGES)]
        except OSError as error:
            self._left_out.append(f"{_OF_PACKAGES} is not read: {_cause(error)}")
            return []

    def _variables(self, file: str) -> Iterator[tuple[str, str]]:
        """Yield what can be set of a file, and note the rest."""
        try:
            with self._opened(file) as opened:
                listed = _listed(files.content(opened), is_state=file == _STATE)
        except FileNotFoundError:
            return
        except OSError as error:
            self._left_out.append(f"{self._described(file)} is not read: {_cause(error)}")
        except (ValueError, RecursionError) as error:
            self._left_out.append(f"{self._described(file)} is not read: {error}")
        else:
            for name, value in listed.items():
                if why := why_not(name, value):
                    self.leave_out(name, file, why)
                else:
                    yield name, str(value)

    def _described(self, file: str) -> str:
        owner = self._owners.get(file)
        return f"{shown(file)} ({shown(owner)})" if owner else shown(file)

    @cached_property
    def _owners(self) -> dict[str, str]:
        """Which package has brought a file of variables, by its path."""
        # Whether the environment is whole is looked at later.
        owners: dict[str, str] = {}
        with suppress(OSError):
            for record in self._names(PACKAGE_RECORDS):
                with suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
                    owners |= self._brought(record)
        return owners

    def _brought(self, record: str) -> dict[str, str]:
        with self._opened(f"{PACKAGE_RECORDS}/{record}") as opened:
            package = json.load(opened)
        owner = f"package {package['name']} {package['version']}"
        return {file: owner for file in package["files"] if file.startswith(_OF_PACKAGES)}

    def _names(self, directory: str) -> list[str]:
        with (
            suppress(FileNotFoundError),
            sealing.below(self._held, f"{self._prefix}/{directory}/.") as (_, opened),
        ):
            return sorted(os.listdir(opened))
        return []

    def _opened(self, file: str) -> BufferedReader:
        with sealing.below(self._held, f"{self._prefix}/{file}") as (name, directory):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            return open(os.open(name, flags, dir_fd=directory), "rb")


def _cause(error: OSError) -> str:
    # Where a link stands in the place of a directory, the system says that it is none.
    is_link = error.errno in (errno.ELOOP, errno.ENOTDIR)
    return "there is a symlink, which is not followed" if is_link else f"{error.strerror}"


def _listed(content: bytes, *, is_state: bool) -> dict[str, Any]:
    """Return names and values as a file has them; raises ``ValueError``."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no valid JSON: {error}") from error
    listed = document.get("env_vars", {}) if is_state and isinstance(document, dict) else document
    if not isinstance(listed, dict):
        raise ValueError("it does not hold names and values")
    return listed


def why_not(name: str, value: object) -> str:
    """Say why a variable is not to be set, or nothing."""
    if not _NAME.fullmatch(name):
        return "no shell can have a variable of that name"
    if name in _NEEDED or _NEEDED_KINDS.fullmatch(name):
        return "shells and tierctl need that themselves; tier/etc/profile.d can set it"
    if not isinstance(value, (str, int, float)):
        return "its value is neither text nor a number"
    try:
        is_text = b"\0" not in str(value).encode()
    except ValueError:
        is_text = False
    return "" if is_text else "its value is no text that a variable can have"
