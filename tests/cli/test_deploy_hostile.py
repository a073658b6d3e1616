"""``tierctl deploy`` of packages that want production, as root and not, Landlock or not."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from hostile import EVIL, Hostile
from lab import Lab
from program import installed
from targets import listing
from tools import as_user, require_landlock, require_root, require_tool

pytest.importorskip("rattler")

USER = 10071
# Where a package's link leads from an environment: to the infrastructure.
UP = "../../../.."
# How strace(1) has a kernel without Landlock.
WITHOUT = "inject=landlock_create_ruleset:error=ENOSYS"

PACKAGES = {
    "a path upwards": Hostile("p", listed=[(f"{UP}/../green/etc/profile.sh", "hardlink")]),
    "through a link": Hostile(
        "p", {"a": EVIL}, {"L": "."}, [(f"L/{UP}/../green/etc/profile.sh", "hardlink")]
    ),
    "history through two links": Hostile(
        "p",
        {"a": EVIL},
        {"M": f"{UP}/../.tierctl", "L": "M"},
        [("L/history.jsonl", "hardlink")],
    ),
    "policy through a link": Hostile(
        "p", {"a": EVIL}, {"L": f"{UP}/../.tierctl"}, [("L/config.toml", "hardlink")]
    ),
    "another deployment": Hostile("p", {"a": EVIL}, {"L": f"{UP}/1"}, [("L/x", "hardlink")]),
    "the cache": Hostile(
        "p", {"../hello-1.0-0/bin/hello": EVIL}, {}, [("../hello-1.0-0/bin/hello", "hardlink")]
    ),
    "outside": Hostile("p", {"a": EVIL}, {"L": "{victim}"}, [("L/file", "hardlink")]),
}


class Attacked(Lab):
    """A target that serves production, and a file outside of it."""

    def __init__(self, place: Path, user: int, *, landlock: bool) -> None:
        super().__init__(place)
        self.user, self.landlock = user, landlock
        self.victim = place / "victim"
        self.victim.mkdir()
        (self.victim / "file").write_text("as it was")
        for directory, names, files in os.walk(place):
            for path in [directory, *(os.path.join(directory, name) for name in names + files)]:
                os.chown(path, user, user, follow_symlinks=False)
        assert 0 == self.ask(*self.command("staging")[1:]).returncode
        promoted = self.ask("promote-staging", "-t", self.layout.top)
        assert 0 == promoted.returncode, promoted.stderr

    def ask(self, *words: str) -> "subprocess.CompletedProcess[str]":
        before: list[str] = [] if self.user == 0 else as_user(self.user)
        if not self.landlock:
            quiet = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=landlock_create_ruleset"]
            before += [require_tool("strace"), *quiet, "-e", WITHOUT]
        return subprocess.run([*before, installed(), *words], capture_output=True, text=True)

    def seen(self) -> dict[str, object]:
        """Return all of it that a deploy into a private tier must leave as it is."""
        cache = Path(self.layout.cache)
        kept = {
            "production": Path(self.layout.within("production"), "etc"),
            "control": Path(self.layout.control),
            "deployments": Path(self.layout.deployments),
            "hello": cache / "hello-1.0-0",
            "victim": self.victim,
        }
        passing = ("numbers", "holder.json", "lock")
        return {
            f"{name}/{path}": entry
            for name, place in kept.items()
            for path, entry in listing(place).items()
            if path not in passing and path != "."
        }


@pytest.fixture(params=[(0, True), (0, False), (USER, True), (USER, False)], ids=str)
def attacked(request: pytest.FixtureRequest, tmp_path: Path) -> Attacked:
    require_root()
    user, landlock = request.param
    if landlock:
        require_landlock()
    return Attacked(tmp_path, user, landlock=landlock)


def test_production_and_all_else_stay_as_they_were(attacked: Attacked) -> None:
    before = attacked.seen()
    for how, package in PACKAGES.items():
        links = {p: to.format(victim=attacked.victim) for p, to in package.links.items()}
        package._replace(links=links).write(attacked.channel)
        attacked.want("p")
        done = attacked.ask(*attacked.command("dev1")[1:])
        assert (1, True) == (done.returncode, "p-1-0.tar.bz2: it brings " in done.stderr), (
            how,
            done.stderr,
        )
        assert before == attacked.seen(), how
    served = attacked.ask("run", "-t", attacked.layout.top, "production", "hello")
    assert "hello 1.0\n" == served.stdout


def test_the_kernel_lets_the_engine_write_in_its_own_deployment_and_the_cache(
    tmp_path: Path,
) -> None:
    require_landlock()
    lab = Lab(tmp_path)
    told = tmp_path / "told"
    trace = ["-f", "-qq", "-y", "-o", str(told), "-e", "trace=landlock_add_rule"]
    done = subprocess.run([require_tool("strace"), *trace, *lab.command("staging")], check=False)
    assert 0 == done.returncode
    allowed = set(re.findall(r"parent_fd=\d+<([^>]+)>", told.read_text()))
    own = {path for path in allowed if Path(path).name.startswith("tierctl-")}
    assert (1, {lab.layout.within("deployments/2"), lab.layout.cache}) == (
        len(own),
        allowed - own - {"/dev", os.path.realpath("/dev/shm")},  # noqa: S108 (asked for by name)
    )
