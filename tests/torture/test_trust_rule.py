"""The trust rule as a table: each file that is believed or executed, by whom it was written.

Ada owns the target and her group shares it; Bob is in the group, Eve is not. Another target is
root's alone.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab import Lab
from program import installed
from targets import with_profiles
from thorough import every
from tierctl.target.paths import Layout
from tools import as_user, require_root

ADA, BOB, EVE, GROUP = 10061, 10062, 10069, 10063
CALLERS = {"ada": ADA, "bob": BOB, "eve": EVE, "root": 0}
# Owner, group and mode of a file.
WRITTEN = {
    "root": (0, 0, 0o644),
    "ada": (ADA, ADA, 0o644),
    "bob": (BOB, GROUP, 0o664),
    "eve": (EVE, EVE, 0o644),
    "group": (0, GROUP, 0o664),
    "everybody": (0, 0, 0o666),
}
BY_ROOT_OR_GROUP = {"root", "ada", "bob", "group"}
NOBODY: set[str] = set()
# Of each file: the command that reads it, and by caller whose are believed.
Believed = dict[str, set[str]]
RECORDS: Believed = {
    "ada": BY_ROOT_OR_GROUP,
    "bob": BY_ROOT_OR_GROUP,
    "eve": {*BY_ROOT_OR_GROUP, "eve"},
    "root": BY_ROOT_OR_GROUP,
}
POLICY: Believed = {
    "ada": {"root", "ada", "group"},
    "bob": {"root", "ada", "group", "bob"},
    "eve": {"root", "ada", "group", "eve"},
    "root": {"root", "ada", "group"},
}
NAMED: Believed = {
    # Ada's target vouches for those that she shares it with: nobody else can have made it.
    "ada": {"root", "ada", "bob", "group"},
    "bob": {"root", "bob", "group"},
    "eve": {"root", "eve", "group"},
    "root": {"root", "group"},
}
LOADED: Believed = {caller: set(WRITTEN) for caller in ("ada", "bob", "eve", "root")}
EXECUTED: Believed = {**RECORDS, "root": NOBODY}
BUILT: Believed = {"ada": BY_ROOT_OR_GROUP, "bob": BY_ROOT_OR_GROUP, "root": NOBODY}
ROOTS_ALONE: Believed = {"root": {"root"}}

HISTORY = "lab/infrastructure/.tierctl/history.jsonl"
INTENT = "lab/infrastructure/.tierctl/intent.json"
CONFIG = "lab/infrastructure/.tierctl/config.toml"
PACKAGES = "lab/infrastructure/deployments/1/meta/packages.json"
PROFILE = "lab/infrastructure/deployments/1/etc/profile.sh"
SCRIPT = "lab/infrastructure/deployments/1/etc/profile.d/own.sh"
LOCK = "lab/infrastructure/deployments/1/meta/locks/tools.lock"
TABLE: dict[str, tuple[str, list[str], Believed]] = {
    "history": (HISTORY, ["history"], RECORDS),
    "intent": (INTENT, ["promote-staging", "-n"], {**RECORDS, "eve": NOBODY}),
    "policy": (CONFIG, ["prune", "-n"], {**POLICY, "eve": NOBODY}),
    "packages": (PACKAGES, ["diff", "1", "1"], RECORDS),
    "profile": (PROFILE, ["run", "dev1", "true"], EXECUTED),
    "tierctl.toml": ("definitions/tierctl.toml", ["status"], NAMED),
    "tierctl.toml, loaded": ("definitions/tierctl.toml", ["status"], LOADED),
    "overlay": ("definitions/tier/bin/own", ["deploy", "dev1", "-n"], BUILT),
    "environment": ("definitions/environments/tools.yaml", ["deploy", "dev1", "-n"], BUILT),
    "lock": (LOCK, ["deploy", "dev1", "-n", "--like", "1"], BUILT),
    "root: overlay": ("definitions/tier/bin/own", ["deploy", "dev1", "-n"], ROOTS_ALONE),
    "root: order": ("definitions/tierctl.toml", ["deploy", "dev1", "-n"], ROOTS_ALONE),
    "root: environment": (
        "definitions/environments/tools.yaml",
        ["deploy", "dev1", "-n"],
        ROOTS_ALONE,
    ),
    "root: lock": (LOCK, ["deploy", "dev1", "-n", "--like", "1"], ROOTS_ALONE),
    "root: profile": (PROFILE, ["run", "dev1", "true"], ROOTS_ALONE),
    "root: profile.d": (SCRIPT, ["run", "dev1", "true"], ROOTS_ALONE),
}
REFUSED = ("not trusted", "root does not deploy into", "no permission to write")
WITHOUT_THE_RULE = """
from tierctl.target import owners, trust
trust.require_trusted = owners.require_owner = trust.require_roots = lambda *_: None
from tierctl.__main__ import run
run()
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A target of root's with a deployment, and its definitions."""
    require_root()
    pytest.importorskip("rattler")
    place = tmp_path_factory.mktemp("trust")
    lab = Lab(place)
    own = lab.definitions / "tier" / "bin" / "own"
    own.parent.mkdir(parents=True)
    own.write_text("#!/bin/sh\n")
    profile_d = lab.definitions / "tier" / "etc" / "profile.d"
    profile_d.mkdir(parents=True)
    (profile_d / "own.sh").touch()
    done = lab.deploy("dev1")
    assert 0 == done.code, done.err
    with_profiles(lab.layout)
    return place


