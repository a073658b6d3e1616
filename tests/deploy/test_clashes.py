"""Two packages or wheels of one environment with one path: told or refused, the same each time."""

import base64
import hashlib
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from archives import PYTHON, Package, python, write_index
from lab import Served
from targets import listing
from tierctl.demo.channel import NOARCH, SUBDIR
from tierctl.deploy.definitions.environments import Environment
from tierctl.deploy.definitions.problems import Place
from tierctl.deploy.engine import client
from tierctl.deploy.engine.client import Engine
from tierctl.deploy.engine.failures import EngineFailed
from tierctl.deploy.engine.worker import unpacked
from tierctl.deploy.engine.worker.wheels import Wheel

pytest.importorskip("rattler")
pytest.importorskip("uv")

MODULES = f"lib/python{PYTHON}/site-packages"
TIMES = 12


@pytest.fixture(scope="module")
def with_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A channel of a Python that runs."""
    top = tmp_path_factory.mktemp("channel")
    python().write(top)
    return top


class Bench:
    """A channel, a directory of wheels, and environments installed from them by an engine."""

    def __init__(self, place: Path, with_python: Path, running: Engine) -> None:
        self.place = place
        self.channels = (place / "channel", with_python)
        self.engine = running

    def package(self, name: str, files: Mapping[str, str] | None = None, **other: Any) -> None:
        """Add a package; see ``archives.Package`` for what else it can have."""
        content = {path: text.encode() for path, text in (files or {}).items()}
        Package(name, "1.0", content, **other).write(self.channels[0])

    def command(self, name: str, command: str) -> None:
        """Add a package with a command that calls its module."""
        modules = {f"site-packages/{name}.py": "def main(): pass\n"}
        points = (f"{command} = {name}:main",)
        self.package(name, modules, subdir=NOARCH, entry_points=points, depends=("python",))

    def wheel(
        self, name: str, files: Mapping[str, str], *, command: str = "", hashed: bool = True
    ) -> None:
        """Add a wheel, with or without digests in its list."""
        info = f"{name}-1.0.dist-info"
        members = dict(files) | {
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        if command:
            members[f"{info}/entry_points.txt"] = f"[console_scripts]\n{command} = {name}:main\n"
        self.wheels.mkdir(exist_ok=True)
        with zipfile.ZipFile(self.wheels / f"{name}-1.0-py3-none-any.whl", "w") as archive:
            for path, text in members.items():
                archive.writestr(path, text)
            lines = [
                f"{path},{digest(text) if hashed else ''},\n" for path, text in members.items()
            ]
            archive.writestr(f"{info}/RECORD", f"{''.join(lines)}{info}/RECORD,,\n")

    @property
    def wheels(self) -> Path:
        return self.place / "wheels"

    @property
    def cache(self) -> Path:
        return self.place / "cache"

    def want(
        self, *specs: str, wheels: tuple[str, ...] = (), options: tuple[str, ...] = ()
    ) -> None:
        """Solve an environment of packages and wheels, by default from the directory of those."""
        options = options or ("--no-index", f"--find-links {self.wheels.as_uri()}")
        pip = (*options, *wheels) if wheels else ()
        specs = (*specs, "python") if wheels else specs
        urls = tuple(channel.as_uri() for channel in self.channels if channel.exists())
        self.engine.solve([Environment("tools", Place("tools.yaml", 1), urls, specs, pip)], SUBDIR)

    def install(self, number: int = 1) -> list[str]:
        """Install it as an environment of that number; return the warnings."""
        return self.engine.install({"tools": str(self.prefix(number))}, {}).warnings

    def foresee(self) -> list[str]:
        """Return the warnings of a dry run."""
        return self.engine.foresee(str(self.cache)).warnings

    def prefix(self, number: int = 1) -> Path:
        return self.place / f"prefix{number}"


def digest(text: str) -> str:
    value = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"sha256={value.rstrip('=')}"


def content(path: Path) -> str:
    return f"-> {path.readlink()}" if path.is_symlink() else path.read_text()


@pytest.fixture
def bench(tmp_path: Path, with_python: Path) -> Iterator[Bench]:
    with client.started(str(tmp_path / "cache")) as running:
        yield Bench(tmp_path, with_python, running)


class TestPackages:
    def test_the_same_content_is_nothing_to_tell(self, bench: Bench) -> None:
        for name in ("one", "two"):
            bench.package(name, {"share/x": "same", f"share/{name}": name}, links={"share/y": "x"})
        bench.want("one", "two")
        assert [] == bench.install()
        assert "same" == content(bench.prefix() / "share/x")

    def test_of_other_content_the_last_ones_is_there_each_time_and_it_is_told(
        self, bench: Bench
    ) -> None:
        """Last by what depends on what, then by name backwards, as the engine sorts them."""
        bench.package("one", {"share/x": "one", "share/y": "one"}, depends=("two",))
        bench.package("two", {"share/x": "two", "share/y": "two"})
        bench.package("red", {"share/z": "red"})
        bench.package("sea", {"share/z": "sea"}, links={"share/link": "x"})
        bench.package("tea", links={"share/link": "y"})
        bench.want("one", "two", "red", "sea", "tea")
        wanted = [
            "environment tools: share/link is in tea-1.0-0.tar.bz2 and in sea-1.0-0.tar.bz2: "
            "that of sea-1.0-0.tar.bz2 is used",
            "environment tools: share/x (and 1 more) is in two-1.0-0.tar.bz2 and in "
            "one-1.0-0.tar.bz2: that of one-1.0-0.tar.bz2 is used",
            "environment tools: share/z is in sea-1.0-0.tar.bz2 and in red-1.0-0.tar.bz2: "
            "that of red-1.0-0.tar.bz2 is used",
        ]
        assert wanted == bench.foresee()
        for number in range(TIMES):
            assert wanted == bench.install(number)
            share = bench.prefix(number) / "share"
            there = {path.name: content(path) for path in share.iterdir()}
            assert {"x": "one", "y": "one", "z": "red", "link": "-> x"} == there

    @pytest.mark.parametrize("first", ["file", "link", "directory"])
    def test_a_directory_against_anything_else_is_refused_before_anything_is_linked(
        self, bench: Bench, first: str
    ) -> None:
        match first:
            case "file":
                bench.package("one", {"share/zone": "x"})
            case "link":
                bench.package("one", {"share/real/f": "x"}, links={"share/zone": "real"})
            case "directory":
                bench.package("one", {"share": "x"})
        bench.package("two", {"share/zone/deep/g": "y"})
        bench.want("one", "two")
        path, kind = ("share", "file") if first == "directory" else ("share/zone", first)
        article = "a symlink" if kind == "link" else "a file"
        text = (
            f"{path} is in one-1.0-0.tar.bz2 as {article} and in two-1.0-0.tar.bz2 as a directory"
        )
        for ask in (bench.foresee, bench.install):
            with pytest.raises(EngineFailed) as raised:
                ask()
            assert text in raised.value.reasons["tools"]
        assert not bench.prefix().exists()

    @pytest.mark.parametrize("other", ["command", "file", "link", "own"])
    def test_a_command_that_the_engine_writes_into_something_else_is_refused(
        self, bench: Bench, other: str
    ) -> None:
        """It writes it through the hard link: into the cache, and into all other environments."""
        bench.command("one", "tool")
        match other:
            case "command":
                bench.command("two", "tool")
            case "file":
                bench.package("two", {"bin/tool": "two\n"})
            case "link":
                bench.package("two", {"bin/two": "two\n"}, links={"bin/tool": "two"})
            case "own":
                bench.package("two")
                files = {"site-packages/one.py": "", "python-scripts/tool": "own\n"}
                points = ("tool = one:main",)
                more = {"entry_points": points, "subdir": NOARCH, "depends": ("python",)}
                bench.package("one", files, **more)
        bench.want("one", "two")
        for ask in (bench.foresee, bench.install):
            with pytest.raises(EngineFailed, match="could not install") as raised:
                ask()
            text = raised.value.reasons["tools"]
            assert "bin/tool is in " in text
            assert "one-1.0-0.tar.bz2 as a command" in text
            assert other == "own" or "two-1.0-0.tar.bz2 as a" in text
        assert not bench.prefix().exists()

    def test_the_same_command_of_two_packages_is_nothing_to_tell(self, bench: Bench) -> None:
        for name in ("one", "two"):
            points = ("tool = shared:main",)
            more = {"entry_points": points, "subdir": NOARCH, "depends": ("python",)}
            bench.package(name, {f"site-packages/{name}.py": ""}, **more)
        bench.want("one", "two")
        assert ([], []) == (bench.foresee(), bench.install())

    def test_modules_for_any_python_clash_with_those_for_one(self, bench: Bench) -> None:
        bench.package("one", {"site-packages/x.py": "one"}, subdir=NOARCH, entry_points=())
        bench.package("two", {f"{MODULES}/x.py": "two"}, depends=("python",))
        bench.want("one", "two", "python")
        (warning,) = bench.foresee()
        assert f"{MODULES}/x.py is in" in warning
        assert [warning] == bench.install()

    def test_of_many_clashes_some_are_told(self, bench: Bench) -> None:
        bench.package("one", {f"share/{number}/x": "one" for number in range(50)})
        bench.package("two", {f"share/{number}": "two" for number in range(50)})
        bench.want("one", "two")
        with pytest.raises(EngineFailed) as raised:
            bench.install()
        assert raised.value.reasons["tools"].endswith("and 40 more")


class TestWheels:
    def test_a_wheels_file_takes_the_place_of_a_packages_and_of_that_one_alone(
        self, bench: Bench
    ) -> None:
        bench.package("vision", {f"{MODULES}/cv/a.py": "conda", f"{MODULES}/cv/b.py": "same"})
        bench.wheel("headless", {"cv/a.py": "pip, longer", "cv/b.py": "same"})
        bench.want("vision", "python")
        bench.install(1)
        before = listing(bench.cache / "vision-1.0-0")
        bench.want("vision", wheels=("headless",))
        wanted = [
            f"environment tools: {MODULES}/cv/a.py is in vision-1.0-0.tar.bz2 and in headless 1.0: "
            "that of headless 1.0 is used"
        ]
        assert wanted == bench.foresee()
        assert wanted == bench.install(2)
        assert "pip, longer" == content(bench.prefix(2) / MODULES / "cv/a.py")
        assert "conda" == content(bench.prefix(1) / MODULES / "cv/a.py")
        assert before == listing(bench.cache / "vision-1.0-0")
        assert [] == list(bench.place.glob(".*"))

    @pytest.mark.parametrize("hashed", [True, False])
    def test_of_two_wheels_the_last_ones_file_is_there_each_time(
        self, bench: Bench, hashed: bool
    ) -> None:
        """Each file has a link in uv's cache, which stays as it is."""
        bench.wheel("one", {"x/a.py": "one", "x/same.py": "", "one.py": ""}, hashed=hashed)
        bench.wheel("two", {"x/a.py": "two!", "x/same.py": "", "two.py": ""}, hashed=hashed)
        bench.wheel("zoo", {"zoo.py": "zoo"})
        bench.want(wheels=("two", "zoo", "one"))
        wanted = [
            f"environment tools: {MODULES}/x/a.py is in one 1.0 and in two 1.0: "
            "that of two 1.0 is used"
        ]
        assert wanted == bench.foresee()
        for number in range(TIMES):
            assert wanted == bench.install(number)
            assert "two!" == content(bench.prefix(number) / MODULES / "x/a.py")
            assert (bench.prefix(number) / MODULES / "one.py").exists()
        cached = {content(path) for path in bench.cache.rglob("archive-*/**/x/a.py")}
        assert {"one", "two!"} == cached

    def test_a_wheels_command_takes_the_place_of_a_packages(self, bench: Bench) -> None:
        bench.package("tool", {"bin/tool": "conda\n"})
        bench.wheel("other", {"other.py": "def main(): pass\n"}, command="tool")
        bench.want("tool", wheels=("other",))
        wanted = [
            "environment tools: bin/tool is in tool-1.0-0.tar.bz2 and in other 1.0: "
            "that of other 1.0 is used"
        ]
        assert wanted == bench.foresee()
        assert wanted == bench.install()
        assert "from other import main" in content(bench.prefix() / "bin/tool")
        assert "conda\n" == content(bench.cache / "tool-1.0-0/bin/tool")

    @pytest.mark.parametrize("other", ["package", "link", "wheel"])
    def test_a_directory_against_a_file_is_refused(self, bench: Bench, other: str) -> None:
        """Through a symlink of a package a wheel would be written where it leads to."""
        specs, wheels = ("extra",), ("last",)
        bench.package("extra")
        match other:
            case "package":
                bench.package("extra", {f"{MODULES}/pk": "file"})
            case "link":
                links = {f"{MODULES}/pk": "../../../share/elsewhere"}
                bench.package("extra", {"share/elsewhere/x.py": "own"}, links=links)
            case "wheel":
                bench.wheel("first", {"pk": "file"})
                wheels = ("last", "first")
        bench.wheel("last", {"pk/x.py": "1"})
        bench.want(*specs, wheels=wheels)
        owner = "first 1.0" if other == "wheel" else "extra-1.0-0.tar.bz2"
        for ask in (bench.foresee, bench.install):
            with pytest.raises(EngineFailed) as raised:
                ask()
            text = raised.value.reasons["tools"]
            assert f"{MODULES}/pk is in {owner}" in text
            assert "last 1.0" in text
        assert other != "link" or "own" == content(bench.prefix() / "share/elsewhere/x.py")

    def test_data_scripts_and_headers_of_wheels_go_where_they_are_foreseen(
        self, bench: Bench
    ) -> None:
        data = {
            "one.py": "",
            "one-1.0.data/data/share/x": "wheel",
            "one-1.0.data/scripts/run": "wheel",
            "one-1.0.data/headers/one.h": "wheel",
            "one-1.0.data/purelib/pure.py": "wheel",
        }
        places = (
            "bin/run",
            f"include/site/python{PYTHON}/one/one.h",
            f"{MODULES}/pure.py",
            "share/x",
        )
        bench.package("all", dict.fromkeys(places, "conda"))
        bench.wheel("one", data)
        bench.want("all", wheels=("one",))
        warning = (
            f"environment tools: {places[0]} (and 3 more) is in all-1.0-0.tar.bz2 and in one 1.0"
        )
        assert [f"{warning}: that of one 1.0 is used"] == bench.foresee() == bench.install()
        assert {"wheel"} == {content(bench.prefix() / path) for path in places}

    def test_wheels_with_nothing_in_common_are_installed_at_once(self, bench: Bench) -> None:
        for name in ("one", "two"):
            bench.wheel(name, {f"{name}.py": "", "shared/__init__.py": ""})
        bench.want(wheels=("one", "two"))
        assert ([], []) == (bench.foresee(), bench.install())
        assert {"one.py", "two.py", "shared"} <= set(os.listdir(bench.prefix() / MODULES))
        assert not (bench.prefix() / ".lock").exists()

    def test_a_wheel_of_an_index_is_known_when_it_is_in_the_cache(self, bench: Bench) -> None:
        bench.package("extra", {f"{MODULES}/one.py": "conda"})
        bench.wheel("one", {"one.py": "pip"})
        write_index(bench.place / "index", bench.wheels)
        with Served(bench.place / "index") as server:
            bench.want("extra", wheels=("one",), options=(f"--index-url {server.url}",))
            found = unpacked.read(Wheel("one", "1.0", f"{server.url}/x.whl", ""), "", MODULES)
            assert found is None
            bench.install()
            wanted = [
                f"environment tools: {MODULES}/one.py is in extra-1.0-0.tar.bz2 and in one 1.0: "
                "that of one 1.0 is used"
            ]
            assert wanted == bench.foresee()

    @pytest.mark.parametrize("name", ["/dev/zero", "../../../../../../../../dev/zero"])
    def test_what_a_wheel_lists_outside_of_itself_is_not_read(
        self, bench: Bench, name: str
    ) -> None:
        """It would have no end."""
        bench.wheel("one", {"one.py": "", name: ""}, hashed=False)
        bench.want(wheels=("one",))
        assert ([], []) == (bench.foresee(), bench.install())
        assert (bench.prefix() / MODULES / "one.py").exists()
