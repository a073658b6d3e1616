"""Installing what was solved: fetched, checked, linked into prefixes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, NamedTuple, cast

from rattler import InstallerReporter, __version__, install
from rattler.package_cache import PackageCache, ValidationMode

from tierctl.deploy.engine.worker import archives, bytecode, clashes, fetching, notes, outside
from tierctl.deploy.engine.worker.clashes import Owners
from tierctl.deploy.engine.worker.failures import Failed, all_or_failed
from tierctl.deploy.engine.worker.fetching import Looked
from tierctl.deploy.engine.worker.members import Contents
from tierctl.deploy.engine.worker.solving import Environments, Solved, read_spec
from tierctl.deploy.engine.worker.wheels import Wheel
from tierctl.fs import tree

# How often it is told how far an install is, in seconds.
_INTERVAL_S = 0.1
# By how much longer a Python may compile modules, which writes meanwhile, than nothing may happen.
_COMPILING_TAKES = 10
# A package that was damaged in the cache is whole the second time, unless its archive is not.
_MOST_TIMES = 2
_EVEN_ANEW = "even after it was fetched anew: tell its channel, or ask for another version"

Tell = Callable[[dict[str, Any]], None]


class Linked(NamedTuple):
    """What the packages of an environment bring, and who brings files that others bring too."""

    contents: list[Contents]
    owners: Owners


async def install_all(
    asked: dict[str, Any], solved: Environments, looked: Looked, tell: Tell
) -> dict[str, Linked]:
    """Fetch, check and link all environments at once, each into its prefix; raises ``Failed``.

    ``looked`` is what the cache had. If ``progress`` is asked for, it is told meanwhile how
    far that is.
    """
    counted = _Counted(solved, asked["cache"]) if asked["progress"] else None
    async with _telling(counted, tell):
        reporter = cast(InstallerReporter | None, counted)
        linked = await _link_all(asked, solved, looked, reporter)
        of_wheels = await _install_wheels(asked, solved, linked, counted)
    for prefix in asked["prefixes"].values():  # each with all processors
        await asyncio.to_thread(
            bytecode.compile_modules, prefix, _COMPILING_TAKES * asked["timeout"]
        )
    return {
        name: Linked(contents, owners | of_wheels.get(name, {}))
        for name, (contents, owners) in linked.items()
    }


async def _link_all(
    asked: dict[str, Any],
    solved: Environments,
    looked: Looked,
    reporter: InstallerReporter | None,
) -> dict[str, Linked]:
    """Link the packages of all environments: those that are in the cache, whole and checked.

    The engine reads each file that it links. Where one is not what its package says, it fetches
    that package anew by itself; but what it links then has not been checked.
    """
    cache = asked["cache"]
    for _ in range(_MOST_TIMES):
        found = await fetching.hold(solved, looked, asked, reporter)
        _require_inside(found, asked["prefixes"])
        owners = clashes.require_told(found, solved)
        results = await asyncio.gather(
            *(
                _link(solved[name], prefix, asked["specs"][name], cache, reporter)
                for name, prefix in asked["prefixes"].items()
            ),
            return_exceptions=True,
        )
        all_or_failed(asked["prefixes"], results)
        linked = {name: Linked(found[name], owners[name]) for name in asked["prefixes"]}
        damaged = _unlike_their_lists(linked, asked["prefixes"]) or fetching.fetched_since(found)
        if not damaged:
            return linked
        for prefix in asked["prefixes"].values():
            await asyncio.to_thread(tree.remove, prefix)
        looked = fetching.look_at_all(solved, cache)
    raise Failed({package: f"{why}, {_EVEN_ANEW}" for package, why in damaged.items()})


def _unlike_their_lists(linked: dict[str, Linked], prefixes: dict[str, str]) -> dict[str, str]:
    """Return the packages that were linked otherwise than they list, and why.

    What the cache has of each is damaged, then.
    """
    unlike: dict[str, str] = {}
    for name, (environment, owners) in linked.items():
        for contents, wrong in outside.linked_otherwise(environment, prefixes[name], owners):
            unlike[contents.package] = str(wrong)
            notes.clear(contents.place)
    return unlike


def _require_inside(contents: dict[str, list[Contents]], prefixes: dict[str, str]) -> None:
    """Raise ``Failed`` for members that would be linked outside of their prefix."""
    wrong: dict[str, str] = {}
    for name, environment in contents.items():
        for each in outside.of_all(environment, prefixes[name]):
            wrong.setdefault(each.package, str(each))
    if wrong:
        raise Failed(wrong)


def tools(solved: Environments) -> list[str]:
    """Return what installs this, with versions."""
    named = [f"py-rattler {__version__}"]
    if any(found.wheels for found in solved.values()):
        from importlib.metadata import version  # which takes longer than all else here

        named.append(f"uv {version('uv')}")
    return named


async def _link(
    wanted: Solved,
    prefix: str,
    specs: Iterable[str],
    cache: str,
    reporter: InstallerReporter | None,
) -> None:
    reading = PackageCache.new_layered([cache], validation_mode=ValidationMode.full())
    await install(
        wanted.records,
        prefix,
        package_cache=reading,
        show_progress=False,
        reporter=reporter,
        requested_specs=[read_spec(spec)._match_spec for spec in specs],
    )


async def _install_wheels(
    asked: dict[str, Any],
    solved: Environments,
    linked: dict[str, Linked],
    counted: _Counted | None,
) -> dict[str, Owners]:
    """Install the wheels of all environments; return whose files take the place of others'."""
    wanted = {name: found.wheels for name, found in solved.items() if found.wheels}
    if not wanted:
        return {}
    from tierctl.deploy.engine.worker import staging  # which most environments do not need

    def install_into(name: str, wheels: Sequence[Wheel]) -> Owners:
        prefix, offline = asked["prefixes"][name], asked["offline"]
        return staging.install(
            wheels, linked[name].contents, prefix, asked["cache"], offline=offline
        )

    results = await asyncio.gather(
        *(asyncio.to_thread(install_into, name, wheels) for name, wheels in wanted.items()),
        return_exceptions=True,
    )
    owners = all_or_failed(wanted, results)
    if counted is not None:
        counted.linked += sum(map(len, wanted.values()))
    return owners