@pytest.fixture
def place(template: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(template, tmp_path / "place", symlinks=True)
    (tmp_path / "place/lab/infrastructure/.tierctl/config.toml").touch()
    (tmp_path / "place/lab/infrastructure/.tierctl/intent.json").write_text("{}")
    return tmp_path / "place"


def share(target: Path) -> None:
    """Give a target to Ada and her group."""
    for path in (target, *target.rglob("*")):
        os.lchown(path, ADA, GROUP)
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o2775)
        elif path.parent.name == ".tierctl":
            path.chmod(0o660 if path.name in ("lock", "numbers") else 0o664)


def run_as(place: Path, caller: str, words: list[str], program: list[str], loaded: str = "") -> str:
    """Return what a command says to somebody, who has loaded a tier or none."""
    user = as_user(CALLERS[caller], *([GROUP] if caller in ("ada", "bob") else []))
    done = subprocess.run(
        [*(user if CALLERS[caller] else []), *program, *words],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=place / "definitions",
        env={**os.environ, "IAC_TIER_DIR": loaded},
    )
    assert "defect of tierctl" not in done.stderr
    return done.stdout + done.stderr


def mistaken(place: Path, row: str, program: list[str]) -> list[str]:
    """Say which cells of a row are not as the table says."""
    name, words, believed = TABLE[row]
    layout = Layout.of_target(str(place / "lab"))
    if not row.startswith("root:"):
        share(place / "lab")
    if row != "intent":
        os.unlink(layout.intent)
    path, found = place / name, []
    loaded = layout.within("green") if believed is LOADED else ""
    if believed not in (NAMED, LOADED):
        words = [*words[:1], "-t", layout.top, *words[1:]]
    for caller, writer in every([(c, w) for c in believed for w in WRITTEN], 3):
        uid, gid, mode = WRITTEN[writer]
        os.chown(path, uid, gid)
        path.chmod(mode)
        said = run_as(place, caller, words, program, loaded)
        if any(text in said for text in REFUSED) == (writer in believed[caller]):
            found.append(f"{row} of {writer}, read by {caller}: {said}")
    return found


@pytest.mark.parametrize("row", TABLE)
def test_each_file_is_believed_by_whom_the_rule_says(place: Path, row: str) -> None:
    assert [] == mistaken(place, row, [installed()])


@pytest.mark.parametrize("row", ["history", "profile", "root: overlay"])
def test_the_table_notices_a_program_without_the_rule(place: Path, row: str) -> None:
    assert mistaken(place, row, [sys.executable, "-c", WITHOUT_THE_RULE])
