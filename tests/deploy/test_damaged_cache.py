"""A package cache that lost, gained or changed something: what is built is what the channel has."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archives import Package
from hostile import EVIL, Hostile
from tierctl.demo.channel import SUBDIR
from tierctl.deploy.definitions.environments import Environment
from tierctl.deploy.definitions.problems import Place
from tierctl.deploy.engine import client
from tierctl.deploy.engine.failures import EngineFailed

pytest.importorskip("rattler")

TOOL = Package("tool", "1", {"bin/tool": b"#!/bin/sh\n", "share/data": b"data"}, {"lib": "share"})


class Room:
    """A channel, a cache with its package in it, and where that is installed."""

    def __init__(self, place: Path) -> None:
        self.channel, self.cache, self.place = place / "channel", place / "cache", place
        self.cached = self.cache / "tool-1-0"
        self.archive = TOOL.write(self.channel)

    def install(self, name: str, *, offline: bool = False) -> Path:
        """Install the package in an engine of its own, and return the prefix."""
        wanted = Environment("tools", Place("tools.yaml", 1), (self.channel.as_uri(),), ("tool",))
        with client.started(str(self.cache), offline=offline) as started:
            started.solve([wanted], SUBDIR)
            started.install({"tools": str(self.place / name)}, {})
        return self.place / name


@pytest.fixture
def room(tmp_path: Path) -> Room:
    made = Room(tmp_path)
    made.install("first")
    return made


def whole(directory: Path) -> dict[str, bytes | str]:
    """Return all files and links of a directory that the package brings."""
    return {
        str(path.relative_to(directory)): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        for path in directory.rglob("*")
        if path.is_symlink() or path.is_file()
        if path.relative_to(directory).parts[0] in ("bin", "share", "lib")
    }


def replace(path: Path, content: bytes | None = None, link: str | None = None) -> None:
    """Have something else at a path, whatever its mode; a directory if nothing is said."""
    path.unlink()
    if link is not None:
        path.symlink_to(link)
    elif content is None:
        path.mkdir()
    else:
        path.write_bytes(content)


def listed(room: Room, path: str) -> None:
    """Have the cached package list another path."""
    paths = room.cached / "info/paths.json"
    document = json.loads(paths.read_text())
    document["paths"].append({"_path": path, "path_type": "hardlink"})
    replace(paths, json.dumps(document).encode())


DAMAGES: dict[str, Callable[[Room], object]] = {
    "a file is lost": lambda room: (room.cached / "share/data").unlink(),
    "all is lost": lambda room: shutil.rmtree(room.cached),
    "a file is shorter": lambda room: replace(room.cached / "share/data", b"d"),
    "a file of the same size": lambda room: replace(room.cached / "share/data", b"DATA"),
    "an edit in place": lambda room: os.truncate(room.cached / "share/data", 0),
    "a file that is a symlink": lambda room: replace(room.cached / "share/data", link="other"),
    "a file that is a symlink to the right content": lambda room: (
        (room.cached / "share/data").rename(room.place / "data"),
        (room.cached / "share/data").symlink_to(room.place / "data"),
    ),
    "a file that is a directory": lambda room: replace(room.cached / "share/data"),
    "a link that leads elsewhere": lambda room: replace(room.cached / "lib", link="bin"),
    "a link that is a directory": lambda room: replace(room.cached / "lib"),
    "no list": lambda room: (room.cached / "info/paths.json").unlink(),
    "an empty list": lambda room: replace(room.cached / "info/paths.json", b""),
    "another list": lambda room: listed(room, "../../elsewhere"),
    "a list that is a link": lambda room: replace(room.cached / "info/paths.json", link="files"),
    "no index": lambda room: (room.cached / "info/index.json").unlink(),
    "no note of what it is": lambda room: Path(f"{room.cached}.lock").unlink(),
    "half a note": lambda room: os.truncate(f"{room.cached}.lock", 20),
    "a wrong note": lambda room: Path(f"{room.cached}.lock").write_bytes(b"x" * 72),
    "a link to the package": lambda room: (
        room.cached.rename(room.place / "moved"),
        room.cached.symlink_to(room.place / "moved"),
    ),
    "a file where it was": lambda room: (shutil.rmtree(room.cached), room.cached.touch()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_fetched_anew_in_the_same_install(room: Room, damage: str) -> None:
    fresh = whole(room.place / "first")
    DAMAGES[damage](room)
    # The files of the first prefix are those of the cache, where they are links to it.
    assert {"bin/tool": b"#!/bin/sh\n", "share/data": b"data", "lib": "share"} == whole(
        room.install("second")
    )
    assert whole(room.cached) == whole(room.place / "second")
    assert fresh.keys() == whole(room.place / "second").keys()


def test_what_a_package_gained_is_not_installed(room: Room) -> None:
    (room.cached / "bin/gained").write_text("x")
    assert not (room.install("second") / "bin/gained").exists()


def test_what_is_whole_is_not_fetched_anew(room: Room) -> None:
    before = (room.cached / "share/data").stat().st_ino
    room.archive.unlink()
    room.install("second")
    assert before == (room.cached / "share/data").stat().st_ino


def test_a_cache_of_an_engine_that_noted_less_is_taken_over(room: Room) -> None:
    os.truncate(f"{room.cached}.lock", 40)
    room.archive.unlink()
    assert whole(room.cached) == whole(room.install("second"))
    assert 72 == os.path.getsize(f"{room.cached}.lock")


def test_a_package_of_the_same_name_from_another_channel_takes_its_place(room: Room) -> None:
    room.channel = room.place / "other"
    Package("tool", "1", {"share/data": b"DATA"}).write(room.channel)
    assert {"share/data": b"DATA"} == whole(room.install("second"))


def test_two_environments_cannot_have_different_packages_of_one_name(room: Room) -> None:
    other = room.place / "other"
    Package("tool", "1", {"share/data": b"DATA"}).write(other)
    wanted = [
        Environment(name, Place("tools.yaml", 1), (channel.as_uri(),), ("tool",))
        for name, channel in (("one", room.channel), ("two", other))
    ]
    prefixes = {name: str(room.place / name) for name in ("one", "two")}
    with client.started(str(room.cache)) as started:
        started.solve(wanted, SUBDIR)
        with pytest.raises(EngineFailed, match="have different packages of this name"):
            started.install(prefixes, {})


def test_an_archive_that_is_not_what_it_lists_is_told_once_it_was_fetched_anew(room: Room) -> None:
    room.channel = room.place / "other"
    _Lying("tool", {"share/data": EVIL}).write(room.channel)
    with pytest.raises(EngineFailed, match=r"tool-1-0.*share/data.*even after it was fetched anew"):
        room.install("second")


class _Lying(Hostile):
    """One that lists other digests than those of its files."""

    def _paths(self) -> Iterator[dict[str, object]]:
        for path, content in self.files.items():
            yield {
                "_path": path,
                "path_type": "hardlink",
                "sha256": "0" * 64,
                "size_in_bytes": len(content),
            }


def test_an_unfinished_fetch_is_done_again(room: Room) -> None:
    shutil.rmtree(room.cached)
    (room.cache / ".tool-1-0abcdef" / "share").mkdir(parents=True)
    assert whole(room.install("second")) == whole(room.cached)
