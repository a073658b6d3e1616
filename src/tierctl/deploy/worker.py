"""The engine's own process: the only module that imports py-rattler.

It reads one JSON document a line from stdin and answers on stdout in kind, in
the order that ``engine.py`` asks: ``solve`` or ``like``, ``install``, ``lock``. Its threads
outlive their work and can bring down an interpreter that is ending, so the
process ends without taking itself apart.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

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

from tierctl.layout import REPODATA

_BLOCK_BYTES = 1 << 20
# A lock file is of one environment, which it calls so.
_ENVIRONMENT = "default"

Records = dict[str, list[RepoDataRecord]]


def main() -> NoReturn:
    """Serve until stdin ends, which it does at the latest with whoever asks.

    Then it ends at once, also in the middle of an answer: what it builds is
    about to be removed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks has got it, too, and decides
    questions: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_serve, args=[questions], daemon=True).start()
    for line in sys.stdin.buffer:
        questions.put(line)
    os._exit(0)


def _serve(questions: SimpleQueue[bytes]) -> NoReturn:
    """Answer one question after the other."""
    records: Records = {}
    while True:
        line = questions.get()
        try:
            records = _do(json.loads(line), records)
        except BaseException as error:  # noqa: BLE001 (an engine that panics is one, too)
            _answer(failed={"engine": _text(error)})


def _do(asked: dict[str, Any], records: Records) -> Records:
    """Do what is asked, and return what is solved now."""
    match asked["verb"]:
        case "check":
            _answer(wrong=[_wrong(spec) for spec in asked["specs"]])
        case "solve":
            return asyncio.run(_solve(asked))
        case "like":
            return _like(asked)
        case "install":
            asyncio.run(_install(asked, records))
        case "lock":
            _lock(asked, records)
    return records


async def _solve(asked: dict[str, Any]) -> Records:
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
        *(_solve_one(gateway, wanted, asked["subdir"]) for wanted in asked["environments"]),
        return_exceptions=True,
    )
    found = dict(zip(names, results, strict=True))
    failed = {name: result for name, result in found.items() if isinstance(result, BaseException)}
    if failed:
        _answer(failed={name: _text(error) for name, error in failed.items()})
        return {}
    return _told({name: result for name, result in found.items() if isinstance(result, list)})


def _told(records: Records) -> Records:
    """Answer with the packages of what is to be installed."""
    _answer(packages={name: list(map(_package, found)) for name, found in records.items()})
    return records


def _like(asked: dict[str, Any]) -> Records:
    """Take for solved what lock files record."""
    records = {}
    for name, path in asked["locks"].items():
        locked = LockFile.from_path(Path(path)).environment(_ENVIRONMENT)
        found = locked and locked.conda_repodata_records().get(asked["subdir"])
        if not found:
            _answer(failed={name: f"{path} locks nothing for {asked['subdir']}"})
            return {}
        records[name] = found
    return _told(records)


def _lock(asked: dict[str, Any], records: Records) -> None:
    """Write a lock file for each environment."""
    platform = LockPlatform(asked["subdir"])
    for name, path in asked["locks"].items():
        locked = LockFile([platform])
        locked.set_channels(_ENVIRONMENT, [LockChannel(url) for url in asked["channels"][name]])
        for record in records[name]:
            locked.add_conda_package(_ENVIRONMENT, platform, record)
        locked.to_path(Path(path))
    _answer()


async def _solve_one(gateway: Gateway, wanted: dict[str, Any], subdir: str) -> list[RepoDataRecord]:
    return await solve(
        sources=wanted["channels"],
        specs=wanted["specs"],
        gateway=gateway,
        platforms=[Subdir(subdir), Subdir("noarch")],
        virtual_packages=VirtualPackage.detect(),
    )


async def _install(asked: dict[str, Any], records: Records) -> None:
    """Fetch and link all environments at once, each into its prefix."""
    wrong = [text for found in records.values() for text in _wrong_archives(found)]
    if asked["offline"]:
        wrong += [
            text for found in records.values() for text in _out_of_reach(found, asked["cache"])
        ]
    if wrong:
        _answer(failed={"archives": "\n".join(wrong)})
        return
    results = await asyncio.gather(
        *(
            install(
                records[name],
                prefix,
                cache_dir=Path(asked["cache"]),
                show_progress=False,
                requested_specs=[MatchSpec(spec)._match_spec for spec in asked["specs"][name]],
            )
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


def _wrong_archives(records: Iterable[RepoDataRecord]) -> list[str]:
    """Say which local archives are not what their channel says: the engine does not look."""
    return [
        f"{path}: the archive is not the one that its channel lists (sha256 differs)"
        for record in records
        if (path := _local_path(record.url)) and record.sha256
        if _sha256(path) not in (None, record.sha256)
    ]


def _out_of_reach(records: Iterable[RepoDataRecord], cache: str) -> list[str]:
    """Say which packages are neither local nor in the cache: installing would ask the network."""
    return [
        f"{record.file_name} is not in the cache {cache}, and deploy is offline"
        for record in records
        if not _local_path(record.url)
        if not Path(cache, f"{record.name.normalized}-{record.version}-{record.build}").is_dir()
    ]


def _local_path(url: str) -> str:
    parts = urlsplit(url)
    return unquote(parts.path) if parts.scheme == "file" else ""


def _sha256(path: str) -> bytes | None:
    """Return a file's digest, None without one: then it may be in the cache."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as archive:
            while block := archive.read(_BLOCK_BYTES):
                digest.update(block)
    except FileNotFoundError:
        return None
    return digest.digest()


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


def _wrong(spec: str) -> str:
    try:
        MatchSpec(spec, strict=True)
    except InvalidMatchSpecError as error:
        return str(error)
    return ""


def _text(error: BaseException) -> str:
    """Return what went wrong, with its causes as the engine tells them."""
    kind = "" if isinstance(error, (SolverError, GatewayError)) else f"{type(error).__name__}: "
    return f"{kind}{error}".strip()


def _answer(**members: Any) -> None:  # noqa: ANN401 (JSON values)
    sys.stdout.write(json.dumps(members) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
