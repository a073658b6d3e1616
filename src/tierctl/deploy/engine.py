"""The engine: solves, fetches and installs packages, in processes of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tierctl.deploy.failures import EngineFailed, EngineMissing, Incomplete
from tierctl.deploy.progress import Progress, Watch
from tierctl.errors import TierctlError
from tierctl.layout import REPODATA
from tierctl.packages import Package, Packages

if TYPE_CHECKING:  # the worker is started before all that is imported which reads definitions
    from tierctl.deploy.environments import Environment

# What the engine needs of the caller's environment: how to reach a channel. Its
# home is not there, so nothing of the caller's settings or passwords is read.
_PASSED_ON = (
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "NO_PROXY",
    "PATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
)
# Without "-m", which takes longer.
_WORKER = "from tierctl.deploy.worker.serving import main; main()"
_PROXIES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY")
# Nobody answers there: whatever asks all the same gets an error.
_NOBODY = "http://127.0.0.1:9"
_CONSISTS_OF = ("rattler", "uv", "yaml", "packaging")
_NO_HOME = "/nonexistent"
# Linking waits for the filesystem more than for a processor: with two of those
# 20,000 files are linked in three quarters of the time that two threads take.
_LEAST_THREADS = 8
# What uname(2) calls a host, and what conda does.
_SYSTEMS = {"Linux": "linux", "Darwin": "osx"}
_MACHINES = {"x86_64": "64"}


def is_installed() -> bool:
    """Say whether what the engine consists of is installed, without importing it."""
    return all(map(find_spec, _CONSISTS_OF))


def require_installed() -> None:
    """Raise ``EngineMissing`` unless the engine is installed."""
    if not is_installed():
        raise EngineMissing


def platform() -> str:
    """Return conda's word for this host: ``linux-64``."""
    host = os.uname()
    system = _SYSTEMS.get(host.sysname, host.sysname.lower())
    return f"{system}-{_MACHINES.get(host.machine, host.machine)}"


