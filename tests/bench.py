"""What is promised about speed, measured: ``nox -s bench``.

Each line is a ratio of two things that take turns in one run: the median over
the pairs, then the median of each in milliseconds. Set TMPDIR to measure on
another filesystem.
"""

import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import bench_deploy
from reporters import Heard
from targets import make_target
from tierctl.change import change
from tierctl.change.requests import Promotion
from tierctl.fs import mounts, syscalls
from tierctl.fs.local import OsFileSystem
from tierctl.journal.events import EventKind, new_event, to_document
from tierctl.rotation.state import Color, Content, State
from tierctl.rotation.trail import Past
from tierctl.target import packages
from tierctl.target.packages import Package
from tierctl.target.paths import Layout, temporary
from tierctl.target.target import Target
from tierctl.target.users import Author

PAIRS = 41
# A thing of a millisecond takes turns more often: its time depends on what the disk does.
PAIRS_IN_PROCESS = 401
LONG_HISTORY = 100_000

BIN = Path(sys.executable).parent
# What a user's environment has: compiled modules, buffered output.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

Run = Callable[[], None]


class Measurement(NamedTuple):
    """Two things to time in turn, ``before`` being run before each pair, and the limit."""

    name: str
    limit: float
    run: Run
    against: Run
    before: Sequence[Run] = ()
    pairs: int = PAIRS

    def pair(self) -> tuple[float, float]:
        """Return how long each took, in seconds."""
        for prepare in self.before:
            prepare()
        return timed(self.run), timed(self.against)


def main() -> None:
    """Measure everything."""
    gc.disable()  # as the program does
    with tempfile.TemporaryDirectory() as directory:
        mount = mounts.find(directory)
        kind = "unknown" if mount is None else mount.type
        print(f"{PAIRS} pairs each, or {PAIRS_IN_PROCESS} in process, on {kind}")
        print(f"{'':48}{'ratio':>7}{'at most':>9}{'ms':>9}{'against':>9}")
        for measurement in measurements(Path(directory)):
            report(measurement)
        of = bench_deploy.large(Path(directory))
        for name, limit, run, against in bench_deploy.comparisons(of):
            report(Measurement(name, limit, run, against, pairs=bench_deploy.PAIRS))
        for name, limit, value in bench_deploy.sizes(of):
            print(f"{name:48}{value:7.2f}{limit:9.2f}")


def measurements(top: Path) -> Iterator[Measurement]:
    """Yield what is promised."""
    click = process([sys.executable, "-c", "import click"])
    short, long = make_target(top / "short"), make_target(top / "long")
    promote_both = [tierctl("promote-staging", layout) for layout in (short, long)]
    for run in promote_both:
        run()
    lengthen(long)
    yield Measurement("promote-staging / import click", 1.35, promote_both[0], click)
    yield Measurement(
        "status --json / import click", 1.5, tierctl("status", short, "--json"), click
    )
    yield Measurement(
        "diff of two deployments / import click, rich",
        2,
        tierctl("diff", filled(top / "diff")),
        process([sys.executable, "-c", "import click, rich"]),
    )
    yield Measurement("completion of a tier / import click", 1.35, completion(short), click)
    yield Measurement(
        "the change / an exchange with as many fsyncs",
        1.5,
        whole_change(make_target(top / "change")),
        bare_exchange(make_target(top / "bare")),
        pairs=PAIRS_IN_PROCESS,
    )
    events = f"{LONG_HISTORY:,} events / 1"
    yield Measurement(f"promote-staging, history of {events}", 1.05, *promote_both[::-1])
    yield Measurement(
        f"rollback, history of {events}",
        1.05,
        tierctl("rollback", long),
        tierctl("rollback", short),
        before=promote_both,
    )


