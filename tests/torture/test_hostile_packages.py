"""Hostile packages of both formats through a whole ``tierctl deploy``.

Whatever a package brings, and whether it is refused or built: what was there stays as it was, to
the last byte, and the next deploy works.
"""

import os
import stat
import subprocess
import tarfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from archives import PYTHON, python, write_wheel
from hostile import EVIL, Hostile
from lab import Hanging, Lab, wait_until_ended
from places import on_memory
from program import Ended, run_installed
from targets import listing
from thorough import every, times
from tierctl.demo.channel import write_package
from tools import require_root, require_tool

pytest.importorskip("rattler")

FORMATS = (".tar.bz2", ".conda")
# From an environment: to the deployments, and from a package in the cache: to the target.
UP, BESIDE = "../../../..", "../.."
FOR_ANY = {"index": {"noarch": "python"}, "record": {"noarch": "python"}}
MODULE = {"site-packages/x.py": b""}
FILE_X = [("x", "hardlink")]
# What a deploy writes although it fails.
PASSING = {"numbers", "holder.json", "lock"}
LIMIT_S = 2


class Attacked(Lab):
    """A target that serves production; everything that must stay as it is stands in ``place``."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.place, self.victim = place, place / "victim"
        for name in ("victim", "home", "tmp"):
            (place / name).mkdir()
        (self.victim / "file").write_text("as it was")
        write_package(self.channel, "python", "3.11.0", {"bin/python": "#!/bin/sh\n"})
        assert 0 == self.ask("deploy", "staging").code
        assert 0 == self.ask("promote-staging").code
        self.deploys_what_is_harmless()

    def ask(self, command: str, *words: str) -> Ended:
        """Run a command, of which everything temporary has a place of its own."""
        where = ["--definitions", str(self.definitions)] if command == "deploy" else []
        env = {"HOME": str(self.place / "home"), "TMPDIR": str(self.place / "tmp")}
        return run_installed(command, "-t", self.layout.top, *where, *words, env=env)

    def offer(
        self, packages: Sequence[Hostile], ending: str, *more: str, channels: Sequence[Path] = ()
    ) -> None:
        """Want packages, all of one format, from a channel that has no others, and ``more``."""
        channel = self.new_channel()
        for package in packages:
            package.write(channel, ending)
        wanted = ", ".join([*(package.name for package in packages), *more])
        urls = [each.as_uri() for each in (channel, *(channels or [self.channel]))]
        self.write_environment(f"channels: {urls}\ndependencies: [{wanted}]\n")

    def new_channel(self) -> Path:
        return self.place / "channels" / str(time.monotonic_ns())

    def seen(self) -> dict[str, object]:
        """Return all that there is, but what the cache has of hostile packages."""
        places = [path for path in self.place.iterdir() if path.name not in ("lab", "tmp")]
        cache = Path(self.layout.cache)
        places += [Path(self.layout.infrastructure), cache / "hello-1.0-0", cache / "hello-2.0-0"]
        # Of directories the time changes when a number is taken and given back.
        found: dict[str, object] = {
            f"{top}/{name}": entry[:2] if stat.S_ISDIR(entry[1]) else entry
            for top in places
            for name, entry in listing(top).items()
            if os.path.basename(name) not in PASSING
        }
        return found | {"temporary": os.listdir(self.place / "tmp")}

    def refusal(self, *words: str) -> str:
        """Return why a deploy was refused; it left everything as it was."""
        before = self.seen()
        done = self.ask("deploy", "dev1", *words)
        assert (1, "") == (done.code, done.out), done
        assert "Traceback" not in done.err
        assert "defect of tierctl" not in done.err, done.err
        assert before == self.seen()
        return done.err

    def deploys_what_is_harmless(self) -> None:
        """Deploy something that differs from what was deployed last."""
        for version in ("1.0", "2.0"):
            self.want(f"hello={version}")
            done = self.ask("deploy", "dev1")
            assert 0 == done.code, done.err
            if "nothing to do" not in done.out:
                break
        assert f"hello {version}\n" == self.ask("run", "dev1", "hello").out
        assert 0 == self.ask("verify", "production").code

    def builds(self) -> str:
        """Build what is wanted, sealed; nothing else has changed. Return what was said."""
        before = self.seen()
        done = self.ask("deploy", "dev1")
        assert 0 == done.code, done.err
        assert 0 == self.ask("verify", "dev1").code
        after = self.seen()
        changed = {name for name in before if before[name] != after[name]}
        assert {self.layout.within("dev1"), self.layout.history} == changed
        built = Path(self.layout.within("dev1")).resolve()
        for path in (built, *built.rglob("*")):
            if not path.is_symlink():
                mode = stat.S_IMODE(path.stat().st_mode)
                assert mode in ((0o555,) if path.is_dir() else (0o444, 0o555)), path
        return done.err

    @property
    def environment(self) -> Path:
        return Path(self.layout.within("dev1"), "conda/envs/tools")


@pytest.fixture(scope="module")
def target() -> Iterator[Attacked]:
    """One for all tests: each leaves it as it was."""
    with on_memory() as place:
        yield Attacked(place)


def points(*names: str) -> dict[str, object]:
    """Return a ``link.json`` of commands with these names."""
    commands = [f"{name} = os:abort" for name in names]
    return {
        "noarch": {"type": "python", "entry_points": commands},
        "package_metadata_version": 1,
    }


def leading_out(victim: str) -> dict[str, tuple[str, Sequence[Hostile]]]:
    """Return packages that would write elsewhere, by how; with what is told of each."""
    production = f"{UP}/../green/etc/profile.sh"
    upwards = f"{BESIDE}/infrastructure/green/etc/profile.sh"
    one = {"a": EVIL}
    return {
        "upwards": (production, [Hostile("p", listed=[(production, "hardlink")])]),
        "upwards in the archive": (upwards, [Hostile("p", {upwards: EVIL})]),
        "upwards from below": ("s/../../x", [Hostile("p", {"s/../../x": EVIL})]),
        "another package's files": (
            "../hello-1.0-0/bin/hello",
            [Hostile("p", {"../hello-1.0-0/bin/hello": EVIL})],
        ),
        "absolute": (f"{victim}/file", [Hostile("p", listed=[(f"{victim}/file", "hardlink")])]),
        "absolute in the archive": (f"{victim}/file", [Hostile("p", {f"{victim}/file": EVIL})]),
        "through its own symlink": (
            "L/history.jsonl",
            [Hostile("p", one, {"L": f"{UP}/../.tierctl"}, [("L/history.jsonl", "hardlink")])],
        ),
        "through two symlinks": (
            "L/1/x",
            [Hostile("p", one, {"M": UP, "L": "M"}, [("L/1/x", "hardlink")])],
        ),
        "through an absolute symlink": (
            "L/file",
            [Hostile("p", one, {"L": victim}, [("L/file", "hardlink")])],
        ),
        "through a symlink in the archive": (
            "p-1-0",
            [Hostile("p", {"L/file": EVIL}, {"L": victim})],
        ),
        "through a symlink in the archive alone": (
            "p-1-0",
            [Hostile("p", {"L/file": EVIL}, {"L": "../hello-1.0-0/bin"}, unlisted=["L"])],
        ),
        "through another package's symlink": (
            "L/file",
            [Hostile("p", {"L/file": EVIL}), Hostile("q", one, {"L": victim})],
        ),
        "through a symlink of a package that comes first": (
            "L/file",
            [Hostile("p", one, {"L": victim}), Hostile("q", {"L/file": EVIL}, depends=["p"])],
        ),
        "a command": ("bin/../../x", [Hostile("p", one, link=points("../../x"), **FOR_ANY)]),
        "a command through a symlink": (
            "bin/x",
            [Hostile("p", MODULE, {"bin": UP}, link=points("x"), depends=["python"], **FOR_ANY)],
        ),
        "the engine's records": (
            "conda-meta/history",
            [Hostile("p", {"conda-meta/history": EVIL})],
        ),
        "the engine's records in other letters": (
            "Conda-Meta/history",
            [Hostile("p", {"Conda-Meta/history": EVIL})],
        ),
        "a symlink for the engine's records": (
            "CONDA-META",
            [Hostile("p", one, {"CONDA-META": victim})],
        ),
        "what the engine keeps": ("__Clobbers__/x", [Hostile("p", {"__Clobbers__/x": EVIL})]),
        "a line break": ("a\\nb", [Hostile("p", {"a\nb": EVIL})]),
        "a hard link out": (
            "p-1-0",
            [Hostile("p", odd={"x": (tarfile.LNKTYPE, f"{victim}/file")}, listed=FILE_X)],
        ),
        "a hard link upwards": (
            "p-1-0",
            [Hostile("p", odd={"x": (tarfile.LNKTYPE, upwards)}, listed=FILE_X)],
        ),
    }


@pytest.mark.parametrize(
    ("how", "ending"), every([(how, ending) for how in leading_out("") for ending in FORMATS], 11)
)
def test_a_package_that_leads_out_is_refused_by_name(
    target: Attacked, how: str, ending: str
) -> None:
    told, packages = leading_out(str(target.victim))[how]
    target.offer(packages, ending)
    said = target.refusal()
    assert told in said
    assert f"-1-0{ending}" in said
    target.deploys_what_is_harmless()


# Members and the modes that they come with.
MODES = {"setuid": 0o4755, "setgid": 0o2755, "open": 0o6777, "written": 0o666, "closed": 0}
OF_DIRECTORIES = {"open": 0o777, "sticky": 0o1777, "setgid": 0o2777, "closed": 0}


def of_all_modes() -> Hostile:
    """Return a package with every mode of files in directories of every mode."""
    directories = {f"share/{name}": mode for name, mode in OF_DIRECTORIES.items()}
    modes = {f"{top}/{name}": mode for top in directories for name, mode in MODES.items()}
    return Hostile("p", dict.fromkeys(modes, EVIL), modes={**directories, **modes, "info": 0o777})


@pytest.mark.parametrize("ending", FORMATS)
def test_modes_are_those_of_a_sealed_tree_whatever_a_package_says(
    target: Attacked, ending: str
) -> None:
    target.offer([of_all_modes()], ending)
    target.builds()
    assert EVIL == (target.environment / "share/closed/closed").read_bytes()
    nobody_else_writes(Path(target.layout.cache, "p-1-0"))
    target.deploys_what_is_harmless()


@pytest.mark.parametrize("ending", FORMATS)
def test_nobody_else_can_write_in_the_cache_what_a_refused_package_opens_to_all(
    target: Attacked, ending: str
) -> None:
    target.offer([of_all_modes()._replace(listed=[("missing", "hardlink")])], ending)
    assert f"p-1-0{ending}" in target.refusal()
    nobody_else_writes(Path(target.layout.cache, "p-1-0"))
    target.deploys_what_is_harmless()


def nobody_else_writes(top: Path) -> None:
    """Fail if somebody else can write something in a tree, or runs something as its owner."""
    for path in (top, *top.rglob("*")):
        assert 0 == stat.S_IMODE(path.stat().st_mode) & 0o6022, path


def clashing() -> dict[str, tuple[str, Sequence[Hostile]]]:
    """Return packages of which one would lose a file or be written into, and the path."""
    real = {"share/real/f": b"x"}
    command = Hostile("p", MODULE, link=points("tool"), depends=["python"], **FOR_ANY)
    file, link, directory = {"share/x": b"x"}, {"share/x": "real"}, {"share/x/y": b"y"}
    return {
        "a file and a directory": ("share/x", [Hostile("p", file), Hostile("q", directory)]),
        "a symlink and a directory": (
            "share/x",
            [Hostile("p", real, link), Hostile("q", directory)],
        ),
        "a command and a file": ("bin/tool", [command, Hostile("q", {"bin/tool": b"x"})]),
        "a command and a symlink": (
            "bin/tool",
            [command, Hostile("q", {"bin/q": b"x"}, {"bin/tool": "q"})],
        ),
        "two commands": (
            "bin/tool",
            [command, command._replace(name="q", files={"site-packages/y.py": b""}, link=OTHER)],
        ),
    }


OTHER = {
    "noarch": {"type": "python", "entry_points": ["tool = other:main"]},
    "package_metadata_version": 1,
}


@pytest.mark.parametrize(
    ("how", "ending"), every([(how, ending) for how in clashing() for ending in FORMATS], 4)
)
def test_packages_that_clash_are_refused_by_name(target: Attacked, how: str, ending: str) -> None:
    path, packages = clashing()[how]
    target.offer(packages, ending)
    said = target.refusal()
    assert f"{path} is in " in said
    assert (True, True) == (f"p-1-0{ending} as " in said, f"q-1-0{ending} as " in said), said
    target.deploys_what_is_harmless()


@pytest.mark.parametrize("ending", FORMATS)
def test_of_two_files_of_one_path_one_is_there_and_that_is_told(
    target: Attacked, ending: str
) -> None:
    target.offer([Hostile(name, {"share/x": name.encode()}) for name in ("p", "q")], ending)
    assert f"share/x is in q-1-0{ending} and in p-1-0{ending}: that of p-1-0" in target.builds()
    assert "p" == (target.environment / "share/x").read_text()
    cache = Path(target.layout.cache)
    assert ["p", "q"] == [(cache / f"{name}-1-0/share/x").read_text() for name in ("p", "q")]
    target.deploys_what_is_harmless()


@pytest.mark.parametrize("ending", FORMATS)
def test_scripts_that_a_package_wants_run_are_told_by_name_and_not_run(
    target: Attacked, ending: str
) -> None:
    script = f"#!/bin/sh\ntouch {target.victim}/ran $PREFIX/ran\n".encode()
    names = [f".p-{when}.sh" for when in ("post-link", "pre-link", "pre-unlink", "post-unlink")]
    scripts = {f"bin/{name}": script for name in names}
    package = Hostile("p", scripts, modes=dict.fromkeys(scripts, 0o755))
    target.offer([package], ending)
    said = target.builds()
    for name in (".p-post-link.sh", ".p-pre-link.sh"):
        assert f"{name} was not run" in said
    target.deploys_what_is_harmless()
    assert 0 == target.ask("prune", "--keep", "0", "--older-than", "0d").code
    assert ["file"] == os.listdir(target.victim)


@pytest.mark.parametrize(
    ("deep", "ending"),
    every([(deep, ending) for deep in (150, 250, 1000) for ending in FORMATS], 2),
)
def test_a_deep_tree_is_built_or_refused(target: Attacked, deep: int, ending: str) -> None:
    path = f"{'d/' * deep}f"
    target.offer([Hostile("p", {path: EVIL})], ending)
    if deep < 200:
        target.builds()
    else:
        assert "p-1-0" in target.refusal()
    target.deploys_what_is_harmless()


@pytest.mark.parametrize("ending", FORMATS)
def test_devices_and_pipes_of_an_archive_are_never_made(target: Attacked, ending: str) -> None:
    kinds = {"x": tarfile.FIFOTYPE, "y": tarfile.CHRTYPE, "z": tarfile.BLKTYPE, "o": b"Z"}
    odd = {name: (kind, "") for name, kind in kinds.items()}
    listed = [(name, "hardlink") for name in odd]
    target.offer([Hostile("p", {"a": EVIL}, listed=listed, odd=odd)], ending)
    target.builds()
    for top in (target.environment, Path(target.layout.cache, "p-1-0")):
        assert [0] * len(odd) == [(top / name).stat().st_size for name in odd]
        assert all((top / name).is_file() for name in odd)
    target.deploys_what_is_harmless()


def test_a_wheel_that_clashes_with_a_package_is_refused_by_name(target: Attacked) -> None:
    pytest.importorskip("uv")
    with_python = target.new_channel()
    python().write(with_python)
    modules = f"lib/python{PYTHON}/site-packages"
    for ending in FORMATS:
        wheels = write_wheel(target.place / "wheels", "w", "1", more={"pk/x.py": ""}).parent
        pip = f"['--no-index', '--find-links {wheels.as_uri()}', w]"
        package = Hostile("p", {f"{modules}/pk": EVIL})
        target.offer([package], ending, "python", f"pip: {pip}", channels=[with_python])
        said = target.refusal()
        assert f"{modules}/pk is in p-1-0{ending} as a file and in w 1 as a directory" in said
    target.deploys_what_is_harmless()


class TestHuge:
    @pytest.fixture(params=FORMATS)
    def ending(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def small(self, tmp_path: Path) -> Iterator[Attacked]:
        """A target on a filesystem of few bytes and few files."""
        require_root()
        options = "size=24m,nr_inodes=1500"
        subprocess.run(
            [require_tool("mount"), "-t", "tmpfs", "-o", options, "none", tmp_path], check=True
        )
        yield Attacked(tmp_path)
        subprocess.run(["umount", tmp_path], check=True)

    @pytest.mark.parametrize("what", ["bytes", "files"])
    def test_a_package_that_fills_the_filesystem_is_refused(
        self, small: Attacked, ending: str, what: str
    ) -> None:
        """It packs so well that nobody can foresee how large it is."""
        files = {"x": bytes(64 << 20)} if what == "bytes" else {f"x{n}": b"" for n in range(2000)}
        small.offer([Hostile("p", files)], ending)
        said = small.refusal()
        assert "No space left on device" in said
        assert f"p-1-0{ending}" in said
        small.deploys_what_is_harmless()

    def test_a_package_of_very_many_files_is_built(self, target: Attacked, ending: str) -> None:
        files = {f"d{n % 97}/x{n}": b"%d" % n for n in range(times(2_000, 50_000))}
        target.offer([Hostile("p", files)], ending)
        target.builds()
        target.deploys_what_is_harmless()


class TestHanging:
    """Something never ends; the deploy does, soon after its limit."""

    def gives_up(self, target: Attacked) -> str:
        begun = time.monotonic()
        said = target.refusal("--timeout", str(LIMIT_S))
        assert time.monotonic() - begun < 30
        return said

    @pytest.mark.parametrize("ending", [*FORMATS, "repodata.json"])
    def test_a_server_that_accepts_and_says_nothing(self, target: Attacked, ending: str) -> None:
        channel = target.place / "hanging"
        Hostile("p", {"a": EVIL}).write(channel, ending if ending in FORMATS else FORMATS[0])
        with Hanging(channel, ending) as server:
            target.want_from(server.url, "p")
            said = self.gives_up(target)
        assert f"connected to {server.url.removeprefix('http://')}" in said
        target.deploys_what_is_harmless()

    def test_a_python_that_hangs(self, target: Attacked) -> None:
        """The engine has it compile the modules of packages."""
        files = {"bin/python": b"#!/bin/sh\nexec sleep 600\n"}
        told = {"version": "3.12.0"}
        hanging = Hostile("python", files, modes={"bin/python": 0o755}, index=told, record=told)
        target.offer([hanging, Hostile("p", MODULE, **FOR_ANY)], ".conda")
        said = self.gives_up(target)
        assert "it waits for " in said
        wait_until_ended(int(said.partition(", process ")[2].split()[0]))
        target.deploys_what_is_harmless()

    @pytest.mark.parametrize(
        ("ending", "script"),
        [(".tar.bz2", "while :; do sleep 1; done"), (".conda", "setsid sleep 601 & wait")],
    )
    def test_a_profile_s_script_that_never_ends(
        self, target: Attacked, ending: str, script: str
    ) -> None:
        path = "etc/conda/activate.d/p.sh"
        target.offer([Hostile("p", {path: f"{script}\n".encode()})], ending)
        assert f"conda/envs/tools/{path} did not end within {LIMIT_S} s" in self.gives_up(target)
        target.deploys_what_is_harmless()