class _Counted:
    """Counts what the engine reports, as an ``InstallerReporter`` of all environments."""

    def __init__(self, solved: Environments, cache: str) -> None:
        records = {record.url: record for found in solved.values() for record in found.records}
        self.to_fetch = sum(
            record.size or 0
            for record in records.values()
            if not (archives.local_path(record.url) or archives.is_cached(record, cache))
        )
        self.to_link = sum(len(found.records) + len(found.wheels) for found in solved.values())
        self.linked = 0
        self._fetched: dict[int, int] = {}
        self._numbers = count()

    def progress(self) -> dict[str, int]:
        """Return how far it is: bytes fetched, packages linked."""
        return {
            "fetched": sum(self._fetched.values()),
            "to_fetch": self.to_fetch,
            "linked": self.linked,
            "to_link": self.to_link,
        }

    def on_download_start(self, cache_entry: int) -> int:
        """Give a download a number: see ``rattler.InstallerReporter``."""
        return next(self._numbers)

    def on_download_progress(self, download_idx: int, progress: int, total: int | None) -> None:
        """Count its bytes."""
        self._fetched[download_idx] = progress

    def on_link_complete(self, index: int) -> None:
        """Count a package."""
        self.linked += 1


@asynccontextmanager
async def _telling(counted: _Counted | None, tell: Tell) -> AsyncIterator[None]:
    """Tell how far it is, again and again, until it is over."""
    if counted is None:
        yield
        return

    async def again() -> None:
        told = None
        while True:
            if (now := counted.progress()) != told:  # else that would be a sign of life
                tell({"progress": now})
                told = now
            await asyncio.sleep(_INTERVAL_S)

    telling = asyncio.create_task(again())
    try:
        yield
    finally:
        telling.cancel()
        tell({"progress": counted.progress()})
