"""Damage to what is in an infrastructure, which can be undone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from hypothesis import strategies as st

from tierctl.rotation.names import CONTROL

HISTORY = f"{CONTROL}/history.jsonl"
LINKS = ("production", "staging", "blue", "green", "dev1")
RECORDS = (
    ".tierctl",
    *(
        f".tierctl/{name}"
        for name in (
            *("history.jsonl", "intent.json", "config.toml", "highest", "lock", "numbers"),
            *("holder.json", "scratch", "building-7"),
        )
    ),
)
BUILDS = tuple(f"deployments/{number}" for number in range(1, 8))
FINISHED = tuple(f"deployments/{number}/meta/deployment.json" for number in range(1, 5))
LEFTOVERS = (".staging.new", ".blue.new", ".tierctl/.intent.json.new", "deployments/.2.going")
TEXTS = (
    *("blue", "green", "./blue", "../infrastructure/green", "staging", "production", "dev1"),
    *("deployments/1", "deployments/2", "deployments/99", "..", "../..", "/", "nowhere"),
)
RUBBISH = st.sampled_from([b"", b"\0" * 40, b"{}\n", b"[" * 3000, b'{"schema": 1, ']) | st.binary(
    max_size=60
)
MODES = (0o000, 0o444, 0o500, 0o555, 0o666, 0o777)

Mend = Callable[[], None]


class Gone(NamedTuple):
    """There is nothing any more."""

    name: str

    def put(self, path: Path, whole: bytes) -> None:
        pass


class Link(NamedTuple):
    """A symlink, which leads elsewhere or nowhere."""

    name: str
    text: str

    def put(self, path: Path, whole: bytes) -> None:
        path.symlink_to(self.text)


class File(NamedTuple):
    """A file with rubbish in it; behind the first ``kept`` bytes of what it held, if it did."""

    name: str
    kept: int
    rubbish: bytes

    def put(self, path: Path, whole: bytes) -> None:
        path.write_bytes(whole[: self.kept] + self.rubbish)


class Other(NamedTuple):
    """An empty directory, or a FIFO."""

    name: str
    fifo: bool

    def put(self, path: Path, whole: bytes) -> None:
        os.mkfifo(path) if self.fifo else path.mkdir()


class Closed(NamedTuple):
    """Other permissions."""

    name: str
    mode: int


Damage = Gone | Link | File | Other | Closed

_REPLACED = st.sampled_from([*LINKS, *RECORDS, *BUILDS, *FINISHED, *LEFTOVERS])
DAMAGES = st.one_of(
    st.builds(Gone, _REPLACED),
    st.builds(Link, st.sampled_from([*LINKS, *LEFTOVERS]), st.sampled_from(TEXTS)),
    st.builds(Link, _REPLACED, st.sampled_from(TEXTS)),
    st.builds(File, _REPLACED, st.just(0) | st.integers(1, 2000), RUBBISH),
    st.builds(Other, _REPLACED, st.booleans()),
    st.builds(
        Closed,
        st.sampled_from(["..", ".", "deployments", *RECORDS, *BUILDS, *FINISHED]),
        st.sampled_from(MODES),
    ),
)


def hurt(damage: Damage, infrastructure: Path, aside: Path) -> Mend:
    """Do damage; return what undoes it, except where a command has put something else there.

    ``aside`` is a directory on the same filesystem, for what was there.
    """
    path = infrastructure / damage.name
    if not os.path.lexists(path.parent):
        return lambda: None
    if isinstance(damage, Closed):
        return _close(path, damage.mode)
    kept = aside / f"{len(os.listdir(aside))}"
    whole = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
    was_there = os.path.lexists(path)
    if was_there:
        path.rename(kept)
    damage.put(path, whole)
    owner = infrastructure.stat()
    if os.path.lexists(path):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    left = _look(path)

    def mend() -> None:
        if _look(path) == left and not _leads_nowhere(kept, path):
            _remove(path)
            if was_there:
                kept.rename(path)

    return mend


def _close(path: Path, mode: int) -> Mend:
    if path.is_symlink() or not path.exists():
        return lambda: None
    before = path.stat()
    path.chmod(mode)

    def mend() -> None:
        if path.exists() and path.stat().st_ino == before.st_ino:
            path.chmod(before.st_mode)

    return mend


def _look(path: Path) -> object:
    """Return what is at a path: nothing also for records without history, an empty directory."""
    if path.is_symlink():
        return path.readlink()
    if path.is_dir():
        names = os.listdir(path)
        return None if path.name == CONTROL and "history.jsonl" not in names else names or None
    if path.is_fifo():
        return "fifo"
    return path.read_bytes() if path.exists() else None


def _leads_nowhere(link: Path, place: Path) -> bool:
    """Say whether what a link showed, in its own place, has been pruned since."""
    return link.is_symlink() and not (place.parent / link.readlink()).exists()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
