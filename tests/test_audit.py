"""The audit of the dependencies, against an index on the loopback."""

import json
import os
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import audit
from lab import Served
from tools import missing

PYTHONS = ["3.11", "3.13"]


class Index:
    """A directory that is one when it is served: PEP 503, and PyPI's JSON beside it."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def add(self, version: str, *, withdrawn: bool = False) -> None:
        name = f"spam-{version}-py3-none-any.whl"
        page = self.place / "simple" / "spam" / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(page.with_name(name), "w") as wheel:
            about = f"spam-{version}.dist-info"
            wheel.writestr(
                f"{about}/METADATA", f"Metadata-Version: 2.1\nName: spam\nVersion: {version}\n"
            )
            wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"{about}/RECORD", "")
        mark = ' data-yanked=""' if withdrawn else ""
        with page.open("a") as text:
            text.write(f'<a href="{name}"{mark}>{name}</a>\n')

    def tell(self, version: str, *advisories: dict[str, object]) -> None:
        place = self.place / "pypi" / "spam" / version
        place.mkdir(parents=True)
        (place / "json").write_text(json.dumps({"vulnerabilities": advisories}))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """An index that pip is configured with, and nothing else."""
    if find_spec("pip") is None:
        missing("pip is not installed")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with Served(tmp_path) as server:
        monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
        yield Index(tmp_path)


def audited(*requirements: str) -> list[str]:
    found = audit.resolved_each([requirements], PYTHONS)
    return [*audit.withdrawn(found), *audit.advisories(found, audit.index())]


def test_what_is_declared_can_be_read() -> None:
    (everything, build), pythons = audit.declared(audit.tomllib.loads(audit.PYPROJECT.read_text()))
    assert {"click", "uv", "pytest", "ruff"} <= {wanted.partition(">")[0] for wanted in everything}
    assert ["hatchling>=1.27"] == build
    assert "3.11" == pythons[0]


def test_what_nothing_is_wrong_with_passes_and_silence_is_told(
    index: Index, capsys: pytest.CaptureFixture[str]
) -> None:
    index.add("1.0")
    index.add("2.0")
    index.tell("1.0")
    assert [] == audited("spam>=1.0")
    assert "no advisories are to be had from the index for 1 releases\n" == capsys.readouterr().out


def test_a_lowest_release_that_was_withdrawn_is_found(index: Index) -> None:
    index.add("1.0", withdrawn=True)
    index.add("2.0")
    assert ["spam 1.0 was withdrawn"] == audited("spam>=1.0")


def test_a_newest_release_that_was_withdrawn_is_not_taken(index: Index) -> None:
    index.add("1.0")
    index.add("2.0", withdrawn=True)
    assert [] == audited("spam>=1.0")


def test_advisories_are_told_unless_they_were_taken_back(index: Index) -> None:
    index.add("1.0")
    index.tell("1.0", {"id": "PYSEC-1"}, {"id": "PYSEC-2", "withdrawn": "2026-01-01"})
    assert ["spam 1.0: PYSEC-1"] == audited("spam>=1.0")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/simple", "file:///nonexistent"])
def test_without_an_index_it_fails_and_says_so(
    index: Index,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", url)
    monkeypatch.setattr(audit, "declared", lambda project: ([["spam>=1.0"]], PYTHONS))
    assert 1 == audit.main()
    assert "the dependencies cannot be audited: on Python 3.11: " in capsys.readouterr().err


def test_the_exit_code_tells_of_problems(
    index: Index, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit, "declared", lambda project: ([["spam>=1.0"]], PYTHONS))
    index.add("1.0", withdrawn=True)
    index.add("2.0")
    assert 1 == audit.main()
    assert "spam 1.0 was withdrawn\n2 releases audited, 1 problems\n" in capsys.readouterr().out
