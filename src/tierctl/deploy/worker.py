"""The engine's own process: the only module that imports py-rattler.

It reads one JSON document a line from stdin and answers on stdout in kind, in
the order that ``engine.py`` asks: ``solve`` or ``like``, ``install``, ``lock``. Its threads
outlive their work and can bring down an interpreter that is ending, so the
process ends without taking itself apart.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from queue import SimpleQueue
from types import ModuleType
from typing import Any, NamedTuple, NoReturn

from rattler import (
    Gateway,
    LockChannel,
    LockFile,
    LockPlatform,
    MatchSpec,
    RepoDataRecord,
    SourceConfig,
    Subdir,
    VirtualPackage,
    install,
    solve,
)
from rattler.exceptions import GatewayError, InvalidMatchSpecError, SolverError
from rattler.lock import PypiLockedPackage

from tierctl.deploy import archives
from tierctl.deploy.wheels import Wheel, WheelsFailed
from tierctl.layout import REPODATA

# A lock file is of one environment, which it calls so.
_ENVIRONMENT = "default"


class Solved(NamedTuple):
    """What an environment is to hold: of conda, and of pip."""

    records: list[RepoDataRecord]
    wheels: list[Wheel]


Environments = dict[str, Solved]


def main() -> None:
    """Serve until stdin ends, which it does at the latest with whoever asks.

    Then end at once, also in the middle of an answer, with all that was started
    for it: what is being built is about to be removed.
    """
    questions: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_serve, args=[questions], daemon=True).start()
    for line in sys.stdin.buffer:
        questions.put(line)
    os.killpg(0, signal.SIGKILL)  # the group is its own


def _serve(questions: SimpleQueue[bytes]) -> NoReturn:
    """Answer one question after the other."""
    solved: Environments = {}
    while True:
        line = questions.get()
        try:
            solved = _do(json.loads(line), solved)
        except BaseException as error:  # noqa: BLE001 (an engine that panics is one, too)
            _answer(failed={"engine": _text(error)})


def _do(asked: dict[str, Any], solved: Environments) -> Environments:
    """Do what is asked, and return what is solved now."""
    match asked["verb"]:
        case "check":
            _answer(wrong=[_wrong(spec) for spec in asked["specs"]])
        case "solve":
            return asyncio.run(_solve(asked))
        case "like":
            return _like(asked)
        case "install":
            asyncio.run(_install(asked, solved))
        case "lock":
            _lock(asked, solved)
    return solved


async def _solve(asked: dict[str, Any]) -> Environments:
    """Solve all environments at once; answer with their packages, or with all that is wrong."""
    gateway = Gateway(
        cache_dir=Path(asked["cache"], REPODATA),
        default_config=SourceConfig(
            sharded_enabled=False,
            cache_action="force-cache-only" if asked["offline"] else "cache-or-fetch",
        ),
    )
    names = [wanted["name"] for wanted in asked["environments"]]
    results = await asyncio.gather(
        *(_solve_one(gateway, wanted, asked) for wanted in asked["environments"]),
        return_exceptions=True,
    )
    found = dict(zip(names, results, strict=True))
    failed = {name: result for name, result in found.items() if isinstance(result, BaseException)}
    if failed:
        _answer(failed={name: _text(error) for name, error in failed.items()})
        return {}
    return _told({name: result for name, result in found.items() if isinstance(result, Solved)})


def _told(solved: Environments) -> Environments:
    """Answer with the packages of what is to be installed."""
    packages = {
        name: [*map(_package, found.records), *map(_package_of_wheel, found.wheels)]
        for name, found in solved.items()
    }
    _answer(packages=packages)
    return solved


def _like(asked: dict[str, Any]) -> Environments:
    """Take for solved what lock files record."""
    solved = {}
    for name, path in asked["locks"].items():
        locked = LockFile.from_path(Path(path)).environment(_ENVIRONMENT)
        found = locked and locked.conda_repodata_records().get(asked["subdir"])
        if not locked or not found:
            _answer(failed={name: f"{path} locks nothing for {asked['subdir']}"})
            return {}
        wheels = locked.pypi_packages().get(asked["subdir"], [])
        solved[name] = Solved(found, list(map(_locked_wheel, wheels)))
    return _told(solved)


def _locked_wheel(package: PypiLockedPackage) -> Wheel:
    if package.hashes is None or package.hashes.sha256 is None:
        raise ValueError(f"the lock of {package.name} has no sha256")
    # A path is what file:// becomes where it is read.
    place = package.location
    url = Path(place).as_uri() if place.startswith("/") else place
    return Wheel(package.name, package.version, url, package.hashes.sha256.hex())


def _lock(asked: dict[str, Any], solved: Environments) -> None:
    """Write a lock file for each environment."""
    platform = LockPlatform(asked["subdir"])
    for name, path in asked["locks"].items():
        locked = LockFile([platform])
        locked.set_channels(_ENVIRONMENT, [LockChannel(url) for url in asked["channels"][name]])
        for record in solved[name].records:
            locked.add_conda_package(_ENVIRONMENT, platform, record)
        for wheel in solved[name].wheels:
            locked.add_pypi_package(_ENVIRONMENT, platform, wheel.name, wheel.version, wheel.url)
        if solved[name].wheels:
            _write_with_sha256(locked, path, solved[name].wheels)
        else:
            locked.to_path(Path(path))
    _answer()


def _write_with_sha256(locked: LockFile, path: str, wheels: Iterable[Wheel]) -> None:
    """Write a lock file that says what each wheel's sha256 is: the engine's own does not."""
    import yaml  # which takes longer than most locks

    from tierctl.deploy import tree

    by_url = {wheel.url: wheel.sha256 for wheel in wheels}
    with tree.scratch() as place:
        locked.to_path(Path(place, "lock"))
        lock = yaml.safe_load(Path(place, "lock").read_bytes())
    for package in lock["packages"]:
        if "pypi" in package:
            package["sha256"] = by_url[package["pypi"]]
    tree.write_new(path, yaml.safe_dump(lock, sort_keys=False).encode())


async def _solve_one(gateway: Gateway, wanted: dict[str, Any], asked: dict[str, Any]) -> Solved:
    records = await solve(
        sources=wanted["channels"],
        specs=wanted["specs"],
        gateway=gateway,
        platforms=[Subdir(asked["subdir"]), Subdir("noarch")],
        virtual_packages=VirtualPackage.detect(),
    )
    if not wanted["pip"]:
        return Solved(records, [])
    versions = {record.name.normalized: str(record.version) for record in records}
    provided = {record.name.normalized for record in records if _is_of_python(record)}
    wheels = await asyncio.to_thread(
        _pip().solve,
        wanted["pip"],
        versions["python"],
        {name: versions[name] for name in provided},
        asked["cache"],
        offline=asked["offline"],
    )
    return Solved(records, wheels)


def _pip() -> ModuleType:
    """Return the module that asks uv: most environments never need it."""
    from tierctl.deploy import pip

    return pip


def _is_of_python(record: RepoDataRecord) -> bool:
    """Say whether pip would find a package, as far as its dependencies tell."""
    return any(re.match(r"python(_abi)?\b(?!-)", depends) for depends in record.depends)


async def _install(asked: dict[str, Any], solved: Environments) -> None:
    """Fetch and link all environments at once, each into its prefix."""
    wrong = [text for found in solved.values() for text in archives.wrong(found.records)]
    if asked["offline"]:
        wrong += [
            text
            for found in solved.values()
            for text in archives.out_of_reach(found.records, asked["cache"])
        ]
    if wrong:
        _answer(failed={"archives": "\n".join(wrong)})
        return
    results = await asyncio.gather(
        *(
            _install_one(solved[name], prefix, asked["specs"][name], asked)
            for name, prefix in asked["prefixes"].items()
        ),
        return_exceptions=True,
    )
    failed = {
        name: _text(result)
        for name, result in zip(asked["prefixes"], results, strict=True)
        if isinstance(result, BaseException)
    }
    _answer(failed=failed)


async def _install_one(
    wanted: Solved, prefix: str, specs: Iterable[str], asked: dict[str, Any]
) -> None:
    await install(
        wanted.records,
        prefix,
        cache_dir=Path(asked["cache"]),
        show_progress=False,
        requested_specs=[MatchSpec(spec)._match_spec for spec in specs],
    )
    if wanted.wheels:
        await asyncio.to_thread(
            _pip().install, wanted.wheels, prefix, asked["cache"], offline=asked["offline"]
        )


def _package(record: RepoDataRecord) -> dict[str, Any]:
    return {
        "name": record.name.normalized,
        "version": str(record.version),
        "build": str(record.build),
        "subdir": record.subdir,
        "channel": record.channel,
        "sha256": (record.sha256 or b"").hex(),
        "size": record.size or 0,
    }


def _package_of_wheel(wheel: Wheel) -> dict[str, Any]:
    return {
        "name": wheel.name,
        "version": wheel.version,
        "sha256": wheel.sha256,
        "size": wheel.size,
    }


def _wrong(spec: str) -> str:
    try:
        MatchSpec(spec, strict=True)
    except InvalidMatchSpecError as error:
        return str(error)
    return ""


def _text(error: BaseException) -> str:
    """Return what went wrong, with its causes as the engine tells them."""
    kind = (
        ""
        if isinstance(error, (SolverError, GatewayError, WheelsFailed))
        else f"{type(error).__name__}: "
    )
    return f"{kind}{error}".strip()


def _answer(**members: Any) -> None:  # noqa: ANN401 (JSON values)
    sys.stdout.write(json.dumps(members) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
