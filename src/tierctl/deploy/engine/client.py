"""The engine: solves, fetches and installs packages, in processes of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from tierctl.deploy.engine import process, stall
from tierctl.deploy.engine.failures import LONGER, EngineFailed, EngineMissing, Incomplete
from tierctl.deploy.engine.process import Worker
from tierctl.deploy.engine.progress import Progress, Watch
from tierctl.deploy.engine.stall import Stalled
from tierctl.errors import TierctlError
from tierctl.rotation.names import ENVIRONMENTS, REPODATA
from tierctl.target.packages import Package, Packages
from tierctl.text import shown

if TYPE_CHECKING:  # the worker is started before all that is imported which reads definitions
    from tierctl.deploy.definitions.environments import Environment
    from tierctl.fs.listing import Whole
    from tierctl.fs.tree import Held


class Verified(NamedTuple):
    """What was built is whole: the sha256 of its manifest, and what is worth a warning."""

    manifest: str
    warnings: list[str]


_CONSISTS_OF = ("rattler", "uv", "yaml", "packaging")
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
def started(
    cache: str,
    *,
    confined: bool = False,
    offline: bool = False,
    shared: bool = False,
    timeout: float = process.TIMEOUT_S,
) -> Iterator[Engine]:
    """Have an engine that keeps what it fetches in the directory ``cache``.

    ``confined``: but there, for temporary files, and where ``keep_to`` says, it
    writes nowhere, where the kernel knows how to keep it there. ``offline``: it
    asks nobody, and takes what is there. ``shared``: the group may add to the cache.
    ``timeout``: it gives up when nothing has happened for so many seconds.
    Raises ``EngineMissing``.
    """
    require_installed()
    settings = {
        "cache": cache,
        "confined": confined,
        "offline": offline,
        "shared": shared,
        "timeout": timeout,
    }
    with closing(Engine(process.take(), settings)) as engine:
        yield engine


class Installed(NamedTuple):
    """How an install ended: the tools that did it, and warnings of what clashes."""

    tools: str
    warnings: list[str]


class Foreseen(NamedTuple):
    """What environments will hold: the commands of each, and warnings of what clashes."""

    commands: dict[str, list[str]]
    warnings: list[str]


class Engine:
    """Asks the worker; ``solve`` comes before ``install``.

    ``watch`` hears how far an install is.
    """

    def __init__(self, worker: Worker, settings: Mapping[str, Any]) -> None:
        self._worker = worker
        self._settings = {**settings, "within": []}
        self.watch: Watch | None = None
        self._subdir = ""
        self._specs: dict[str, Sequence[str]] = {}
        self._channels: dict[str, Sequence[str]] = {}

    @property
    def timeout(self) -> float:
        """For how many seconds it waits while nothing happens."""
        timeout: float = self._settings["timeout"]
        return timeout

    def close(self) -> None:
        """End the worker, whatever it is at, and wait until it writes nothing any more."""
        if self._worker.is_over:
            return
        from tierctl.fs import tree  # not before the worker is started

        self.dismiss()
        self._worker.wait()
        tree.remove_scratch(self._worker.pid)
        tree.open_to_readers(f"{self._settings['cache']}/{REPODATA}")

    def dismiss(self) -> None:
        """End the worker, and do not wait for that: it has nothing to do any more."""
        self._worker.kill()

    def keep_to(self, directory: str) -> None:
        """Let it write in this directory, if it is confined: before it is asked anything."""
        self._settings["within"].append(directory)

    def wrong_spec(self, spec: str) -> str:
        """Say what is wrong with a match spec, or nothing."""
        wrong: str = self._ask("check", specs=[spec])["wrong"][0]
        return wrong

    def solve(
        self,
        environments: Sequence[Environment],
        subdir: str,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Packages:
        """Return the packages that each environment is to hold; raises ``EngineFailed``."""
        self._begin(environments, subdir)
        answer = self._ask(
            "solve",
            meanwhile,
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

    def foresee(self, cache: str) -> Foreseen:
        """Return what the environments will hold; raises ``EngineFailed`` as ``install`` would.

        ``cache`` is where packages may be already; nothing is written there.
        """
        answer = self._ask("foresee", packages=cache)
        return Foreseen(answer["commands"], _told(answer["clashes"]))

    def install(
        self,
        prefixes: Mapping[str, str],
        locks: Mapping[str, str],
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Installed:
        """Fetch and link what was solved, each environment into its own prefix.

        And write what was solved into the files ``locks``, in rattler's format,
        with every sha256. ``meanwhile`` is called when it has begun. Raises
        ``EngineFailed``; what is in the prefixes is then good for nothing.
        """
        answer = self._ask(
            "install",
            meanwhile,
            prefixes=prefixes,
            locks=locks,
            channels=self._channels,
            subdir=self._subdir,
            specs=self._specs,
            progress=self.watch is not None,
        )
        return Installed(", ".join(answer["tools"]), _told(answer["clashes"]))

    def seal(self, held: Held, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Seal the environments of a deployment, see ``sealing.seal``.

        The worker does it, and knows by that what ``verify`` needs: each file is
        looked at once. Raises ``OSError``.
        """
        self._ask("seal", meanwhile, **_where(held))

    def verify(
        self,
        held: Held,
        prefixes: Mapping[str, str],
        packages: Packages,
        rest: Whole,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Verified:
        """Raise ``Incomplete`` unless each file of the packages is there with the right size.

        Then write the manifest of the deployment that is held: of the environments, which
        were sealed before, and of the ``rest``. There is a warning for each script that a
        package wants run when it is linked. What is wrong with the files is raised before a
        ``TierctlError`` of ``meanwhile``: it may be the reason.
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
            **_where(held),
            rest=rest,
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
        warnings = [
            f"environment {name}: {script} was not run, which a package brings to be finished by; "
            "tierctl runs nothing of packages"
            for name, scripts in answer["scripts"].items()
            for script in map(shown, scripts)
        ]
        return Verified(answer["manifest"], warnings)

    def _ask(
        self,
        verb: str,
        meanwhile: Callable[[], None] = lambda: None,
        **members: Any,  # noqa: ANN401 (JSON values)
    ) -> dict[str, Any]:
        said = "install" if verb == "foresee" else verb  # a dry run says what the deploy would
        asked = {"verb": verb, **self._settings, **members}
        self._worker.ask(json.dumps(asked).encode() + b"\n")
        meanwhile()
        with closing(self._answers(said)) as lines:
            for line in lines:
                answer: dict[str, Any] = json.loads(line)
                if answer.get("failed"):
                    raise EngineFailed(said, answer["failed"])
                if "error" in answer:
                    raise OSError(*answer["error"])
                if "progress" not in answer:
                    return answer
                if self.watch is not None:
                    self.watch(Progress(**answer["progress"]))
        raise EngineFailed(said, {"engine": "it ended without an answer"})

    def _answers(self, verb: str) -> Generator[bytes]:
        """Yield the lines that come; raise ``EngineFailed`` if the worker does nothing any more."""
        stalled: list[Stalled] = []

        def give_up(found: Stalled) -> None:
            stalled.append(found)
            self._worker.kill()

        with stall.watched(self._worker.pid, self.timeout, give_up):
            for line in self._worker.answers():
                if not stalled:  # else it may be half of one
                    yield line
        if stalled:
            raise _gave_up(verb, *stalled[0])


def _where(held: Held) -> dict[str, Any]:
    """Return what tells the worker of a deployment that is held."""
    return {"top": held.top, "identity": held.identity, "environments": ENVIRONMENTS}


def _gave_up(verb: str, seconds: float, waiting_for: str) -> EngineFailed:
    why = f"nothing has happened for {seconds:g} s"
    return EngineFailed(verb, {"engine": "; ".join(filter(None, (why, waiting_for)))}, LONGER)


def _told(texts: Mapping[str, Iterable[str]]) -> list[str]:
    """Return what is said of each environment as one list."""
    return [f"environment {name}: {text}" for name in texts for text in texts[name]]


def _packages(answer: dict[str, Any]) -> Packages:
    return {
        name: tuple(Package(**package) for package in packages)
        for name, packages in answer["packages"].items()
    }
