"""Having packages in the cache, each as its channel has it and as it was when it was fetched."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from os import path as paths
from typing import Any, NamedTuple

from rattler import InstallerReporter, MatchSpec, RepoDataRecord, install
from rattler.exceptions import InstallerError
from rattler.package_cache import PackageCache, PackageCacheLayer

from tierctl.deploy.engine.worker import archives, members, notes, outside
from tierctl.deploy.engine.worker.failures import Failed, all_or_failed
from tierctl.deploy.engine.worker.members import Contents, Kind
from tierctl.deploy.engine.worker.solving import Environments
from tierctl.errors import cause_of
from tierctl.fs import sealing, tree
from tierctl.target.users import user_name
from tierctl.text import shown

_MOST_AT_ONCE = 50
# The engine writes the prefix into texts, so it links nothing for one that is none.
_NO_TEXT = "/\udcff"
_NOBODY = "no-package-has-this-name"


class Looked(NamedTuple):
    """What is in the cache by environment, and by URL what is not, and why."""

    found: dict[str, list[Contents]]
    missing: dict[str, tuple[RepoDataRecord, str]]


class Damaged(Exception):
    """What the cache has of a package is not what is wanted; says why."""


def look(record: RepoDataRecord, cache: str, modules: str) -> Contents:
    """Return what a package brings that is in the cache; raises ``Damaged``, also if it is not.

    ``modules`` is what ``members.modules_of`` says of its environment. Whether its files are
    whole is for the engine to see, which reads them anyway.
    """
    place = str(archives.cached(record, cache))
    try:
        noted = notes.read(place)
        if paths.islink(place):
            raise Damaged("it is a symlink")
        if not noted.contents:
            sealing.close(place)
        contents = members.of_extracted(record.file_name, place, modules)
        if record.sha256 and noted.archive != record.sha256:
            raise Damaged("it is another one of that name")
        digest = _digest(contents)
        if not noted.contents:
            unknown = outside.of_all([contents], ""), outside.unlike_its_list(contents)
            for wrong in chain(*unknown):
                raise Damaged(str(wrong))
            notes.add(place, digest)
        elif noted.contents != digest:
            raise Damaged("what it says of itself was changed")
    except (OSError, ValueError) as error:
        raise Damaged(str(error)) from error
    return contents


def fetched_since(found: Mapping[str, Iterable[Contents]]) -> dict[str, str]:
    """Return the packages that the engine fetched since ``look`` was happy with them, and why."""
    return {
        contents.package: _altered(contents) or "it was replaced in the cache meanwhile"
        for contents in chain(*found.values())
        if not notes.is_whole(contents.place)
    }


def _altered(contents: Contents) -> str:
    """Say which file of a package is not what it lists, if there is one."""
    for source, entry in zip(contents.sources, contents.listed, strict=True):
        with suppress(OSError), open(paths.join(contents.place, source), "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if entry["path_type"] == Kind.FILE.value and entry.get("sha256", digest) != digest:
                return f"'{shown(source)}' has another sha256 than it lists"
    return ""


async def hold(
    solved: Environments, looked: Looked, asked: dict[str, Any], reporter: InstallerReporter | None
) -> dict[str, list[Contents]]:
    """Have all packages in the cache; return what they bring, by environment. Raises ``Failed``.

    ``looked`` is what was there. What is damaged is fetched anew, and so is what somebody else put
    in its place.
    """
    found, missing = looked
    if missing:
        async with notes.locked(asked["cache"]):
            found, missing = await _fetched(solved, asked, reporter)
    if missing:
        _require_one_of_each_name(solved, asked["cache"])
        raise Failed({record.file_name: reason for record, reason in missing.values()})
    return found


def _require_one_of_each_name(solved: Environments, cache: str) -> None:
    """Raise ``Failed`` where environments want different packages that have one name."""
    wanted: dict[str, RepoDataRecord] = {}
    for record in chain(*(environment.records for environment in solved.values())):
        other = wanted.setdefault(str(archives.cached(record, cache)), record)
        if other.sha256 != record.sha256:
            reason = (
                f"{other.channel} and {record.channel} have different packages of this name, and "
                "the cache holds one: have both environments take it from one channel"
            )
            raise Failed({record.file_name: reason})


async def _fetched(
    solved: Environments, asked: dict[str, Any], reporter: InstallerReporter | None
) -> Looked:
    """Fetch what is missing or damaged; return what is in the cache then. Under its lock.

    Another deploy can have fetched it since it was looked for, and link it now.
    """
    looked = await asyncio.to_thread(look_at_all, solved, asked["cache"])
    if looked.missing:
        await _fetch_all([record for record, _ in looked.missing.values()], asked, reporter)
        looked = await asyncio.to_thread(look_at_all, solved, asked["cache"])
    return looked


def look_at_all(solved: Environments, cache: str) -> Looked:
    """Look for all packages in the cache; raises ``Failed`` for names that none can have there."""
    found, missing = looked = Looked({}, {})
    for name, environment in solved.items():
        modules = members.modules_of(environment.records)
        found[name] = list[Contents]()
        for record in environment.records:
            try:
                found[name].append(look(record, cache, modules))
            except Damaged as error:
                missing[record.url] = record, str(error)
    return looked


async def _fetch_all(
    records: Sequence[RepoDataRecord], asked: dict[str, Any], reporter: InstallerReporter | None
) -> None:
    archives.require_right(records)
    if asked["offline"]:
        archives.require_local(records, asked["cache"])
    at_once = asyncio.Semaphore(_MOST_AT_ONCE)

    async def fetch(record: RepoDataRecord) -> None:
        async with at_once:
            await _fetch(record, asked["cache"], reporter)

    results = await asyncio.gather(*map(fetch, records), return_exceptions=True)
    all_or_failed((record.file_name for record in records), results)


async def _fetch(record: RepoDataRecord, cache: str, reporter: InstallerReporter | None) -> None:
    """Have the engine fetch a package, and link nothing: it has no call for that alone.

    Its own lock would let it fetch one at a time; it takes the one of the first place that it
    can write to, of which this has one for each, where it then keeps nothing.
    """
    place = archives.cached(record, cache)
    await asyncio.to_thread(_drop, str(place))
    with tree.scratch() as own:
        only_for_its_lock = PackageCacheLayer(own).with_filter(MatchSpec(_NOBODY))
        layers = [only_for_its_lock, PackageCacheLayer(cache)]
        try:
            await install(
                [record],
                paths.join(own, "prefix"),
                package_cache=PackageCache.from_layers(layers),
                show_progress=False,
                reporter=reporter,
                alternative_target_prefix=_NO_TEXT,
            )
        except InstallerError:
            if not place.is_dir():
                raise


def _drop(place: str) -> None:
    """Remove what the cache has of a package; raises ``Failed``."""
    try:
        tree.remove(place)
        notes.clear(place)
    except OSError as error:
        owner = user_name(os.lstat(place).st_uid)
        raise Failed(
            {
                paths.basename(place): f"the cache's copy is damaged, and cannot be replaced: "
                f"{cause_of(error)}; {owner} owns it and can: rm -r {shlex.quote(place)}"
            }
        ) from error


def _digest(contents: Contents) -> bytes:
    digest = hashlib.sha256()
    for text in contents.told:
        digest.update(b"%d\n" % len(text))
        digest.update(text)
    return digest.digest()
