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

from tierctl.deploy.worker.failures import all_or_failed
from tierctl.deploy.worker.wheels import Wheel
from tierctl.layout import REPODATA


class Solved(NamedTuple):
    """What an environment is to hold: of conda, and of pip."""

    records: list[RepoDataRecord]
    wheels: list[Wheel]


Environments = dict[str, Solved]


def wrong(spec: str) -> str:
    """Say what is wrong with a match spec, or nothing."""
    try:
        MatchSpec(spec, strict=False)  # as conda's own files spell them
    except InvalidMatchSpecError as error:
        return str(error)
    return ""


async def solve(asked: dict[str, Any]) -> Environments:
    """Solve all environments at once; raises ``Failed`` with all that is wrong."""
    gateway = Gateway(
        cache_dir=Path(asked["cache"], REPODATA),
        default_config=SourceConfig(
            sharded_enabled=False,
            cache_action="force-cache-only" if asked["offline"] else "cache-or-fetch",
        ),
    )
    results = await asyncio.gather(
        *(_solve_one(gateway, wanted, asked) for wanted in asked["environments"]),
        return_exceptions=True,
    )
    return all_or_failed((wanted["name"] for wanted in asked["environments"]), results)


async def _solve_one(gateway: Gateway, wanted: dict[str, Any], asked: dict[str, Any]) -> Solved:
    records = await solve_environment(
        sources=wanted["channels"],
        specs=wanted["specs"],
        gateway=gateway,
        platforms=[Subdir(asked["subdir"]), Subdir("noarch")],
        virtual_packages=VirtualPackage.detect(),
    )
    if not wanted["pip"]:
        return Solved(records, [])
    from tierctl.deploy.worker import uv  # which most environments do not need

    versions = {record.name.normalized: str(record.version) for record in records}
    provided = {record.name.normalized for record in records if _is_of_python(record)}
    wheels = await asyncio.to_thread(
        uv.solve,
        wanted["pip"],
        versions["python"],
        {name: versions[name] for name in provided},
        asked["cache"],
        offline=asked["offline"],
    )
    return Solved(records, wheels)


def _is_of_python(record: RepoDataRecord) -> bool:
    """Say whether pip would find a package, as far as its dependencies tell."""
    return any(re.match(r"python(_abi)?\b(?!-)", depends) for depends in record.depends)


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
