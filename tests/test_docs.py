"""What people read is true: the examples are run, the tables are compared."""

import os
import re
import subprocess
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest

import house
import picture
import tierctl
from program import Program, installed
from targets import make_target
from tierctl.cli.commands import COMMANDS
from tierctl.demo.channel import NOARCH, write_package
from tierctl.errors import TierctlError

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
# Where the examples live on the page, and what differs from run to run.
PLACE = "/software"
# What ``cli.main`` says of errors that are not tierctl's own.
OTHER_CODES = {"usage", "interrupted", "system", "defect"}
VARYING = [
    (r"\d{8}-\d{6}-[0-9a-f]{6}", "ID"),
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?Z?", "TIME"),
    (r"\S+ on \S+", "SOMEBODY"),
    (r"\S+( and the group \S+)? may change", "SOMEBODY may change"),
    (r"filesystem: \S+, mounted", "filesystem: TYPE, mounted"),
    (r"\(\d+ B\)", "(SIZE)"),
    (r"channels: \[\S+\]", "channels: [CHANNEL]"),
    (r" +", " "),
    (r"\t", " "),
]


def examples(page: str) -> list[tuple[str, str]]:
    """Return the commands of a page's console blocks, each with the output that it shows."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


def run(commands: list[str], directory: Path) -> list[str]:
    """Run commands in one shell and return what each printed."""
    mark = "-- next --"
    script = "".join(f"{command}\necho '{mark}'\n" for command in commands)
    environment = {
        **os.environ,
        "PATH": f"{Path(installed()).parent}:{os.environ['PATH']}",
        "HOME": str(directory),
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        ["bash", "-c", script.replace(PLACE, str(directory))],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return done.stdout.replace(str(directory), PLACE).split(f"{mark}\n")[:-1]


def prepare(directory: Path) -> None:
    """Have what the examples presuppose: definitions, and a channel to build them from."""
    channel = directory / "channel"
    write_package(channel, "libblas", "3.9", {"lib/blas": "blas"}, subdir=NOARCH)
    write_package(channel, "numpy", "2.1", {"numpy": "2"}, depends=["libblas"], subdir=NOARCH)
    write_package(channel, "numpy", "3.0", {"numpy": "3"}, depends=["libblas"], subdir=NOARCH)
    definitions = directory / "definitions"
    for name in ("environments", "tier/bin"):
        (definitions / name).mkdir(parents=True)
    (definitions / "tierctl.toml").write_text(f'target = "{directory}/lab"\n')
    (definitions / "environments" / "python.yaml").write_text(
        f"channels: [{channel.as_uri()}]\ndependencies: [numpy=2]\n"
    )
    plot = definitions / "tier" / "bin" / "plot"
    plot.write_text('#!/bin/sh\nexec python -m lab.plot "$@"\n')
    plot.chmod(0o755)


def steady(text: str) -> str:
    for pattern, instead in VARYING:
        text = re.sub(pattern, instead, text)
    return text


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_print_what_the_page_shows(page: str, tmp_path: Path) -> None:
    commands, outputs = zip(*examples(page), strict=True) if examples(page) else ((), ())
    prepare(tmp_path)
    printed = run(list(commands), tmp_path)
    assert [steady(text) for text in outputs] == [steady(text) for text in printed]


def test_the_examples_are_found() -> None:
    assert len(examples("README.md")) >= 4
    assert len(examples("docs/commands.md")) >= len(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name: str) -> None:
    commands = [command for command, _ in examples("docs/commands.md")]
    assert f"## `{name}`" in (ROOT / "docs/commands.md").read_text()
    assert any(f"tierctl {name}" in command for command in commands)
    assert f"`tierctl {name}`" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text()
    names = re.findall(r"`((?:tests|docs|src)/[\w/.]+\.\w+)`", text)
    names += re.findall(r"\]\(([\w/.]+\.(?:md|svg))\)", text)
    for name in names:
        assert (ROOT / name).exists() or (ROOT / "docs" / name).exists(), name


def documented(heading: str) -> set[str]:
    """Return the members that docs/json.md lists under a heading."""
    text = (ROOT / "docs/json.md").read_text()
    part = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \|", part, re.M)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_documents_have_the_members_that_are_documented(tierctl: Program, tmp_path: Path) -> None:
    make_target(tmp_path)
    common = {"schema", "command", "ok"}
    change = tierctl("promote-staging", "-t", tmp_path, "--json").document
    assert documented("`promote-staging`, `rollback`") == change.keys() - common
    assert documented("Events") == change["event"].keys()
    status = tierctl("status", "-t", tmp_path, "--json").document
    assert documented("`status`") == status.keys() - common
    diff = tierctl("diff", "-t", tmp_path, "--json").document
    assert documented("`diff`") == diff.keys() - common
    verify = tierctl("verify", "-t", tmp_path, "--json").document
    assert documented("`verify`") == verify.keys() - common
    doctor = tierctl("doctor", "-t", tmp_path, "--json").document
    assert documented("`doctor`") == doctor.keys() - common
    assert {"severity", "subject", "text", "meaning", "advice"} == doctor["findings"][0].keys()


@pytest.mark.parametrize("name", ["history", "bootstrap"])
def test_the_documents_of_what_makes_no_change_are_documented_too(
    tierctl: Program, tmp_path: Path, name: str
) -> None:
    made = tierctl("bootstrap", tmp_path / "lab", "--json").document
    all_of_it = tierctl("history", "-t", tmp_path / "lab", "--json").document
    one = tierctl("history", made["event"]["id"], "-t", tmp_path / "lab", "--json").document
    members = made.keys() if name == "bootstrap" else all_of_it.keys() | one.keys()
    assert documented(f"`{name}`") == members - {"schema", "command", "ok"}


def test_an_error_has_the_members_that_are_documented(tierctl: Program, tmp_path: Path) -> None:
    document = tierctl("status", "-t", tmp_path, "--json").document
    assert {"schema", "command", "ok", "error"} == document.keys()
    assert {"code", "message", "hint"} == document["error"].keys()


def test_every_error_code_is_documented() -> None:
    for module in walk_packages(tierctl.__path__, "tierctl."):
        if not module.name.endswith((".__main__", ".worker")):  # these are programs
            import_module(module.name)
    text = (ROOT / "docs/json.md").read_text().partition("## Error codes\n")[2]
    codes = set(re.findall(r"^\| `([a-z-]+)` \|", text, re.M))
    assert codes == {kind.code for kind in kinds(TierctlError)} | OTHER_CODES


def kinds(kind: type[TierctlError]) -> list[type[TierctlError]]:
    """Return a class of errors and all that are derived from it."""
    return [kind, *(below for derived in kind.__subclasses__() for below in kinds(derived))]


def test_the_picture_of_the_house_shows_the_rooms_that_there_are() -> None:
    """Else: python tests/house.py > docs/house.svg."""
    assert (ROOT / "docs/house.svg").read_text() == house.draw()


def test_the_picture_shows_what_status_shows(tmp_path: Path) -> None:
    drawn = picture.words(picture.draw(tmp_path / "lab"))
    assert picture.words((ROOT / "docs/status.svg").read_text()) == drawn
    assert "deployment 42" in drawn


def named_tests() -> list[tuple[str, str]]:
    """Return the tests that docs/guarantees.md names: the file, and the name if there is one."""
    table = (ROOT / "docs" / "guarantees.md").read_text()
    found, file = [], ""
    for path, name in re.findall(r"`([\w/]+\.py)?(?:::([\w:]+))?`", table):
        file = path or file
        if path or name:
            found.append((file, name))
    return found


def test_each_promise_has_a_figure() -> None:
    rows = (ROOT / "docs" / "guarantees.md").read_text().splitlines()
    figures = [row.rsplit("|", 2)[1].strip() for row in rows if ".py" in row and "|" in row]
    assert len(figures) > 20
    assert [] == [figure for figure in figures if not figure or figure.isupper()]


def test_each_promise_names_tests_that_there_are() -> None:
    assert len(named_tests()) > 20
    for file, name in named_tests():
        text = (ROOT / "tests" / file).read_text()
        for part in filter(None, name.split("::")):
            assert re.search(rf"^ *(def|class) {part}\b", text, re.MULTILINE), (file, name)
