"""The variables that environments set: which files count, in which order, and what is left out."""

import json
import os
from pathlib import Path

import pytest

from tierctl.deploy import variables
from tierctl.deploy.variables import Variables
from tierctl.fs import tree

LARGEST = 1 << 20


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A tree with two environments."""
    for name in ("one", "two"):
        (tmp_path / "envs" / name / "conda-meta").mkdir(parents=True)
    return tmp_path


def read(top: Path, *environments: str) -> Variables:
    with tree.held(str(top)) as held:
        return variables.read(held, "envs", environments or ("one", "two"))


def file(top: Path, name: str, content: object, environment: str = "one") -> Path:
    """Write a file of variables, from text, bytes, or values that JSON has."""
    path = top / "envs" / environment / "etc/conda/env_vars.d" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(content, (str, bytes)):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def state(top: Path, document: object, environment: str = "one") -> None:
    (top / "envs" / environment / "conda-meta/state").write_text(json.dumps(document))


def brought_by(top: Path, package: str, *paths: str) -> None:
    """Record that a package has brought files."""
    record = {"name": package, "version": "1.0", "files": ["share/x", *paths]}
    (top / "envs/one/conda-meta" / f"{package}-1.0-0.json").write_text(json.dumps(record))


def test_without_any_nothing_is_set(top: Path) -> None:
    state(top, {"version": 1})
    assert ({}, []) == read(top)


def test_files_count_by_name_and_the_state_after_them(top: Path) -> None:
    for name, value in (("b.json", "b"), ("a.json", "a"), ("B.json", "B")):
        file(top, name, {name[0]: value, "SAME": "same", "LAST": value, "STATE": value})
    state(top, {"version": 1, "env_vars": {"STATE": "state"}})
    found = read(top)
    wanted = {"a": "a", "b": "b", "B": "B", "SAME": "same", "LAST": "b", "STATE": "state"}
    assert wanted == found.values
    assert [
        "environment one: 'LAST' of etc/conda/env_vars.d/B.json is not set: "
        "etc/conda/env_vars.d/a.json has another value"
    ] == [text for text in found.warnings if "B.json" in text and "LAST" in text]
    assert any("conda-meta/state has another value" in text for text in found.warnings)


def test_what_the_state_says_is_unset_is_not_set(top: Path) -> None:
    file(top, "a.json", {"A": "a", "B": "b"})
    state(top, {"env_vars": {"A": "***unset***", "C": "***unset***"}})
    assert {"B": "b"} == read(top).values


def test_numbers_are_written_as_conda_writes_them(top: Path) -> None:
    file(top, "a.json", {"A": 1, "B": 2.5, "C": True, "D": "", "E": "01"})
    assert ({"A": "1", "B": "2.5", "C": "True", "D": "", "E": "01"}, []) == read(top)


def test_of_two_environments_the_first_on_path_counts(top: Path) -> None:
    file(top, "a.json", {"A": "1", "SAME": "x"})
    file(top, "b.json", {"A": "2", "SAME": "x", "OWN": "3"}, "two")
    found = read(top)
    assert {"A": "1", "SAME": "x", "OWN": "3"} == found.values
    (warning,) = found.warnings
    assert warning.startswith("environment two: 'A' of etc/conda/env_vars.d/b.json is not set: ")
    assert "2" == read(top, "two", "one").values["A"]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            " ",
            "A B",
            "A-B",
            "1A",
            "A=B",
            "A\nB",
            "é",
            "$(id)",
            "A;id",
            "a[0]",
            "A\0",
            "\ud800",
        ),
        *("PATH", "path", "IFS", "PS1", "BASH_ENV", "ENV", "LD_PRELOAD", "PROMPT_COMMAND", "HOME"),
        *("RPROMPT", "RPROMPT2", "RPS1", "PROMPT3", "GLIBC_TUNABLES"),
        *("CONDARC", "CONDA_PREFIX", "IAC_TIER_DIR", "_iac_variables", "_iac_before_X"),
        "x" * 10_000,
    ],
)
def test_a_name_that_cannot_or_must_not_be_set_is_left_out_and_told(top: Path, name: str) -> None:
    brought_by(top, "tool", "etc/conda/env_vars.d/a.json")
    file(top, "a.json", {name: "x" * (1 << 16), "GOOD": "1"})
    found = read(top)
    assert {"GOOD": "1"} == found.values
    (warning,) = found.warnings
    assert "of etc/conda/env_vars.d/a.json (package tool 1.0) is not set: " in warning
    assert warning.isprintable()
    assert len(warning) < 300


@pytest.mark.parametrize("value", [None, [], {}, ["a"], {"a": 1}, "a\0b", "\ud800"])
def test_a_value_that_no_variable_can_have_is_left_out_and_told(top: Path, value: object) -> None:
    file(top, "a.json", {"BAD": value, "GOOD": "1"})
    found = read(top)
    assert {"GOOD": "1"} == found.values
    assert ["'BAD'"] == [text.split()[2] for text in found.warnings]


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "1", "null", "not JSON", '"A=1"', b"\xff\xfe\xfa", "[" * 100_000),
        *('{"A": ' + "[" * 100_000, '{"A": ' + "9" * 10_000 + "}", "{}" + " " * LARGEST),
    ],
)
def test_a_file_that_holds_no_variables_is_told_of_and_the_others_count(
    top: Path, content: str | bytes
) -> None:
    brought_by(top, "tool", "etc/conda/env_vars.d/a.json")
    file(top, "a.json", content)
    file(top, "b.json", {"GOOD": "1"})
    found = read(top)
    assert {"GOOD": "1"} == found.values
    (warning,) = found.warnings
    begin = "environment one: etc/conda/env_vars.d/a.json (package tool 1.0) is not read: "
    assert warning.startswith(begin)
    assert len(warning) < 300


def test_whatever_stands_in_the_place_of_a_file_is_told_of(top: Path) -> None:
    directory = file(top, "good.json", {"GOOD": "1"}).parent
    outside = top / "outside.json"
    outside.write_text('{"SECRET": "1"}')
    (directory / "a.json").symlink_to(outside)
    (directory / "b.json").symlink_to("nowhere")
    (directory / "c.json").mkdir()
    os.mkfifo(directory / "d.json")
    found = read(top)
    assert {"GOOD": "1"} == found.values
    assert ["a.json", "b.json", "c.json", "d.json"] == [
        text.split()[2].rpartition("/")[2] for text in found.warnings
    ]


@pytest.mark.parametrize("place", ["etc", "etc/conda", "etc/conda/env_vars.d", "conda-meta"])
def test_no_link_in_the_place_of_a_directory_is_followed(top: Path, place: str) -> None:
    file(top, "a.json", {"A": "1"})
    state(top, {"env_vars": {"A": "1"}})
    elsewhere = top / "elsewhere"
    (top / "envs/one" / place).rename(elsewhere)
    (top / "envs/one" / place).symlink_to(elsewhere)
    (warning,) = read(top).warnings
    assert warning.endswith(" is not read: there is a symlink, which is not followed")


def test_all_together_are_not_more_than_a_program_can_be_started_with(top: Path) -> None:
    values = {f"A{number}": "x" * 1000 for number in range(100)}
    file(top, "a.json", values)
    file(top, "b.json", {"SMALL": "1"}, "two")
    found = read(top)
    assert 60 < len(found.values) < 70
    assert "1" == found.values["SMALL"]
    assert len(found.warnings) < 15
    assert "more variables or files are left out" in found.warnings[-1]


def test_of_many_things_that_are_wrong_some_are_told(top: Path) -> None:
    file(top, "a.json", {f"A-{number}": "x" for number in range(5000)})
    assert 11 == len(read(top).warnings)
