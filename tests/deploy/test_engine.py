"""The engine: what is solved and installed, and what it says when that cannot be."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tierctl.demo.channel import SUBDIR, write_package
from tierctl.deploy.definitions.environments import Environment
from tierctl.deploy.definitions.problems import Place
from tierctl.deploy.engine import client
from tierctl.deploy.engine.client import Engine
from tierctl.deploy.engine.failures import EngineFailed, EngineMissing
from tools import require_landlock

pytest.importorskip("rattler")


@pytest.fixture
def channel(tmp_path: Path) -> Path:
    """Two versions of a command, and what they depend on."""
    top = tmp_path / "channel"
    write_package(top, "base", "1", {"share/base": "base"})
    for version in ("1.0", "2.0"):
        script = f"#!/bin/sh\necho hello {version}\n"
        write_package(top, "hello", version, {"bin/hello": script}, depends=["base >=1"])
    return top


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Engine]:
    with client.started(str(tmp_path / "cache")) as running:
        yield running


def environment(channel: Path, *specs: str, name: str = "tools") -> Environment:
    return Environment(name, Place("tools.yaml", 1), (channel.as_uri(),), specs)


def test_what_was_solved_is_installed(channel: Path, started: Engine, tmp_path: Path) -> None:
    solved = started.solve([environment(channel, "hello <2")], SUBDIR)
    names = [(package.name, package.version, package.subdir) for package in solved["tools"]]
    assert [("base", "1", SUBDIR), ("hello", "1.0", SUBDIR)] == sorted(names)
    assert all(len(package.sha256) == 64 and package.size > 0 for package in solved["tools"])
    started.install({"tools": str(tmp_path / "prefix")}, {})
    done = subprocess.run([tmp_path / "prefix/bin/hello"], capture_output=True, text=True)
    assert "hello 1.0\n" == done.stdout


def test_several_environments_share_one_cache(
    channel: Path, started: Engine, tmp_path: Path
) -> None:
    wanted = [environment(channel, "hello", name=name) for name in ("one", "two")]
    started.solve(wanted, SUBDIR)
    started.install({name: str(tmp_path / name) for name in ("one", "two")}, {})
    one, two = ((tmp_path / name / "share/base").stat() for name in ("one", "two"))
    assert one.st_ino == two.st_ino


def test_everything_that_cannot_be_solved_is_told_at_once(channel: Path, started: Engine) -> None:
    wanted = [
        environment(channel, "hello", name="good"),
        environment(channel, "hello =3", name="newer"),
        environment(channel, "nothing", name="missing"),
    ]
    with pytest.raises(EngineFailed) as caught:
        started.solve(wanted, SUBDIR)
    assert {"newer", "missing"} == caught.value.reasons.keys()
    assert "hello" in caught.value.reasons["newer"]
    assert "nothing" in caught.value.message


def test_a_conflict_names_both_sides(channel: Path, started: Engine) -> None:
    write_package(channel, "old", "1", {"share/old": ""}, depends=["hello <2"])
    with pytest.raises(EngineFailed, match="old") as caught:
        started.solve([environment(channel, "old", "hello >=2")], SUBDIR)
    assert "hello" in caught.value.reasons["tools"]


def test_a_missing_dependency_is_named(channel: Path, started: Engine) -> None:
    write_package(channel, "lonely", "1", {"share/x": ""}, depends=["nobody"])
    with pytest.raises(EngineFailed, match="nobody"):
        started.solve([environment(channel, "lonely")], SUBDIR)


def test_a_channel_that_is_not_there_is_named(started: Engine, tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match="nowhere"):
        started.solve([environment(tmp_path / "nowhere", "hello")], SUBDIR)


def test_a_local_archive_that_its_channel_does_not_list_so_is_refused(
    channel: Path, started: Engine, tmp_path: Path
) -> None:
    write_package(channel, "hello", "3.0", {"bin/hello": "#!/bin/sh\n"}, sha256="0" * 64)
    started.solve([environment(channel, "hello")], SUBDIR)
    with pytest.raises(EngineFailed, match=r"hello-3\.0-0\.tar\.bz2.*sha256 differs"):
        started.install({"tools": str(tmp_path / "prefix")}, {})
    assert not (tmp_path / "prefix").exists()


def test_a_corrupt_archive_is_refused(channel: Path, started: Engine, tmp_path: Path) -> None:
    archive = write_package(channel, "hello", "3.0", {"bin/hello": "x"})
    started.solve([environment(channel, "hello")], SUBDIR)
    archive.write_bytes(archive.read_bytes()[:100])
    with pytest.raises(EngineFailed):
        started.install({"tools": str(tmp_path / "prefix")}, {})


def test_offline_what_is_cached_is_enough(channel: Path, tmp_path: Path) -> None:
    cache, wanted = str(tmp_path / "cache"), [environment(channel, "hello")]
    with client.started(cache) as online:
        solved = online.solve(wanted, SUBDIR)
    with client.started(cache, offline=True) as offline:
        assert solved == offline.solve(wanted, SUBDIR)


@pytest.mark.parametrize(
    ("spec", "wrong"),
    [
        ("python >=3.11", False),
        ("python=3.11=h_0", False),
        ("a 1 b c", True),
        ("a >>1", True),
        ("", True),
        ("==", True),
    ],
)
def test_a_match_spec_is_judged(started: Engine, spec: str, wrong: bool) -> None:
    assert wrong is bool(started.wrong_spec(spec))


def test_a_match_spec_is_solved_as_conda_writes_it_down(started: Engine, channel: Path) -> None:
    spelled = "hello=1.0=0"
    assert "" == started.wrong_spec(spelled)
    solved = started.solve([environment(channel, spelled)], SUBDIR)["tools"]
    found = [(package.name, package.version, package.build) for package in solved]
    assert ("hello", "1.0", "0") in found


def test_nothing_of_the_caller_s_home_is_used(
    channel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    with client.started(str(tmp_path / "cache")) as running:
        running.solve([environment(channel, "hello")], SUBDIR)
        running.install({"tools": str(tmp_path / "prefix")}, {})
    assert [] == os.listdir(home)


def test_it_writes_nothing_outside_whatever_its_paths_lead_to(
    channel: Path, tmp_path: Path
) -> None:
    """As where somebody puts a link in the place of the directory of deployments."""
    require_landlock()
    within, elsewhere = tmp_path / "within", tmp_path / "elsewhere"
    within.mkdir()
    elsewhere.mkdir()
    (tmp_path / "cache").mkdir()
    (within / "deployments").symlink_to(elsewhere)
    with client.started(str(tmp_path / "cache"), confined=True) as running:
        running.keep_to(str(within))
        running.solve([environment(channel, "hello")], SUBDIR)
        running.install({"tools": f"{within}/1"}, {"tools": f"{within}/lock"})
        assert (within / "1" / "bin" / "hello").exists()
        for prefix, lock in (
            (f"{within}/deployments/2", f"{within}/2"),
            (f"{within}/2", f"{elsewhere}/x"),
        ):
            with pytest.raises(EngineFailed, match="Permission denied"):
                running.install({"tools": prefix}, {"tools": lock})
    assert [] == os.listdir(elsewhere)


def test_a_device_can_be_asked_what_it_is(tmp_path: Path) -> None:
    """It is opened for writing then: else no package for it could be solved."""
    require_landlock()
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    script = "; ".join(
        (
            "import sys",
            "from tierctl.deploy.engine.worker.confining import confine",
            "assert confine(sys.argv[1:2])",
            "open(sys.argv[1] + '/x', 'w').close()",
            "open('/dev/zero', 'r+b').close()",
            "open(sys.argv[2] + '/x', 'w')",
        )
    )
    command = [sys.executable, "-c", script, inside, outside]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"PermissionError: [Errno 13] Permission denied: '{outside}/x'" in done.stderr
    assert ["x"] == os.listdir(inside)


def test_one_that_dies_is_an_error_and_not_a_hang(
    channel: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with (
        client.started(str(tmp_path / "cache")) as running,
        pytest.raises(EngineFailed, match="it ended without an answer"),
    ):
        running.solve([environment(channel, "hello")], SUBDIR)


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(client, "find_spec", lambda name: None)
    with pytest.raises(EngineMissing) as caught, client.started(str(tmp_path)):
        pytest.fail("started without an engine")
    assert "pip install 'tierctl[deploy]'" in caught.value.hint
