"""``tierctl deploy`` of environments with a real Python: of conda, and of pip."""

import dataclasses
import hashlib
import struct
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from archives import PLACEHOLDER, PYTHON, Package, python, write_index, write_wheel
from lab import Hanging, Lab, Served, children, wait_until_ended
from program import installed, run_installed
from targets import listing
from thorough import every
from tierctl.demo.channel import NOARCH
from tierctl.fs.local import OsFileSystem
from tierctl.target import packages
from tierctl.target.target import Target

pytest.importorskip("rattler")
pytest.importorskip("uv")

BACK_AGAIN = ["promote-staging", "--force"]
PRUNE_ALL = ["prune", "--keep", "0", "--older-than", "0d"]
PREFIX = "conda/envs/tools"


def greet(version: str) -> Package:
    """Return a noarch package of two modules and a command."""
    return Package(
        "greet",
        version,
        {
            "site-packages/greet.py": f"def main():\n    print('greet {version}')\n".encode(),
            "site-packages/greet_later.py": f"VERSION = '{version}'\n".encode(),
            f"site-packages/greet-{version}.dist-info/METADATA": (
                f"Metadata-Version: 2.1\nName: greet\nVersion: {version}\n".encode()
            ),
        },
        depends=("python",),
        subdir=NOARCH,
        entry_points=("greet = greet:main",),
    )


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real Python, and what needs one."""
    top = tmp_path_factory.mktemp("channel")
    python().write(top)
    for version in ("1.0", "2.0", "3.0"):
        greet(version).write(top)
    return top


@pytest.fixture
def lab(tmp_path: Path, channel: Path) -> Lab:
    lab = Lab(tmp_path)
    lab.channel = channel
    lab.want("python, greet=1.0")
    return lab


class TestConda:
    def test_a_command_of_a_noarch_package_runs_in_its_own_environment(self, lab: Lab) -> None:
        assert 0 == lab.deploy("staging").code
        assert "greet 1.0\n" == lab.runs("staging", "greet")
        prefix = lab.runs("staging", "python", "-c", "import sys; print(sys.prefix)").strip()
        assert f"{lab.layout.within('deployments/2')}/{PREFIX}" == prefix

    def test_modules_that_came_without_bytecode_are_compiled(self, lab: Lab) -> None:
        lab.deploy("staging")
        modules = Path(lab.layout.within("staging"), PREFIX, "lib")
        (module,) = modules.glob("python*/site-packages/greet.py")
        (compiled,) = module.parent.glob("__pycache__/greet.*.pyc")
        modified, size = struct.unpack("<II", compiled.read_bytes()[8:16])
        assert (int(module.stat().st_mtime), module.stat().st_size) == (modified, size)

    def test_bytecode_that_a_package_brings_stays_as_it_is(self, lab: Lab) -> None:
        """Also one that does not fit its source any more: its size is in the record."""
        old = f"site-packages/__pycache__/stale.cpython-{PYTHON.replace('.', '')}.pyc"
        files = {"site-packages/stale.py": b"A = 1\n", old: b"bytecode of another time"}
        package = Package("stale", "1", files, depends=("python",), subdir=NOARCH, entry_points=())
        package.write(lab.channel)
        lab.want("python, stale")
        assert 0 == lab.deploy("staging").code
        (found,) = Path(lab.layout.within("staging"), PREFIX).glob(f"lib/python*/{old}")
        assert b"bytecode of another time" == found.read_bytes()

    def test_a_running_python_keeps_its_modules(self, lab: Lab) -> None:
        target = lab.layout.top
        lab.deploy("staging")
        run_installed("promote-staging", "-t", target)
        script = (
            "import greet; print(flush=True); input(); import greet_later as g; print(g.VERSION)"
        )
        with subprocess.Popen(
            [installed(), "run", "-t", target, "production", "python", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as running:
            assert running.stdout is not None
            assert "\n" == running.stdout.readline()
            for version in ("2.0", "3.0"):
                lab.want(f"python, greet={version}")
                assert 0 == lab.deploy("staging").code
            for words in (["promote-staging"], ["rollback"], BACK_AGAIN, PRUNE_ALL):
                done = run_installed(*words, "-t", target)
                assert 0 == done.code, done.err
            out, _ = running.communicate("\n")
        assert "1.0\n" == out
        assert "greet 3.0\n" == lab.runs("production", "greet")


class TestPrefix:
    @pytest.fixture
    def built(self, lab: Lab, tmp_path: Path) -> Path:
        files = {
            "bin/where": f"#!/bin/sh\necho {PLACEHOLDER}/share\n".encode(),
            "lib/where.bin": b"\x00\x01" + f"{PLACEHOLDER}/share\x00".encode() + b"\x02end",
            "share/plain": b"plain",
        }
        prefixed = {"bin/where": "text", "lib/where.bin": "binary"}
        links = {"share/link": "plain", "lib/up": "../share/plain"}
        lab.channel = tmp_path / "channel"
        Package("where", "1", files, links, prefixed).write(lab.channel)
        lab.want("where")
        assert 0 == lab.deploy("staging").code
        return Path(lab.layout.within("deployments/2"), PREFIX)

    def test_it_is_written_into_texts(self, lab: Lab, built: Path) -> None:
        assert f"{built}/share\n" == lab.runs("staging", "where")

    def test_and_into_binaries_which_keep_their_size(self, built: Path) -> None:
        data = (built / "lib/where.bin").read_bytes()
        text = f"{built}/share".encode()
        assert b"\x00\x01" + text + b"\x00" == data[: len(text) + 3]
        assert (b"\x02end", 2 + len(PLACEHOLDER) + len("/share") + 1 + 4) == (data[-4:], len(data))

    def test_links_are_as_they_were(self, built: Path) -> None:
        for link, leads_to in (("share/link", "plain"), ("lib/up", "../share/plain")):
            assert leads_to == str((built / link).readlink())
            assert "plain" == (built / link).read_text()


class TestPip:
    @pytest.fixture
    def wheels(self, lab: Lab) -> Path:
        """Return a directory of wheels beside the environment that wants one of them."""
        found = lab.definitions / "environments" / ".wheels"
        write_wheel(found, "wave", "1.0", requires="base>=2")
        write_wheel(found, "base", "1.0")
        write_wheel(found, "base", "2.0")
        self.want(lab, "--no-index", "--find-links .wheels", "wave")
        return found

    @staticmethod
    def want(lab: Lab, *lines: str, conda: str = "python", channel: str | None = None) -> None:
        section = "".join(f"  - {line}\n" for line in lines)
        lab.write_environment(
            f"channels: ['{channel or lab.channel.as_uri()}']\n"
            f"dependencies:\n- {conda}\n- pip:\n{section}"
        )

    def test_wheels_are_installed_with_what_they_need(self, lab: Lab, wheels: Path) -> None:
        assert {"added": 3} == lab.deploy("staging", "--json").document["packages"]
        assert "wave 1.0\n" == lab.runs("staging", "wave")
        assert "base 2.0\n" == lab.runs("staging", "base")

    @pytest.mark.parametrize("text", [None, "", "{"])
    def test_a_package_that_is_damaged_in_the_cache_keeps_no_pip_section_from_being_solved(
        self, lab: Lab, wheels: Path, text: str | None
    ) -> None:
        self.want(lab, "--no-index", "--find-links .wheels", "wave", conda="python\n- greet=1.0")
        lab.deploy("staging")
        listed = Path(lab.layout.cache, "greet-1.0-0", "info", "paths.json")
        listed.unlink()
        if text is not None:
            listed.write_text(text)
        assert 0 == lab.deploy("staging", "-n", "--rebuild").code
        done = lab.deploy("staging", "--rebuild")
        assert (0, "greet 1.0\n") == (done.code, lab.runs("staging", "greet")), done.err

    def test_a_wheel_may_spell_its_version_otherwise(self, lab: Lab, wheels: Path) -> None:
        write_wheel(wheels, "zones", "2024.01")
        self.want(lab, "--no-index", "--find-links .wheels", "zones")
        done = lab.deploy("staging")
        assert (0, "zones 2024.01\n") == (done.code, lab.runs("staging", "zones")), done.err

    def test_they_are_in_the_records_with_their_sha256(self, lab: Lab, wheels: Path) -> None:
        lab.deploy("staging")
        sha256 = hashlib.sha256((wheels / "wave-1.0-py3-none-any.whl").read_bytes()).hexdigest()
        found = packages.read(Target(OsFileSystem(), lab.layout), "deployments/2")["tools"]
        assert [("1.0", "", sha256)] == [
            (each.version, each.channel, each.sha256) for each in found if each.name == "wave"
        ]
        assert sha256 in Path(lab.layout.lock_record("deployments/2", "tools")).read_text()

    def test_like_takes_them_from_the_lock(self, lab: Lab, wheels: Path) -> None:
        lab.deploy("staging")
        write_wheel(wheels, "wave", "2.0")
        assert 0 == lab.deploy("dev1", "--like", "staging").code
        assert "wave 1.0\n" == lab.runs("dev1", "wave")
        found = run_installed("diff", "-t", lab.layout.top, "staging", "dev1", "--exit-code")
        assert 0 == found.code

    def test_an_unchanged_section_builds_nothing_and_a_new_wheel_does(
        self, lab: Lab, wheels: Path
    ) -> None:
        lab.deploy("staging")
        assert "nothing to do" in lab.deploy("staging").out
        write_wheel(wheels, "wave", "2.0")
        assert "tools  upgraded  wave  1.0 -> 2.0" in lab.deploy("staging", "-n").out
        lab.deploy("staging")
        assert "wave 2.0\n" == lab.runs("staging", "wave")

    def test_a_dry_run_writes_nothing(self, lab: Lab, wheels: Path) -> None:
        before = listing(lab.layout.top)
        assert "tools  added  wave    1.0" in lab.deploy("staging", "-n").out
        assert before == listing(lab.layout.top)

    def test_what_conda_installs_counts(self, lab: Lab, wheels: Path) -> None:
        write_wheel(wheels, "polite", "1.0", requires="greet>=1")
        self.want(lab, "--no-index", "--find-links .wheels", "polite", conda="python\n- greet=2.0")
        assert 0 == lab.deploy("staging").code
        assert "polite 1.0\n" == lab.runs("staging", "polite")
        assert "greet 2.0\n" == lab.runs("staging", "greet")

    @pytest.mark.parametrize("served", [True, False])
    def test_what_conda_calls_otherwise_counts_too(
        self, lab: Lab, wheels: Path, served: bool
    ) -> None:
        base = dataclasses.replace(greet("2.0"), name="greet-base")
        base.write(lab.channel)
        write_wheel(wheels, "polite", "1.0", requires="greet>=1")
        with Served(lab.channel) as server:
            self.want(
                lab,
                "--no-index",
                "--find-links .wheels",
                "polite",
                conda="python\n- greet-base",
                channel=server.url if served else None,
            )
            done = lab.deploy("staging")
        assert 0 == done.code, done.err
        assert "polite 1.0\n" == lab.runs("staging", "polite")

    def test_what_conda_installs_is_not_taken_for_another_version(
        self, lab: Lab, wheels: Path
    ) -> None:
        write_wheel(wheels, "polite", "1.0", requires="greet>=3")
        write_wheel(wheels, "greet", "3.0")
        self.want(lab, "--no-index", "--find-links .wheels", "polite", conda="python\n- greet=2.0")
        done = lab.deploy("staging")
        assert (1, True) == (done.code, "greet==2.0" in done.err)

    def test_what_no_index_has_is_told(self, lab: Lab, wheels: Path) -> None:
        self.want(lab, "--no-index", "--find-links .wheels", "wave>=7")
        done = lab.deploy("staging")
        assert (1, True) == (done.code, "wave>=7" in done.err), done.err

    def test_a_wheel_that_is_not_the_locked_one_is_refused(self, lab: Lab, wheels: Path) -> None:
        lab.deploy("staging")
        write_wheel(wheels, "wave", "1.0", requires="base<9")
        done = lab.deploy("dev1", "--like", "staging")
        assert (1, True) == (done.code, "Hash mismatch" in done.err), done.err

    def test_an_index_is_asked_over_http_and_offline_the_cache_is(
        self, lab: Lab, wheels: Path, tmp_path: Path
    ) -> None:
        write_index(tmp_path / "index", wheels)
        with Served(tmp_path / "index") as server:
            self.want(lab, f"--index-url {server.url}", "wave")
            done = lab.deploy("staging")
            assert 0 == done.code, done.err
        assert "wave 1.0\n" == lab.runs("staging", "wave")
        done = lab.deploy("dev1", "--offline")
        assert (0, "wave 1.0\n") == (done.code, lab.runs("dev1", "wave")), done.err
        assert "tools  added  wave    1.0" in lab.deploy("dev2", "--offline", "-n").out
        self.want(lab, f"--index-url {server.url}", "other")
        done = lab.deploy("dev2", "--offline")
        assert (1, True) == (done.code, "other was not found in the cache" in done.err)

    def test_a_prune_removes_wheels_that_no_deployment_holds_any_more(
        self, lab: Lab, wheels: Path
    ) -> None:
        lab.deploy("dev1")
        self.want(lab, "--no-index", "--find-links .wheels", "base")
        lab.deploy("dev1")
        target = ("-t", lab.layout.top)
        dry = run_installed(*PRUNE_ALL, *target, "--json", "-n").document
        done = run_installed(*PRUNE_ALL, *target, "--json").document
        assert (["wave-1.0"], ["wave-1.0"]) == (dry["cached"], done["cached"])
        assert [] == list(Path(lab.layout.cache, "uv").rglob("wave.py"))
        assert [] != list(Path(lab.layout.cache, "uv").rglob("base.py"))
        assert "base 2.0\n" == lab.runs("dev1", "base")

    def test_what_conda_has_is_remembered_once(self, lab: Lab, wheels: Path) -> None:
        self.want(lab, "--no-index", "--find-links .wheels", "wave", conda="python\n- greet=2.0")
        counts = []
        for tier in ("dev1", "dev2"):
            assert 0 == lab.deploy(tier).code
            counts.append(len(list(Path(lab.layout.cache, "uv").glob("[!i]*/**/*"))))
        assert counts[0] == counts[1] > 0

    def test_a_wheel_over_a_packages_file_is_told_and_all_else_stays(
        self, lab: Lab, wheels: Path
    ) -> None:
        """As pip's opencv-python-headless over conda's opencv."""
        module = f"lib/python{PYTHON}/site-packages/wave.py"
        Package("far", "1.0", {module: b"conda's"}, depends=("python",)).write(lab.channel)
        lab.want("python, far")
        assert 0 == lab.deploy("dev1").code
        kept = (Path(lab.layout.within("dev1")), Path(lab.layout.cache, "far-1.0-0"))
        before = [listing(path) for path in kept]
        self.want(lab, "--no-index", "--find-links .wheels", "wave", conda="python\n- far")
        for words in (["-n"], [], []):
            done = lab.deploy("dev2", *words)
            told = f"{module} is in far-1.0-0.tar.bz2 and in wave 1.0: that of wave 1.0 is used"
            assert (0, True) == (done.code, told in done.err), done.err
        assert "wave 1.0\n" == lab.runs("dev2", "wave")
        assert before == [listing(path) for path in kept]

    def test_uv_ends_with_the_deploy(self, lab: Lab, wheels: Path, tmp_path: Path) -> None:
        write_index(tmp_path / "index", wheels)
        with Hanging(tmp_path / "index", ".whl") as server:
            self.want(lab, f"--index-url {server.url}", "wave")
            running = subprocess.Popen(lab.command("dev1"), stderr=subprocess.DEVNULL)
            server.wait_for_an_archive()
            (worker,) = children(running.pid)
            (uv,) = children(worker)
            running.kill()
            running.wait()
            wait_until_ended(uv)

    @pytest.mark.parametrize("damage", ["lost", "gained", "changed", "list lost"])
    def test_a_wheel_that_the_cache_has_damaged_is_fetched_anew(
        self, lab: Lab, wheels: Path, damage: str
    ) -> None:
        write_wheel(wheels, "wave", "1.0", requires="base>=2", digests=True)
        lab.deploy("staging")
        (module,) = Path(lab.layout.cache, "uv").rglob("wave.py")
        match damage:
            case "lost":
                module.unlink()
            case "gained":
                (module.parent / "gained.py").touch()
            case "changed":
                text = module.read_text().replace("wave 1.0", "evil 6.6")
                module.unlink()
                module.write_text(text)
            case "list lost":
                next(module.parent.glob("wave-*/RECORD")).unlink()
        done = lab.deploy("dev1")
        assert (0, "wave 1.0\n") == (done.code, lab.runs("dev1", "wave")), done.err
        prefix = Path(lab.layout.within("dev1"), PREFIX)
        assert [] == list(prefix.rglob("gained.py"))
        assert not (prefix / ".tierctl-wheels").exists()

    def test_a_wheel_that_is_not_what_it_lists_is_told(self, lab: Lab, wheels: Path) -> None:
        write_wheel(wheels, "wave", "1.0", digests=True, but={"wave.py": "sha256=AAAA"})
        done = lab.deploy("staging")
        assert (1, True) == (done.code, "even after it was fetched anew" in done.err), done.err
        assert "wave 1.0: 'lib/python" in done.err
        assert "wave.py' has another sha256 than it lists" in done.err

    @pytest.mark.parametrize(
        "member",
        [
            "../../../../evil",
            "/evil",
            "wave-1.0.data/data/../../evil",
            "wave-1.0.data/scripts/../x",
        ],
    )
    def test_a_wheel_writes_nothing_outside(self, lab: Lab, wheels: Path, member: str) -> None:
        write_wheel(wheels, "wave", "1.0", more={member: "evil"})
        before = listing(lab.layout.within("green"))
        lab.deploy("staging")  # uv leaves out such members, or fails
        assert before == listing(lab.layout.within("green"))
        there = {*lab.definitions.parent.rglob("evil"), *lab.definitions.parent.rglob("x")}
        assert {path for path in there if not {"uv", "envs"} & {*path.parts}} == set()

    def test_a_wheel_brings_no_records_of_the_engine(self, lab: Lab, wheels: Path) -> None:
        write_wheel(wheels, "wave", "1.0", more={"wave-1.0.data/data/conda-meta/history": "evil"})
        done = lab.deploy("staging")
        assert (1, True) == (done.code, "wave 1.0: it brings 'conda-meta/history'" in done.err), (
            done.err
        )

    def test_a_wheel_is_not_unpacked_through_a_symlink_of_a_package(
        self, lab: Lab, wheels: Path, tmp_path: Path
    ) -> None:
        victim = tmp_path / "victim"
        victim.mkdir()
        Package("links", "1", {"x": b"x"}, {"share": str(victim)}).write(lab.channel)
        write_wheel(wheels, "wave", "1.0", more={"wave-1.0.data/data/share/evil": "evil"})
        self.want(lab, "--no-index", "--find-links .wheels", "wave", conda="python\n- links")
        done = lab.deploy("staging")
        assert (1, True) == (done.code, "wave 1.0: it brings 'share/evil': the symlink" in done.err)
        assert [] == list(victim.iterdir())


ODD = (
    *("a#b", "a%20b", "a%", "a?b", "a b", "a'b", "aé", "a*b", "a[b]", "a;b", "a&b", "a(b)", "~"),
    *("@v", "a,b", "a=b", "a|b", "a!b", "a<b", "-a", "a{b}"),
)


@pytest.mark.parametrize("name", every(ODD, 4))
def test_a_target_can_have_any_name(tmp_path: Path, channel: Path, name: str) -> None:
    """One that bootstrap takes; and so can definitions, channels and directories of wheels."""
    (tmp_path / name).mkdir()
    lab = Lab(tmp_path / name)
    lab.channel = tmp_path / name / "c"
    for path in channel.rglob("*"):
        if path.is_file():
            copied = lab.channel / path.relative_to(channel)
            copied.parent.mkdir(parents=True, exist_ok=True)
            copied.write_bytes(path.read_bytes())
    where = {"bin/where": f"#!/bin/sh\necho '{PLACEHOLDER}'\n".encode()}
    Package("where", "1", where, prefixed={"bin/where": "text"}).write(lab.channel)
    write_wheel(lab.definitions / "wheels", "wave", "1.0")
    lab.write_environment(
        "channels: [../../c]\n"
        "dependencies: [python, greet=1.0, where, {pip: [--no-index, -f ../wheels, wave]}]\n"
    )
    assert 0 == lab.deploy("staging", "-n").code
    done = lab.deploy("staging")
    assert 0 == done.code, done.err
    for command, said in (("wave", "wave 1.0\n"), ("greet", "greet 1.0\n")):
        assert said == lab.runs("staging", command)
    prefix = lab.layout.within(f"deployments/2/{PREFIX}")
    assert f"echo '{prefix}'" in Path(prefix, "bin/where").read_text()
    assert "nothing to do" in lab.deploy("staging").out


def test_in_a_short_path_no_shell_reads_a_target_s_name(channel: Path) -> None:
    """A long one is refused: see the definitions' tests."""
    with TemporaryDirectory() as place:
        top = Path(place, 'a"$`b')
        top.mkdir()
        lab = Lab(top)
        lab.channel = channel
        lab.want("python, greet=1.0")
        done = lab.deploy("dev1")
        assert (0, "greet 1.0\n") == (done.code, lab.runs("dev1", "greet")), done.err
