"""A deploy as a whole: what happens when its build does not end well."""

import errno
import os
from contextlib import suppress
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from targets import make_target
from tierctl.demo.channel import SUBDIR
from tierctl.deploy import build, deploy, unchanged
from tierctl.deploy.engine.client import Engine
from tierctl.deploy.engine.failures import NotBuilt
from tierctl.deploy.engine.worker import notes
from tierctl.errors import NoSuchTier
from tierctl.fs.local import OsFileSystem
from tierctl.rotation.state import Color, Content, State
from tierctl.target.packages import Package
from tierctl.target.target import Target
from tierctl.target.users import Author


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_the_engine_has_ended_before_what_it_wrote_is_removed(
    tmp_path: Path, mocker: MockerFixture, error: type[BaseException]
) -> None:
    layout = make_target(tmp_path / "lab")
    (tmp_path / "definitions" / "tier" / "bin").mkdir(parents=True)
    engine = mocker.create_autospec(Engine, instance=True)
    engine.solve.return_value = {}
    there_at_the_end: list[str] = []
    engine.close.side_effect = lambda: there_at_the_end.extend(os.listdir(layout.deployments))
    mocker.patch.object(build, "build", side_effect=error)
    with pytest.raises((error, NotBuilt)):
        deploy.deploy(
            Target(OsFileSystem(), layout),
            deploy.Wish("dev1", str(tmp_path / "definitions"), SUBDIR),
            engine,
            Author("ada", "lab", ""),
            mocker.Mock(),
            lock_timeout=5,
        )
    assert (["1"], []) == (there_at_the_end, os.listdir(layout.deployments))


@pytest.mark.parametrize("is_promoted_meanwhile", [False, True])
def test_nothing_is_built_only_if_the_tier_still_shows_that_at_the_end(
    tmp_path: Path, mocker: MockerFixture, *, is_promoted_meanwhile: bool
) -> None:
    layout = make_target(tmp_path / "lab", blue=41, green=42)
    (tmp_path / "definitions" / "tier" / "bin").mkdir(parents=True)
    fs, reporter = OsFileSystem(), mocker.Mock()

    def was_built_from(*_: object) -> bool:
        if is_promoted_meanwhile:
            fs.exchange(layout.within("production"), layout.within("staging"))
        return True

    mocker.patch.object(unchanged.Shown, "was_built_from", was_built_from)
    built = mocker.patch.object(build, "build")
    engine = mocker.create_autospec(Engine, instance=True)
    engine.solve.return_value = {}
    wish = deploy.Wish("staging", str(tmp_path / "definitions"), SUBDIR)
    author = Author("ada", "lab", "")
    with suppress(NoSuchTier):  # nothing was built here
        deploy.deploy(Target(fs, layout), wish, engine, author, reporter, lock_timeout=5)
    assert is_promoted_meanwhile is built.called
    assert is_promoted_meanwhile is not reporter.unchanged.called


def test_of_packages_that_are_not_whole_the_cache_loses_those_that_were_wanted(
    tmp_path: Path, mocker: MockerFixture
) -> None:
    """Their names come from files that somebody else's package has brought."""
    layout = make_target(tmp_path / "lab")
    names = ("a-1-0", "b-1-0", "repodata", "kept-1-0")
    for name in names:
        Path(layout.cache, name).mkdir(parents=True)
        Path(layout.cache, f"{name}.lock").write_text("noted")
    packages = tuple(Package(name, "1", "0", "noarch", "c") for name in ("a", "b", "kept"))
    wanted = mocker.Mock(packages={"tools": packages})
    deploy._remove_cached(layout, wanted, {"a-1-0", "b-1-0", "repodata", "."})
    noted = sorted(path.name for path in Path(layout.cache).glob("*.lock") if path.read_text())
    assert ["kept-1-0.lock", "repodata.lock"] == noted


def test_a_package_of_another_member_in_the_cache_hides_no_error(
    tmp_path: Path, mocker: MockerFixture
) -> None:
    layout = make_target(tmp_path / "lab")
    wanted = mocker.Mock(packages={"tools": (Package("a", "1", "0", "noarch", "c"),)})
    mocker.patch.object(notes, "clear", side_effect=PermissionError)
    deploy._remove_cached(layout, wanted, {"a-1-0"})


@pytest.mark.parametrize(("replaced", "warned"), [(7, False), (8, False), (9, True)])
def test_only_what_was_not_there_when_it_began_is_another_s_deploy(
    mocker: MockerFixture, replaced: int, warned: bool
) -> None:
    """A promotion that exchanged the colors meanwhile brought nothing new."""
    seven, eight, other = (Content.of_deployment(number) for number in (7, 8, replaced))
    seen = deploy.Seen(State(Color.GREEN, Color.BLUE, seven, eight), seven)
    reporter = mocker.Mock()
    watching = deploy._Watching(reporter, "staging", 10, seen)
    before = State(Color.BLUE, Color.GREEN, seven, other)
    watching.done(mocker.Mock(before=before))
    assert warned is reporter.warn.called


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (42, "deployment 42 is finished, and shown by production, green now"),
        (41, "deployment 41 is finished, and shown by staging, blue now"),
        (43, "deployment 43 is finished, and shown by dev1 now"),
        (44, "deployment 44 is finished, but no tier shows it; prune removes it"),
    ],
)
def test_after_a_failed_switch_it_is_said_what_shows_the_deployment(
    tmp_path: Path, number: int, expected: str
) -> None:
    layout = make_target(tmp_path / "lab", blue=41, green=42, deployments=(43, 44))
    Path(layout.within("dev1")).symlink_to("deployments/43")
    Path(layout.within("dev2")).symlink_to("dev2")
    assert expected == deploy._what_becomes_of(Target(OsFileSystem(), layout), number)


def test_or_why_that_cannot_be_seen(tmp_path: Path, mocker: MockerFixture) -> None:
    layout = make_target(tmp_path / "lab", blue=41, green=42)
    fs = OsFileSystem()
    mocker.patch.object(fs, "names", side_effect=OSError(errno.EIO, "broken", "/a/path"))
    assert (
        "deployment 41 is finished; what shows it cannot be seen: /a/path: broken"
        == deploy._what_becomes_of(Target(fs, layout), 41)
    )
