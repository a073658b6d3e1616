"""Packages that would write outside of their environment; nothing keeps the engine in here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hostile import EVIL, Hostile
from targets import listing
from tierctl.demo.channel import SUBDIR, write_package
from tierctl.deploy.definitions.environments import Environment
from tierctl.deploy.definitions.problems import Place
from tierctl.deploy.engine import client
from tierctl.deploy.engine.client import Engine
from tierctl.deploy.engine.failures import EngineFailed

pytest.importorskip("rattler")

FOR_ANY = {"index": {"noarch": "python"}, "record": {"noarch": "python"}}


def points(*names: str) -> dict[str, object]:
    """Return a ``link.json`` of commands with these names."""
    return {
        "noarch": {"type": "python", "entry_points": [f"{name} = os:abort" for name in names]},
        "package_metadata_version": 1,
    }


class Room:
    """An empty prefix, a cache with a package in it, a channel, and a victim beside them all."""

    def __init__(self, place: Path) -> None:
        self.channel, self.prefix = place / "channel", place / "envs" / "tools"
        self.cache, self.victim = place / "cache", place / "victim"
        self.victim.mkdir()
        (self.victim / "file").write_text("as it was")
        write_package(self.channel, "python", "3.11.0", {"bin/python3.11": "#!/bin/sh\n"})
        write_package(self.channel, "innocent", "1", {"share/innocent": "as it was"})

    def seen(self) -> dict[str, object]:
        """Return all that a package must not change."""
        return {
            **listing(self.victim),
            **{f"c/{path}": entry for path, entry in listing(self.cache / "innocent-1-0").items()},
        }


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


@pytest.fixture
def started(room: Room) -> Iterator[Engine]:
    with client.started(str(room.cache)) as running:
        running.solve([environment(room, "innocent")], SUBDIR)
        running.install({"tools": str(room.prefix.parent / "first")}, {})
        yield running


def environment(room: Room, *specs: str) -> Environment:
    return Environment("tools", Place("tools.yaml", 1), (room.channel.as_uri(),), specs)


def install(room: Room, started: Engine, *specs: str) -> None:
    started.solve([environment(room, *specs)], SUBDIR)
    started.install({"tools": str(room.prefix)}, {})


def refusal(room: Room, started: Engine, *packages: Hostile, also: tuple[str, ...] = ()) -> str:
    """Return why packages are not installed; nothing was linked, and nothing else changed."""
    for package in packages:
        package.write(room.channel)
    before = room.seen()
    with pytest.raises(EngineFailed) as caught:
        install(room, started, *(each.name for each in packages), *also)
    assert not room.prefix.exists()
    assert before == room.seen()
    return caught.value.message


OUT = "../../../victim"
NAMED = {"file": EVIL}


@pytest.mark.parametrize(
    ("package", "member", "reason"),
    [
        (Hostile("p", listed=[("../../victim/file", "hardlink")]), "../../victim/file", "upwards"),
        (Hostile("p", listed=[("a/../../x", "directory")]), "a/../../x", "upwards"),
        (Hostile("p", listed=[("/var/x", "hardlink")]), "/var/x", "absolute"),
        (Hostile("p", {"a": EVIL}, listed=[("", "hardlink")]), "", "no path"),
        (Hostile("p", {"a": EVIL}, listed=[("./a", "hardlink")]), "./a", "empty part"),
        (Hostile("p", {"s/a": EVIL}, listed=[("s//a", "hardlink")]), "s//a", "empty part"),
        (Hostile("p", {"a\nb": EVIL}), "a\\nb", "control"),
        (Hostile("p", listed=[("a\0b", "hardlink")]), "a\\x00b", "control"),
        (Hostile("p", listed=[("\udcff", "hardlink")]), "\\xff", "text"),
        (Hostile("p", {"conda-meta/other-1-0.json": EVIL}), "conda-meta/other-1-0.json", "own"),
        (Hostile("p", {"a": EVIL}, {"conda-meta": OUT}), "conda-meta", "own"),
        (Hostile("p", {"a": EVIL}, {"__clobbers__": OUT}), "__clobbers__", "own"),
        (Hostile("p", listed=[("n" * 256, "hardlink")]), "n" * 256, "too long"),
        (
            Hostile("p", {"a": EVIL}, {"L": OUT}, listed=[("L/file", "hardlink")]),
            "L/file",
            "the symlink L",
        ),
        (
            Hostile("p", {"a": EVIL}, {"L": OUT}, listed=[("L/new/a", "directory")]),
            "L/new/a",
            "the symlink L",
        ),
        (
            Hostile("p", {"site-packages/../../../victim/file": EVIL}, **FOR_ANY),
            "site-packages/../../../victim/file",
            "upwards",
        ),
        (Hostile("p", {"a": EVIL}, link=points("../../../x"), **FOR_ANY), "bin/../../../x", "up"),
        (Hostile("p", {"a": EVIL}, link=points("/var/x"), **FOR_ANY), "bin//var/x", "empty"),
        (
            Hostile("p", {"site-packages/x.py": EVIL}, {"bin": OUT}, link=points("x"), **FOR_ANY),
            "bin/x",
            "the symlink bin",
        ),
        (
            Hostile("p", {"site-packages/x.py": EVIL}, {"lib": OUT}, **FOR_ANY),
            "lib/python3.11/site-packages/x.py",
            "the symlink lib",
        ),
    ],
)
def test_nothing_is_linked_of_a_package_with_a_member_that_leads_out(
    room: Room, started: Engine, package: Hostile, member: str, reason: str
) -> None:
    told = refusal(room, started, package, also=("python",))
    assert "p-1-0.tar.bz2" in told
    assert member in told
    assert reason in told


@pytest.mark.parametrize("order", [1, -1])
def test_whichever_of_two_packages_brings_the_link(room: Room, started: Engine, order: int) -> None:
    packages = [Hostile("p", {"L/file": EVIL}), Hostile("q", {"a": EVIL}, {"L": OUT})][::order]
    told = refusal(room, started, *packages)
    assert "p-1-0.tar.bz2: it brings 'L/file': the symlink L -> ../../../victim of q-1-0" in told


def test_modules_are_not_linked_where_a_python_has_them_outside(
    room: Room, started: Engine
) -> None:
    there = {"version": "3.12.0"}
    elsewhere = {**there, "python_site_packages_path": "../../victim"}
    Hostile("python", {"a": EVIL}, record=elsewhere, index=there).write(room.channel)
    package = Hostile("p", {"site-packages/x": EVIL}, **FOR_ANY)
    told = refusal(room, started, package, also=("python=3.12",))
    assert "p-1-0.tar.bz2: it brings '../../victim/x': its path leads upwards" in told


@pytest.mark.parametrize(
    "package",
    [
        # What is listed as a file is a link in the archive: to a secret, or to be written through.
        Hostile("p", {"a": EVIL}, {"x": OUT}, [("x", "hardlink")], unlisted=["x"]),
        # A file that is reached through a link of the archive that is not listed.
        Hostile("p", {"a": EVIL}, {"L": OUT}, [("L/file", "hardlink")], unlisted=["L"]),
        Hostile("p", {"a": EVIL}, {"x": "../innocent-1-0/share"}, [("x/innocent", "hardlink")]),
        Hostile("p", {"a": EVIL}, listed=[("missing", "hardlink")]),
        Hostile("p", {"a": EVIL}, listed=[("a", "softlink")]),
        Hostile("p", {"a": EVIL, "b": EVIL}, listed=[("a", "directory")], unlisted=["a"]),
    ],
)
def test_what_is_listed_is_in_the_archive_as_it_is_listed(
    room: Room, started: Engine, package: Hostile
) -> None:
    assert "p-1-0.tar.bz2" in refusal(room, started, package._replace(digests=False))


@pytest.mark.parametrize("field", ["build", "version", "name"])
def test_a_package_is_not_kept_under_a_name_that_leads_elsewhere(
    room: Room, started: Engine, field: str
) -> None:
    hostile = Hostile("p", {"a": EVIL}, record={field: "../../innocent-1-0"})
    refusal(room, started, hostile)
    assert not (room.cache.parent / "innocent-1-0").exists()


@pytest.mark.parametrize("build", ["0/../innocent-1-0", "0/../../victim", "../x", "a\nb"])
def test_nothing_is_removed_for_a_package_whose_name_leads_elsewhere(
    room: Room, started: Engine, build: str
) -> None:
    """What looks damaged in the cache is removed; that something is there is the first step."""
    (room.cache / "p-1-0").mkdir()
    told = refusal(room, started, Hostile("p", {"a": EVIL}, record={"build": build}))
    assert "which is no name" in told


def test_an_archive_writes_nothing_outside_when_it_is_extracted(
    room: Room, started: Engine
) -> None:
    files = {
        "../victim/file": EVIL,
        "../innocent-1-0/share/innocent": EVIL,
        f"{room.victim}/file": EVIL,
        "a": EVIL,
    }
    package = Hostile("p", files, unlisted=files.keys() - {"a"})
    package.write(room.channel)
    before = room.seen()
    install(room, started, "p")
    assert before == room.seen()
    assert EVIL == (room.prefix / "a").read_bytes()


@pytest.mark.parametrize("leads_to", ["../../victim", "../innocent-1-0/share", "{victim}"])
def test_an_archive_writes_nothing_through_its_own_links(
    room: Room, started: Engine, leads_to: str
) -> None:
    links = {"L": leads_to.format(victim=room.victim)}
    package = Hostile("p", {"L/file": EVIL, "L/innocent": EVIL}, links)
    assert "p-1-0.tar.bz2" in refusal(room, started, package)


def test_a_link_that_leads_out_is_installed_as_it_is(room: Room, started: Engine) -> None:
    """Packages of drivers have such; nothing of the environment is below it."""
    Hostile("p", {"lib/a": EVIL}, {"etc/vendors": "/etc/vendors"}).write(room.channel)
    install(room, started, "p")
    assert "/etc/vendors" == str((room.prefix / "etc/vendors").readlink())


@pytest.mark.parametrize(
    "package",
    [
        Hostile("p", listed=[("../../victim/file", "hardlink")]),
        Hostile("p", {"a": EVIL}, {"L": OUT}, listed=[("L/file", "hardlink")]),
        Hostile("p", {"a": EVIL}, link=points("../../../x"), **FOR_ANY),
    ],
)
def test_a_dry_run_refuses_what_it_can_look_into(
    room: Room, started: Engine, package: Hostile
) -> None:
    package.write(room.channel)
    started.solve([environment(room, "p")], SUBDIR)
    with pytest.raises(EngineFailed, match=r"p-1-0\.tar\.bz2: it brings "):
        started.foresee(str(room.cache))
