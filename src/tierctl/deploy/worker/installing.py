"""Installing what was solved: fetched, checked, linked into prefixes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, cast

from rattler import InstallerReporter, __version__, install

from tierctl.deploy.worker import archives, bytecode
from tierctl.deploy.worker.failures import all_or_failed
from tierctl.deploy.worker.solving import Environments, Solved, read_spec

# How often it is told how far an install is, in seconds.
_INTERVAL_S = 0.1
# By how much longer a Python may compile modules, which writes meanwhile, than nothing may happen.
_COMPILING_TAKES = 10

Tell = Callable[[dict[str, Any]], None]


async def install_all(asked: dict[str, Any], solved: Environments, tell: Tell) -> None:
    """Fetch and link all environments at once, each into its prefix; raises ``Failed``.

    If ``progress`` is asked for, it is told meanwhile how far that is.
    """
    archives.require_right(solved)
    if asked["offline"]:
        archives.require_within_reach(solved, asked["cache"])
    counted = _Counted(solved, asked["cache"]) if asked["progress"] else None
    async with _telling(counted, tell):
        results = await asyncio.gather(
            *(
                _install_one(solved[name], prefix, asked["specs"][name], asked, counted)
                for name, prefix in asked["prefixes"].items()
            ),
            return_exceptions=True,
        )
    all_or_failed(asked["prefixes"], results)
    for prefix in asked["prefixes"].values():  # each with all processors
        await asyncio.to_thread(
            bytecode.compile_modules, prefix, _COMPILING_TAKES * asked["timeout"]
        )


def tools(solved: Environments) -> list[str]:
    """Return what installs this, with versions."""
    named = [f"py-rattler {__version__}"]
    if any(found.wheels for found in solved.values()):
        from importlib.metadata import version  # which takes longer than all else here

        named.append(f"uv {version('uv')}")
    return named


async def _install_one(
    wanted: Solved,
    prefix: str,
    specs: Iterable[str],
    asked: dict[str, Any],
    counted: _Counted | None,
) -> None:
    await install(
        wanted.records,
        prefix,
        cache_dir=Path(asked["cache"]),
        show_progress=False,
        reporter=cast(InstallerReporter | None, counted),  # which may leave out what it ignores
        requested_specs=[read_spec(spec)._match_spec for spec in specs],
    )
    if wanted.wheels:
        from tierctl.deploy.worker import uv  # which most environments do not need

        await asyncio.to_thread(
            uv.install, wanted.wheels, prefix, asked["cache"], offline=asked["offline"]
        )
        if counted is not None:
            counted.linked += len(wanted.wheels)


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
