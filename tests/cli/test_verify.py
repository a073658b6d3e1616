"""``tierctl verify``: what was changed in a deployment is found, and nothing else is told."""

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archives import PLACEHOLDER, PYTHON, Package, python, write_wheel
from lab import Lab
from program import Ended, run_installed
from targets import make_deployment
from tierctl.demo.channel import NOARCH
from tools import as_user, require_root

pytest.importorskip("rattler")
pytest.importorskip("uv")

ENVIRONMENT = "conda/envs/tools"
SITE = f"{ENVIRONMENT}/lib/python{PYTHON}/site-packages"


def write_packages(channel: Path, wheels: Path) -> None:
    """Write packages with one file of each kind: of conda, and of pip."""
    python().write(channel)
    told = {"share/text": f"{PLACEHOLDER}/share\n".encode(), "share/tool": b"tool"}
    told["share/binary"] = f"\0{PLACEHOLDER}/share\0".encode()
    prefixed = {"share/text": "text", "share/binary": "binary"}
    Package("tool", "1", told, {"share/link": "tool"}, prefixed=prefixed).write(channel)
    modules = {"site-packages/greet.py": b"def main():\n    print('greet')\n"}
    points = ("greet = greet:main",)
    greet = Package("greet", "1", modules, depends=("python",), subdir=NOARCH, entry_points=points)
    greet.write(channel)
    write_wheel(wheels, "wave", "1.0")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A target whose staging shows one deployment with files of all kinds."""
    place = tmp_path_factory.mktemp("verify")
    lab = Lab(place)
    write_packages(lab.channel, place / "wheels")
    lab.write_environment(
        f"channels: ['{lab.channel.as_uri()}']\n"
        "dependencies:\n- python\n- tool\n- greet\n"
        f"- pip: [--no-index, --find-links {place / 'wheels'}, wave]\n"
    )
    bin_ = lab.definitions / "tier" / "bin"
    bin_.mkdir(parents=True)
    (bin_ / "own").write_text("#!/bin/sh\n")
    (bin_ / "own").chmod(0o755)
    (bin_ / "again").symlink_to("own")
    done = lab.deploy("staging")
    assert 0 == done.code, done.err
    return lab


@pytest.fixture
def top(built: Lab) -> Path:
    return Path(os.path.realpath(built.layout.within("staging")))


def verify(lab: Lab, *words: str) -> Ended:
    return run_installed("verify", "-t", lab.layout.top, *words)


def differences(lab: Lab, *words: str) -> list[tuple[str, str, str | None]]:
    """Return what is told of staging: path, what is wrong, package."""
    done = verify(lab, "staging", "--json", *words)
    (document,) = done.document["deployments"]
    found = [(each["path"], each["what"], each["package"]) for each in document["differences"]]
    assert (1 if found else 0, not found) == (done.code, done.document["ok"])
    return found


class Opened:
    """Has a path's directory open for changes, and closes it as it was."""

    def __init__(self, path: Path) -> None:
        self._directory = path.parent

    def __enter__(self) -> None:
        self._directory.chmod(0o755)

    def __exit__(self, *error: object) -> None:
        self._directory.chmod(0o555)


def flip(path: Path) -> Callable[[], object]:
    """Change a byte of a file, and neither its size nor its times."""
    before, status = path.read_bytes(), path.stat()
    changed = bytearray(before)
    changed[len(changed) // 2] ^= 1

    def write(data: bytes) -> None:
        path.chmod(0o644)
        path.write_bytes(data)
        path.chmod(status.st_mode & 0o7777)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    write(bytes(changed))
    return lambda: write(before)


EACH_KIND = {
    f"{ENVIRONMENT}/share/tool": "tool-1-0",
    f"{ENVIRONMENT}/share/text": "tool-1-0",
    f"{ENVIRONMENT}/share/binary": "tool-1-0",
    f"{ENVIRONMENT}/bin/greet": "greet-1-0",
    f"{ENVIRONMENT}/conda-meta/tool-1-0.json": "tool-1-0",
    f"{SITE}/greet.py": "greet-1-0",
    f"{SITE}/__pycache__/greet.cpython-{PYTHON.replace('.', '')}.pyc": "greet-1-0",
    f"{SITE}/wave.py": "wave 1.0",
    f"{ENVIRONMENT}/bin/wave": "wave 1.0",
    "bin/own": None,
    "etc/profile.sh": None,
    "etc/condarc": None,
    "logs/tools.log": None,
    "meta/packages.json": None,
    "meta/locks/tools.lock": None,
}


def test_what_was_built_is_whole(built: Lab, top: Path) -> None:
    names = sum(1 for _ in top.rglob("*")) + 1
    done = verify(built, "staging")
    expected = f"deployment {top.name} (staging) is what was built: {names} names compared\n"
    assert (0, expected) == (done.code, done.out)


@pytest.mark.parametrize(("path", "package"), EACH_KIND.items())
def test_a_flipped_bit_is_found(built: Lab, top: Path, path: str, package: str | None) -> None:
    restore = flip(top / path)
    try:
        assert [(path, "content", package)] == differences(built)
        assert [] == differences(built, "--quick")
    finally:
        restore()
    assert [] == differences(built)


@pytest.mark.parametrize(("path", "package"), EACH_KIND.items())
def test_a_file_that_is_missing_is_found(
    built: Lab, top: Path, path: str, package: str | None
) -> None:
    aside = built.definitions / "aside"
    with Opened(top / path):
        (top / path).rename(aside)
    try:
        missing = differences(built, "--quick")
    finally:
        with Opened(top / path):
            aside.rename(top / path)
    assert [(path, "missing", package)] == missing


@pytest.mark.parametrize("mode", [0o644, 0o464, 0o4444, 0o400])
@pytest.mark.parametrize("path", [f"{ENVIRONMENT}/share/tool", "etc", "."])
def test_a_mode_that_was_changed_is_found(built: Lab, top: Path, path: str, mode: int) -> None:
    before = (top / path).stat().st_mode & 0o7777
    (top / path).chmod(mode)
    try:
        assert (path, "mode") in [found[:2] for found in differences(built, "--quick")]
    finally:
        (top / path).chmod(before)


@pytest.mark.parametrize("path", ["new", "meta/new", f"{ENVIRONMENT}/bin/new", f"{SITE}/new.py"])
@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, os.mkfifo, lambda p: p.symlink_to("x")])
def test_a_name_that_was_not_built_is_found(
    built: Lab, top: Path, path: str, make: Callable[[Path], object]
) -> None:
    with Opened(top / path):
        make(top / path)
    try:
        assert [(path, "extra", None)] == differences(built, "--quick")
    finally:
        with Opened(top / path):
            (top / path).rmdir() if (top / path).is_dir() else (top / path).unlink()


