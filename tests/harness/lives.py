"""What one does with a target again and again, and whether it is whole."""

import json
import random
from collections.abc import Iterator
from itertools import chain, count, pairwise
from pathlib import Path

from program import Ended
from tierctl import profiles
from tierctl.fs.local import OsFileSystem
from tierctl.journal import history, intent
from tierctl.rotation.state import State
from tierctl.target import tiers
from tierctl.target.links import observe
from tierctl.target.paths import Layout
from tierctl.target.target import Target

FS = OsFileSystem()


def commands(place: Path) -> Iterator[list[object]]:
    """Yield what one does with a target, again and again, every deploy with other definitions."""
    for version in count():
        yield ["deploy", "staging", "--definitions", definitions(place, version)]
        yield ["promote-staging"]
        if version % 3 == 2:
            yield ["rollback"]
            yield ["prune", "--keep", "1", "--older-than", "0d"]


def definitions(place: Path, version: int) -> Path:
    """Make definitions of some files, and no environment."""
    tier = place / f"definitions{version}" / "tier"
    for name, data in {
        "etc/version": b"%d" % version,
        "bin/hello": b"#!/bin/sh\necho %d\n" % version,
        "etc/data": random.Random(version).randbytes(300_000),
    }.items():
        (tier / name).parent.mkdir(parents=True, exist_ok=True)
        (tier / name).write_bytes(data)
    return tier.parent


def reported(done: Ended) -> list[str]:
    """Return the events that a command has told of: its own, and one that it finished."""
    if not done.out:
        return []
    told = done.document
    assert told["ok"], done
    return [told[name]["id"] for name in ("recovered", "event") if told.get(name)]


def links_of(state: State | None) -> State | None:
    """Return a state without what only a deploy speaks of."""
    return state and state._replace(private=(), adopted=None)


def require_whole(layout: Layout, told: list[str]) -> None:
    """Require that nothing is lost that was told of, and that all that is there is whole."""
    events = [*history.newest_first(Target(FS, layout))]
    assert 0 == history.unreadable_lines(Target(FS, layout))
    assert sorted({*told}) == sorted({*told} & {event.id for event in events})
    assert len(events) == len({event.id for event in events})
    for newer, older in pairwise(events):
        assert links_of(older.after) == links_of(newer.before)
    known = filter(None, (*events[:1], intent.read(Target(FS, layout))))
    assert links_of(observe(Target(FS, layout))) in [links_of(event.after) for event in known]
    assert [] == lost(layout)


def lost(layout: Layout) -> list[str]:
    """Return the files of finished deployments that are not, byte for byte, what was deployed.

    Those that were made by hand have no definitions to compare them with.
    """
    return [
        f"{number}/{name}"
        for number in tiers.deployments(Target(FS, layout), finished=True)
        for name in _lost(layout, f"deployments/{number}")
    ]


def _lost(layout: Layout, directory: str) -> list[str]:
    top = Path(layout.within(directory))
    record = json.loads(Path(layout.deployment_record(directory)).read_bytes())
    if "definitions" not in record:
        return []
    tier = Path(record["definitions"]["path"], "tier")
    wanted = {path.relative_to(tier): path.read_bytes() for path in _files(tier, "**/*")}
    for name, text in profiles.files(layout, directory, []).items():
        wanted[Path("etc", name)] = text.encode()
    parts = chain(_files(top, "bin/*"), _files(top, "etc/**/*"))
    found = {path.relative_to(top): path.read_bytes() for path in parts}
    return [str(path) for path in wanted | found if wanted.get(path) != found.get(path)]


def _files(top: Path, pattern: str) -> Iterator[Path]:
    return filter(Path.is_file, top.glob(pattern))