@contextmanager
def started(cache: str, *, offline: bool = False, shared: bool = False) -> Iterator[Engine]:
    """Have an engine that keeps what it fetches in the directory ``cache``.

    ``offline``: it asks nobody, and takes what is there. ``shared``: the group
    may add to the cache. Raises ``EngineMissing``.
    """
    require_installed()
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    if offline:
        environment |= dict.fromkeys(_PROXIES, _NOBODY)
        environment.pop("NO_PROXY", None)
    worker = subprocess.Popen(  # noqa: S603 (this interpreter, and a fixed text)
        [sys.executable, "-I", "-c", _WORKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # what goes wrong it answers
        env={**environment, "HOME": _NO_HOME, "RAYON_NUM_THREADS": _threads()},
        umask=0o002 if shared else 0o022,
        process_group=0,  # which ends as a whole
    )
    with closing(Engine(worker, cache, offline=offline)) as engine:
        yield engine


def _threads() -> str:
    return str(max(_LEAST_THREADS, os.cpu_count() or 1))


class Engine:
    """Asks the worker; ``solve`` comes before ``install``.

    ``watch`` hears how far an install is.
    """

    def __init__(self, worker: subprocess.Popen[bytes], cache: str, *, offline: bool) -> None:
        assert worker.stdin is not None  # noqa: S101 (pipes, as asked for in started)
        assert worker.stdout is not None  # noqa: S101 (as above)
        self._worker = worker
        self._questions = worker.stdin
        self._answers = worker.stdout
        self._cache = cache
        self.watch: Watch | None = None
        self._is_dismissed = False
        self._offline = offline
        self._subdir = ""
        self._specs: dict[str, Sequence[str]] = {}
        self._channels: dict[str, Sequence[str]] = {}

    def close(self) -> None:
        """End the worker, whatever it is at, and wait until it writes nothing any more."""
        if self._worker.returncode is not None:  # its number may be another process's by now
            return
        from tierctl.deploy import tree  # not before the worker is started

        self.dismiss()
        self._worker.wait()
        tree.remove_scratch(self._worker.pid)
        tree.open_to_readers(f"{self._cache}/{REPODATA}")
        self._answers.close()
        with suppress(BrokenPipeError):  # half a question
            self._questions.close()

    def dismiss(self) -> None:
        """End the worker, and do not wait for that: it has nothing to do any more."""
        if not self._is_dismissed:
            self._is_dismissed = True
            with suppress(ProcessLookupError):  # it has ended
                os.killpg(self._worker.pid, signal.SIGKILL)

    def wrong_spec(self, spec: str) -> str:
        """Say what is wrong with a match spec, or nothing."""
        wrong: str = self._ask("check", specs=[spec])["wrong"][0]
        return wrong

    def solve(self, environments: Sequence[Environment], subdir: str) -> Packages:
        """Return the packages that each environment is to hold; raises ``EngineFailed``."""
        self._begin(environments, subdir)
        answer = self._ask(
            "solve",
            environments=[
                {
                    "name": wanted.name,
                    "channels": wanted.channels,
                    "specs": wanted.specs,
                    "pip": wanted.pip,
                }
                for wanted in environments
            ],
            subdir=subdir,
            offline=self._offline,
        )
        return _packages(answer)

    def like(
        self, environments: Sequence[Environment], subdir: str, locks: Mapping[str, str]
    ) -> Packages:
        """Return the packages that lock files record, instead of solving; raises as ``solve``."""
        self._begin(environments, subdir)
        return _packages(self._ask("like", locks=locks, subdir=subdir))

    def _begin(self, environments: Sequence[Environment], subdir: str) -> None:
        self._subdir = subdir
        self._specs = {environment.name: environment.specs for environment in environments}
        self._channels = {environment.name: environment.channels for environment in environments}

    def commands(self, cache: str) -> dict[str, list[str]]:
        """Return the commands that the packages bring to each environment; raises as ``solve``.

        ``cache`` is where packages may be already; nothing is written there.
        """
        answer = self._ask("open", packages=cache, offline=self._offline)
        found: dict[str, list[str]] = answer["commands"]
        return found

    def install(
        self,
        prefixes: Mapping[str, str],
        locks: Mapping[str, str],
        meanwhile: Callable[[], None] = lambda: None,
    ) -> str:
        """Fetch and link what was solved, each environment into its own prefix.

        And write what was solved into the files ``locks``, in rattler's format,
        with every sha256. ``meanwhile`` is called when it has begun. Returns
        which tools did it. Raises ``EngineFailed``; what is in the prefixes is
        then good for nothing.
        """
        answer = self._ask(
            "install",
            meanwhile,
            prefixes=prefixes,
            locks=locks,
            channels=self._channels,
            subdir=self._subdir,
            specs=self._specs,
            offline=self._offline,
            progress=self.watch is not None,
        )
        return ", ".join(answer["tools"])

    def verify(
        self,
        prefixes: Mapping[str, str],
        packages: Packages,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """Raise ``Incomplete`` unless each file of the packages is there with the right size.

        That comes before what may be wrong ``meanwhile``: it may be the reason.
        """
        wrong: list[TierctlError] = []

        def guarded() -> None:
            try:
                meanwhile()
            except TierctlError as error:
                wrong.append(error)

        answer = self._ask(
            "verify",
            guarded,
            prefixes=prefixes,
            counts={name: len(packages[name]) for name in prefixes},
            wheels={
                name: [(each.name, each.version) for each in packages[name] if not each.channel]
                for name in prefixes
            },
        )
        for name, problems in answer["wrong"].items():
            if problems:
                raise Incomplete(prefixes[name], problems, answer["damaged"])
        if wrong:
            raise wrong[0]

    def _ask(
        self,
        verb: str,
        meanwhile: Callable[[], None] = lambda: None,
        **members: Any,  # noqa: ANN401 (JSON values)
    ) -> dict[str, Any]:
        asked = {"verb": verb, "cache": self._cache, **members}
        with suppress(BrokenPipeError):  # then there is no answer either
            self._questions.write(json.dumps(asked).encode() + b"\n")
            self._questions.flush()
        meanwhile()
        for line in self._answers:
            answer: dict[str, Any] = json.loads(line)
            if answer.get("failed"):
                raise EngineFailed(verb, answer["failed"])
            if "progress" not in answer:
                return answer
            if self.watch is not None:
                self.watch(Progress(**answer["progress"]))
        raise EngineFailed(verb, {"engine": "it ended without an answer"})


def _packages(answer: dict[str, Any]) -> Packages:
    return {
        name: tuple(Package(**package) for package in packages)
        for name, packages in answer["packages"].items()
    }