@pytest.mark.parametrize(
    ("uid", "mode", "is_told"), [(0, 0o644, False), (0, 0o664, True), (10061, 0o644, True)]
)
def test_bytecode_that_root_s_python_has_added_is_no_difference(
    built: Lab, top: Path, uid: int, mode: int, is_told: bool
) -> None:
    require_root()
    path = f"{SITE}/__pycache__/more.cpython-311.opt-1.pyc"
    with Opened(top / path):
        (top / path).parent.mkdir(exist_ok=True)
    with Opened(top / path):
        (top / path).write_bytes(b"")
        (top / path).chmod(mode)
        os.chown(top / path, uid, -1)
    try:
        found = [found[:2] for found in differences(built, "--quick")]
        assert is_told is ((path, "extra") in found)
    finally:
        with Opened(top / path):
            (top / path).unlink()


def test_a_link_that_leads_elsewhere_is_found(built: Lab, top: Path) -> None:
    for path, target in (("bin/again", "own"), (f"{ENVIRONMENT}/share/link", "tool")):
        with Opened(top / path):
            (top / path).unlink()
            (top / path).symlink_to(target[::-1])
        found = differences(built, "--quick")
        with Opened(top / path):
            (top / path).unlink()
            (top / path).symlink_to(target)
        assert [(path, "content")] == [each[:2] for each in found]


def test_another_kind_in_the_place_is_found_and_nothing_behind_it_is_read(
    built: Lab, top: Path
) -> None:
    """A pipe would keep waiting who opens it."""
    path, aside = top / "bin" / "own", built.definitions / "aside"
    with Opened(path):
        path.rename(aside)
        os.mkfifo(path)
    try:
        assert [("bin/own", "kind", None)] == differences(built)
    finally:
        with Opened(path):
            path.unlink()
            aside.rename(path)


def test_a_directory_that_a_link_has_replaced_is_found(built: Lab, top: Path) -> None:
    """One to a copy that is the same byte for byte."""
    aside = built.definitions / "bin aside"
    with Opened(top / "bin"):
        (top / "bin").rename(aside)
        (top / "bin").symlink_to(aside)
    try:
        expected = [("bin", "kind"), ("bin/again", "missing"), ("bin/own", "missing")]
        assert expected == [found[:2] for found in differences(built)]
    finally:
        with Opened(top / "bin"):
            (top / "bin").unlink()
            aside.rename(top / "bin")


@pytest.fixture
def rewritten(built: Lab, top: Path) -> Iterator[Path]:
    """A manifest that the deployment's owner has written anew, after a change of a file."""
    manifest, changed = top / "meta" / "manifest", top / "logs" / "tools.log"
    before = manifest.read_text()
    old = hashlib.sha256(changed.read_bytes()).hexdigest()
    restore = flip(changed)
    new = hashlib.sha256(changed.read_bytes()).hexdigest()
    manifest.chmod(0o644)
    manifest.write_text(before.replace(old, new))
    manifest.chmod(0o444)
    yield manifest
    restore()
    manifest.chmod(0o644)
    manifest.write_text(before)
    manifest.chmod(0o444)


def test_a_manifest_that_was_rewritten_is_found_by_history(built: Lab, rewritten: Path) -> None:
    assert [("meta/manifest", "content", None)] == differences(built)
    assert [("meta/manifest", "content", None)] == differences(built, "--quick")


