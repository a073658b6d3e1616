"""Installs a package with py-rattler alone: ``engine_alone.py CHANNEL SPEC PREFIX CACHE``."""

import asyncio
import ctypes
import os
import sys
from pathlib import Path

from rattler import Gateway, SourceConfig, Subdir, VirtualPackage, install, solve


async def _install(channel: str, spec: str, prefix: str, cache: str) -> None:
    config = SourceConfig(sharded_enabled=False)
    gateway = Gateway(cache_dir=Path(cache, "repodata"), default_config=config)
    records = await solve(
        sources=[channel],
        specs=[spec],
        gateway=gateway,
        platforms=[Subdir("linux-64"), Subdir("noarch")],
        virtual_packages=VirtualPackage.detect(),
    )
    await install(records, prefix, cache_dir=Path(cache), show_progress=False)


def _main(channel: str, spec: str, prefix: str, cache: str) -> None:
    asyncio.run(_install(channel, spec, prefix, cache))
    # As a deploy does before it switches.
    ctypes.CDLL(None).syncfs(os.open(prefix, os.O_RDONLY))
    os._exit(0)  # a thread of the engine can bring down an interpreter that ends


if __name__ == "__main__":
    _main(*sys.argv[1:])
