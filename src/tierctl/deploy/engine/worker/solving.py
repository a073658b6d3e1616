"""What environments are to hold: solved by conda's rules, and by pip's for the rest."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, NamedTuple

from rattler import (
    Gateway,
    MatchSpec,
    RepoDataRecord,
    SourceConfig,
    Subdir,
    VirtualPackage,
)
from rattler import (
    solve as solve_environment,
)
from rattler.exceptions import InvalidMatchSpecError

from tierctl.deploy.engine.worker import archives, certificates
from tierctl.deploy.engine.worker.failures import all_or_failed
from tierctl.deploy.engine.worker.wheels import Wheel
from tierctl.rotation.names import REPODATA

# Where a package says what pip calls it: name and version.
_DESCRIBED = re.compile(r"(?:^|/)([^/]+?)-([^/-]+)\.(?:dist-info/METADATA|egg-info/PKG-INFO)$")


class Solved(NamedTuple):
    """What an environment is to hold: of conda, and of pip."""

    records: list[RepoDataRecord]
    wheels: list[Wheel]


Environments = dict[str, Solved]


def wrong(spec: str) -> str:
    """Say what is wrong with a match spec, or nothing."""
    try:
        build = read_spec(spec).build
    except InvalidMatchSpecError as error:
        return str(error)
    return f"the build {build!r} has a blank" if build and " " in build else ""


def read_spec(spec: str) -> MatchSpec:
    """Read a match spec as conda's own files spell them: name=version=build."""
    return MatchSpec(spec, strict=False)


async def solve(asked: dict[str, Any]) -> Environments:
    """Solve all environments at once; raises ``Failed`` with all that is wrong."""
    channels = [channel for wanted in asked["environments"] for channel in wanted["channels"]]
    gateway = certificates.begun(lambda: _gateway(asked), [] if asked["offline"] else channels)
    results = await asyncio.gather(
        *(_solve_one(gateway, wanted, asked) for wanted in asked["environments"]),
        return_exceptions=True,
    )
    return all_or_failed((wanted["name"] for wanted in asked["environments"]), results)


def _gateway(asked: dict[str, Any]) -> Gateway:
    return Gateway(
        cache_dir=Path(asked["cache"], REPODATA),
        default_config=SourceConfig(
            sharded_enabled=False,
            cache_action="force-cache-only" if asked["offline"] else "cache-or-fetch",
        ),
    )


async def _solve_one(gateway: Gateway, wanted: dict[str, Any], asked: dict[str, Any]) -> Solved:
    records = await solve_environment(
        sources=wanted["channels"],
        specs=list(map(read_spec, wanted["specs"])),  # texts it would read strictly
        gateway=gateway,
        platforms=[Subdir(asked["subdir"]), Subdir("noarch")],
        virtual_packages=VirtualPackage.detect(),
    )
    if not wanted["pip"]:
        return Solved(records, [])
    from tierctl.deploy.engine.worker import uv  # which most environments do not need

    versions = {record.name.normalized: str(record.version) for record in records}
    of_python = [record for record in records if _is_of_python(record)]
    wheels = await asyncio.to_thread(
        uv.solve,
        wanted["pip"],
        versions["python"],
        await _provided(of_python, asked),
        asked["cache"],
        offline=asked["offline"],
    )
    return Solved(records, wheels)


def _is_of_python(record: RepoDataRecord) -> bool:
    """Say whether pip would find a package, as far as its dependencies tell."""
    return any(re.match(r"python(_abi)?\b(?!-)", depends) for depends in record.depends)


async def _provided(records: list[RepoDataRecord], asked: dict[str, Any]) -> dict[str, str]:
    """Return what pip finds of packages, by name: several of conda's have another one for pip.

    Offline, of one that is out of reach conda's name and version.
    """
    from tierctl.deploy.engine.worker import contents  # as above

    near = [record for record in records if _is_near(record, asked)]
    far = [record for record in records if not _is_near(record, asked)]
    provided = {record.name.normalized: str(record.version) for record in far}
    listed = await contents.paths(near, asked["cache"])
    for record, paths in zip(near, listed, strict=True):
        found = {match[1]: match[2] for path in paths if (match := _DESCRIBED.search(path))}
        provided |= found or {record.name.normalized: str(record.version)}
    return provided


def _is_near(record: RepoDataRecord, asked: dict[str, Any]) -> bool:
    """Say whether a package may be looked into: offline only where nobody has to be asked."""
    is_here = archives.local_path(record.url) or archives.is_cached(record, asked["cache"])
    return bool(is_here) or not asked["offline"]


def packages(solved: Environments) -> dict[str, Any]:
    """Return the answer that says what is to be installed."""
    return {
        "packages": {
            name: [*map(_package, found.records), *map(_package_of_wheel, found.wheels)]
            for name, found in solved.items()
        }
    }


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
