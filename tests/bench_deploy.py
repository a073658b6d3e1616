"""What a deploy takes, beside what it cannot do without: a part of ``nox -s bench``."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from targets import make_target
from tierctl.demo.channel import NOARCH, write_package
from tierctl.target.paths import Layout

PACKAGES, FILES = 400, 50
PAIRS = 15
MEGABYTE = 1 << 20

# The engine alone: solve, install into an empty prefix, flush.
BARE = """
import asyncio, ctypes, os, sys
from pathlib import Path
from rattler import Gateway, SourceConfig, Subdir, VirtualPackage, install, solve
channel, cache, prefix = sys.argv[1:]
async def main():
    gateway = Gateway(cache_dir=Path(cache, "repodata"), default_config=SourceConfig(sharded_enabled=False))
    records = await solve(sources=[channel], specs=["all"], gateway=gateway,
                          platforms=[Subdir("linux-64"), Subdir("noarch")],
                          virtual_packages=VirtualPackage.detect())
    await install(records, prefix, cache_dir=Path(cache), show_progress=False)
asyncio.run(main())
ctypes.CDLL(None).syncfs(os.open(prefix, os.O_RDONLY))
os._exit(0)
"""  # noqa: E501 (a program of its own)

Run = Callable[[], None]


class Large(NamedTuple):
    """A target, definitions of 400 packages with 20,000 files, and where copies go."""

    layout: Layout
    channel: str
    definitions: Path
    place: Path

    def deploy(self, *options: str) -> Run:
        """Return a run of the installed command."""
        command = [str(Path(sys.executable).parent / "tierctl"), "deploy", "staging", *options]
        return quiet([*command, "--definitions", str(self.definitions)])

    def bare(self) -> Run:
        """Return a run of the engine alone."""
        numbers = iter(range(1_000_000))

        def run() -> None:
            prefix = self.place / f"bare-{next(numbers)}"
            quiet([sys.executable, "-c", BARE, self.channel, self.layout.cache, str(prefix)])()

        return run

    def copy(self) -> Run:
        """Return a run of ``cp -a`` of what staging shows."""
        numbers = iter(range(1_000_000))

        def run() -> None:
            copy = self.place / f"copy-{next(numbers)}"
            shown = os.path.realpath(self.layout.within("staging"))
            quiet(["sh", "-c", 'cp -a "$0" "$1" && sync -f "$1"', shown, str(copy)])()

        return run


def quiet(command: list[str]) -> Run:
    """Return a run of a process that prints nothing."""

    def run() -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    return run


def large(place: Path) -> Large:
    """Make all that."""
    channel = place / "channel"
    names = [f"p{number}" for number in range(PACKAGES)]
    for name in names:
        files = {f"lib/{name}/{number}.txt": f"{name} {number}\n" * 9 for number in range(FILES)}
        write_package(channel, name, "1.0", files, subdir=NOARCH)
    write_package(channel, "all", "1.0", {"share/all": "all"}, depends=names, subdir=NOARCH)
    definitions = place / "definitions"
    (definitions / "environments").mkdir(parents=True)
    (definitions / "tierctl.toml").write_text('target = "../target"\n')
    (definitions / "environments" / "python.yaml").write_text(
        f"channels: [{channel.as_uri()}]\ndependencies: [all]\n"
    )
    return Large(make_target(place / "target"), channel.as_uri(), definitions, place)


def comparisons(of: Large) -> Iterator[tuple[str, float, Run, Run]]:
    """Yield what is timed against what, and the limit."""
    of.deploy()()
    warm = of.deploy("--rebuild")
    yield "warm deploy / the engine alone", 1.3, warm, of.bare()
    yield "warm deploy / cp -a of the result", 1.0, warm, of.copy()
    yield (
        "deploy with nothing to do / import rattler",
        3,
        of.deploy(),
        quiet([sys.executable, "-c", "import rattler"]),
    )


def sizes(of: Large) -> Iterator[tuple[str, float, float]]:
    """Yield what else is promised: a name, the limit, and what it is."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    yield "peak memory of a deploy, MB", 250, peak / MEGABYTE
    shown = [os.path.realpath(of.layout.within("staging"))]
    of.deploy("--rebuild")()
    shown.append(os.path.realpath(of.layout.within("staging")))
    first = disk_use(of.layout.cache, shown[0])
    second = disk_use(of.layout.cache, *shown) - first
    yield "disk of a second deployment / the first", 0.1, second / first


def disk_use(*directories: str) -> int:
    """Return the kilobytes that directories take together, hard links counted once."""
    done = subprocess.run(["du", "-sck", *directories], check=True, capture_output=True, text=True)
    return int(done.stdout.splitlines()[-1].split()[0])