def report(measurement: Measurement) -> None:
    """Run both things in turn and print the ratio."""
    pairs = [measurement.pair() for _ in range(measurement.pairs + 1)][1:]  # the first one warms up
    ratio = median(one / other for one, other in pairs)
    one, other = (median(times) * 1000 for times in zip(*pairs, strict=True))
    name, limit = measurement.name, measurement.limit
    print(f"{name:48}{ratio:7.2f}{limit:9.2f}{one:9.2f}{other:9.2f}", flush=True)


def timed(run: Run) -> float:
    """Return how long something takes, in seconds."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def process(command: list[str], **variables: str) -> Run:
    """Return a run of a whole process."""
    environment = {**ENVIRONMENT, **variables}

    def run() -> None:
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)

    return run


def tierctl(command: str, layout: Layout, *options: str) -> Run:
    """Return a run of the installed command, as from a loaded tier."""
    return process([str(BIN / "tierctl"), command, *options], IAC_TIER_DIR=layout.within("blue"))


def filled(directory: Path) -> Layout:
    """Return a target whose tiers differ in 40 of 401 packages, with 1,000 commands each."""
    layout = make_target(directory, blue=42, green=41)
    for number, version in ((41, "1.0"), (42, "1.1")):
        listed = [
            Package(f"p{i}", "1.0" if i % 10 else version, "0", "noarch", "channel", 64 * "a", 9)
            for i in range(401)
        ]
        record = Path(layout.packages_record(f"deployments/{number}"))
        record.write_text(json.dumps(packages.to_document({"python": tuple(listed)})))
        commands = Path(layout.within(f"deployments/{number}"), "conda", "envs", "python", "bin")
        commands.mkdir(parents=True)
        for i in range(1000):
            (commands / f"c{i}").touch(0o755)
    return layout


def completion(layout: Layout) -> Run:
    """Return a run of what bash runs to complete ``tierctl status pro``."""
    return process(
        [str(BIN / "tierctl")],
        IAC_TIER_DIR=layout.within("blue"),
        _TIERCTL_COMPLETE="bash_complete",
        COMP_WORDS="tierctl status pro",
        COMP_CWORD="2",
    )


def lengthen(layout: Layout) -> None:
    """Write a history of very many events."""
    state = State(Color.GREEN, Color.BLUE, Content("blue"), Content("green"))
    event = new_event(EventKind.PROMOTION, Author("somebody", "somewhere"), state, state, Past())
    line = json.dumps(to_document(event), separators=(",", ":")) + "\n"
    history = Path(layout.history)
    history.write_text(line * LONG_HISTORY + history.read_text())


def whole_change(layout: Layout) -> Run:
    """Return a run of the whole change: lock, intent, exchange, fsyncs, event."""
    fs, author = OsFileSystem(), Author("somebody", "somewhere")

    def run() -> None:
        change.carry_out(Target(fs, layout), Promotion(), author, Heard(), lock_timeout=0)

    return run


def bare_exchange(layout: Layout) -> Run:
    """Return a run of an exchange with the five fsyncs of a change, and what each has to flush.

    That is: a new file (the intent) and its name, the links, a longer file (the
    event), a name less (the intent is gone).
    """
    os.mkdir(layout.control)
    links = [os.fsencode(layout.within(name)) for name in ("production", "staging")]
    draft, data = temporary(layout.intent), os.urandom(500)

    def run() -> None:
        flush(draft, os.O_WRONLY | os.O_CREAT, data)
        os.rename(draft, layout.intent)
        flush(layout.control, os.O_RDONLY)
        assert syscalls.exchange(*links) == 0
        flush(layout.infrastructure, os.O_RDONLY)
        flush(layout.history, os.O_WRONLY | os.O_CREAT | os.O_APPEND, data)
        os.unlink(layout.intent)
        flush(layout.control, os.O_RDONLY)

    return run


def flush(path: str, flags: int, data: bytes = b"") -> None:
    """Open, write and fsync."""
    fd = os.open(path, flags)
    if data:
        os.write(fd, data)
    os.fsync(fd)
    os.close(fd)


if __name__ == "__main__":
    main()
