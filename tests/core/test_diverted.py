"""A link in the place of the directory of records, or of deployments, put there at any moment."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from targets import listing
from tierctl.fs.local import OsFileSystem
from tierctl.rotation.names import CONTROL, DEPLOYMENTS, INFRASTRUCTURE

FS = OsFileSystem()


def lock(path: str) -> None:
    with FS.lock(path, timeout=0):
        pass


VERBS: dict[str, Callable[[str], object]] = {
    "entry": FS.entry,
    "load": FS.load,
    "write": lambda path: FS.write(path, b"x"),
    "make": lambda path: FS.write(f"{path}.new", b"x"),
    "set_mode": lambda path: FS.set_mode(path, 0o600),
    "rename": lambda path: FS.rename(path, f"{path}.old"),
    "remove": FS.remove,
    "lock": lock,
    "is_locked": FS.is_locked,
    "make_directory": lambda path: FS.make_directory(f"{path}.new", 0o700),
    "make_link": lambda path: FS.make_link(f"{path}.new", "x"),
    "below": lambda path: FS.write(f"{path}s/record", b"x"),
}


def test_a_target_may_be_reached_by_a_link_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "real" / "lab").mkdir(parents=True)
    (tmp_path / "real" / "lab" / "file").touch()
    os.symlink("real", tmp_path / CONTROL)
    assert FS.entry(f"{tmp_path}/{CONTROL}/lab/file").size == 0


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_follows_it(tmp_path: Path, verb: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "record").write_bytes(b"text")
    (elsewhere / "records").mkdir()
    (tmp_path / INFRASTRUCTURE).mkdir()
    os.symlink(elsewhere, tmp_path / INFRASTRUCTURE / CONTROL)
    before = listing(elsewhere)
    path = f"{tmp_path}/{INFRASTRUCTURE}/{CONTROL}/record"
    with pytest.raises(NotADirectoryError) as caught:
        VERBS[verb](path)
    assert caught.value.filename.startswith(os.path.dirname(path))
    assert before == listing(elsewhere)


CHANGES: dict[str, Callable[[str], object]] = {
    "rename": lambda path: FS.rename(path, f"{path}0"),
    "rename to": lambda path: FS.rename(f"{path}/../../blue", f"{path}0"),
    "exchange": lambda path: FS.exchange(f"{path}/../../blue", path),
    "exchange with": lambda path: FS.exchange(path, f"{path}/../../blue"),
    "remove": FS.remove,
    "make_directory": lambda path: FS.make_directory(f"{path}0", 0o700),
    "make_link": lambda path: FS.make_link(f"{path}0", "x"),
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The directory of deployments, with one; beside it a color."""
    place = tmp_path / INFRASTRUCTURE / DEPLOYMENTS
    (place / "1").mkdir(parents=True)
    (place.parent / "blue").mkdir()
    return place


@pytest.mark.parametrize("verb", CHANGES)
def test_names_of_deployments_are_changed_where_they_are(place: Path, verb: str) -> None:
    before = listing(place)
    CHANGES[verb](f"{place}/1")
    assert before != listing(place)


@pytest.mark.parametrize("verb", CHANGES)
def test_and_not_behind_a_link(place: Path, verb: str) -> None:
    elsewhere = place.parent / "elsewhere"
    place.rename(elsewhere)
    place.symlink_to("elsewhere")
    before = listing(elsewhere)
    with pytest.raises(NotADirectoryError) as caught:
        CHANGES[verb](f"{place}/1")
    assert caught.value.filename.startswith(str(place))
    assert before == listing(elsewhere)