def test_an_event_that_was_added_for_it_changes_nothing(built: Lab, rewritten: Path) -> None:
    history = Path(built.layout.history)
    before = history.read_text()
    event = json.loads(before.splitlines()[-1])
    event["built"]["manifest"] = hashlib.sha256(rewritten.read_bytes()).hexdigest()
    history.write_text(before + json.dumps(event) + "\n")
    try:
        assert [("meta/manifest", "content", None)] == differences(built)
    finally:
        history.write_text(before)


def test_without_the_event_it_is_said_that_history_does_not_know_the_manifest(
    built: Lab, rewritten: Path
) -> None:
    history = Path(built.layout.history)
    before = history.read_text()
    history.write_text("".join(line for line in before.splitlines(True) if "built" not in line))
    try:
        done = verify(built, "staging")
        assert (0, True) == (done.code, "; history does not know its manifest" in done.out)
    finally:
        history.write_text(before)


@pytest.mark.parametrize("text", ["", "{}", "#mtree\n"])
def test_a_manifest_that_is_none_is_told(built: Lab, top: Path, text: str) -> None:
    manifest = top / "meta" / "manifest"
    before = manifest.read_bytes()
    manifest.chmod(0o644)
    manifest.write_text(text)
    done = verify(built, "staging")
    manifest.write_bytes(before)
    manifest.chmod(0o444)
    assert (1, True) == (done.code, "meta/manifest" in done.out)


def test_a_manifest_that_is_missing_is_found(built: Lab, top: Path) -> None:
    manifest, aside = top / "meta" / "manifest", built.definitions / "aside"
    with Opened(manifest):
        manifest.rename(aside)
    try:
        assert [("meta/manifest", "missing", None)] == differences(built, "--quick")
    finally:
        with Opened(manifest):
            aside.rename(manifest)


def test_what_users_and_other_commands_do_is_no_difference(built: Lab, top: Path) -> None:
    require_root()
    target = built.layout.top
    for parent in (Path(target), *Path(target).parents):
        parent.chmod(parent.stat().st_mode | 0o005)
    python = str(top / ENVIRONMENT / "bin" / "python")
    shell = f". '{top}/etc/profile.sh'; greet; wave; {python} -O -c 'import greet, wave'"
    run("env", "-u", "PYTHONDONTWRITEBYTECODE", *as_user(10041), "bash", "-c", shell)
    assert 0 == built.deploy("dev1", "--rebuild").code
    for words in (["promote-staging"], ["rollback"], ["doctor"], ["prune", "--keep", "0"]):
        run_installed(*words, "-t", target)
    (content,) = verify(built, top.name, "--json").document["deployments"]
    assert [] == content["differences"]


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def test_doctor_tells_of_what_is_shown(built: Lab, top: Path) -> None:
    with Opened(top / "bin" / "own"):
        (top / "bin" / "new").touch()
    done = run_installed("doctor", "-n", "-t", built.layout.top)
    with Opened(top / "bin" / "own"):
        (top / "bin" / "new").unlink()
    assert 1 == done.code
    assert "is not what was built:\n         bin/new was not built: a file\n" in done.out
    assert f"tierctl verify {top.name} --target {built.layout.top}\n" in done.out


def test_without_a_manifest_nothing_can_be_said(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    make_deployment(lab.layout, 7)
    done = verify(lab, "7")
    assert 1 == done.code
    assert done.out.startswith("deployment 7 cannot be verified: it has no manifest: ")
    document = verify(lab, "7", "--json").document
    assert (False, None) == (document["ok"], document["deployments"][0]["whole"])


def test_many_differences_are_counted(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.deploy("staging")
    top = Path(os.path.realpath(lab.layout.within("staging")))
    (top / "bin").chmod(0o755)
    for number in range(30):
        (top / "bin" / f"new{number}").touch()
    done = verify(lab)
    assert "and 11 more; --json lists all" in done.out  # the directory itself is one
    assert 31 == len(differences(lab))


class TestADeployOfWhatIsThereAlready:
    def test_builds_it_anew_if_it_is_damaged(self, tmp_path: Path) -> None:
        lab = Lab(tmp_path)
        lab.deploy("dev1")
        hello = Path(os.path.realpath(lab.layout.within("dev1")), ENVIRONMENT, "bin", "hello")
        with Opened(hello):
            hello.unlink()
        dry = lab.deploy("dev1", "-n")
        done = lab.deploy("dev1")
        expected = f"built anew: {ENVIRONMENT}/bin/hello (from hello-1.0-0) is missing\n"
        assert (0, 0) == (dry.code, done.code)
        assert expected in dry.err
        assert expected in done.err
        assert "hello 1.0\n" == lab.runs("dev1")
        assert "nothing to do" in lab.deploy("dev1").out

    def test_the_document_has_the_warning(self, tmp_path: Path) -> None:
        lab = Lab(tmp_path)
        lab.deploy("dev1")
        Path(os.path.realpath(lab.layout.within("dev1")), "etc").chmod(0o755)
        document = json.loads(lab.deploy("dev1", "--json").out)
        (warning,) = document["warnings"]
        assert warning.endswith("is built anew: etc has mode 0755 instead of mode 0555")
