"""The packages of a deployment, and what differs between two."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets import make_target
from tierctl.errors import BadFile, Untrusted
from tierctl.fs.local import OsFileSystem
from tierctl.report.difference import Change, Kind, between
from tierctl.target import packages
from tierctl.target.packages import Package
from tierctl.target.target import Target

NUMPY = Package("numpy", "2.0", "py311_0", "linux-64", "https://x/conda-forge", "a" * 64, 10)
PIP = Package("numpy", "2.0", sha256="b" * 64)
TEXT = st.text(max_size=5)
PACKAGES = st.builds(Package, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, st.integers(0, 1 << 60))
DEPLOYMENTS = st.dictionaries(TEXT, st.lists(PACKAGES, max_size=3).map(tuple), max_size=3)


@given(DEPLOYMENTS)
def test_what_is_written_is_read_again(environments: packages.Packages) -> None:
    document = json.loads(json.dumps(packages.to_document(environments)))
    expected = {name: tuple(sorted(found)) for name, found in environments.items()}
    assert expected == packages.from_document(document)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"schema": 2, "environments": {}}',
        '{"schema": 1}',
        '{"schema": 1, "environments": []}',
        '{"schema": 1, "environments": {"x": [{"name": "y"}]}}',
        '{"schema": 1, "environments": {"x": [{"name": 1, "version": "1"}]}}',
        '{"schema": 1, "environments": {"x": [{"name": "y", "version": "1", "size": true}]}}',
        '{"schema": 1, "environments": {"x": [{"name": "y", "version": "1", "why": ""}]}}',
        "[" * 100_000,
    ],
)
def test_rubbish_is_named_by_its_path(tmp_path: Path, text: str) -> None:
    layout = make_target(tmp_path, blue=41)
    record = Path(layout.packages_record("deployments/41"))
    record.write_text(text)
    with pytest.raises(BadFile, match=r"deployments/41/meta/packages\.json"):
        packages.read(Target(OsFileSystem(), layout), "deployments/41")


def test_what_others_could_have_written_is_not_believed(tmp_path: Path) -> None:
    layout = make_target(tmp_path, blue=41)
    record = Path(layout.packages_record("deployments/41"))
    record.write_text(json.dumps(packages.to_document({})))
    record.chmod(0o666)
    with pytest.raises(Untrusted):
        packages.read(Target(OsFileSystem(), layout), "deployments/41")


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (None, NUMPY, Kind.ADDED),
        (NUMPY, None, Kind.REMOVED),
        (NUMPY, NUMPY._replace(version="2.10"), Kind.UPGRADED),
        (NUMPY._replace(version="2.10"), NUMPY._replace(version="2.9"), Kind.DOWNGRADED),
        (NUMPY, NUMPY._replace(version="2.0rc1"), Kind.DOWNGRADED),
        (NUMPY, NUMPY._replace(version="2.0.post1"), Kind.UPGRADED),
        (NUMPY, NUMPY._replace(version="1!1.0"), Kind.UPGRADED),
        (NUMPY, NUMPY._replace(build="py312_0"), Kind.REBUILT),
        (NUMPY, NUMPY._replace(sha256="c" * 64), Kind.REBUILT),
    ],
)
def test_what_became_of_a_package(
    before: Package | None, after: Package | None, kind: Kind
) -> None:
    old = {"python": () if before is None else (before,)}
    new = {"python": () if after is None else (after,)}
    assert [Change("python", kind, before, after)] == between(old, new)


def test_conda_s_and_pip_s_of_one_name_are_two() -> None:
    assert [Change("x", Kind.ADDED, None, PIP)] == between({"x": (NUMPY,)}, {"x": (NUMPY, PIP)})


def test_an_environment_that_is_new_or_gone_is_all_added_or_removed() -> None:
    assert [("a", Kind.REMOVED), ("b", Kind.ADDED)] == [
        (change.environment, change.kind) for change in between({"a": (NUMPY,)}, {"b": (NUMPY,)})
    ]


@given(DEPLOYMENTS)
def test_nothing_differs_from_itself(environments: packages.Packages) -> None:
    assert [] == between(environments, environments)


NUMBERS = r"([0-9]!)?[0-9]{1,2}(\.[0-9]{1,2}){0,2}"
VERSIONS = st.from_regex(NUMBERS + r"(rc[0-9]|\.post[0-9]|\.dev[0-9])?", fullmatch=True)


@given(VERSIONS, VERSIONS)
def test_versions_are_ordered_as_the_engine_orders_them(one: str, other: str) -> None:
    rattler = pytest.importorskip("rattler")
    if rattler.Version(one) == rattler.Version(other):
        return
    later = rattler.Version(other) > rattler.Version(one)
    before, after = (NUMPY._replace(version=version) for version in (one, other))
    (change,) = between({"x": (before,)}, {"x": (after,)})
    assert change.kind is (Kind.UPGRADED if later else Kind.DOWNGRADED)
