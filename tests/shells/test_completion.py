"""Completion, as the real shells do it when TAB is pressed."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from program import installed, run_installed
from targets import make_target
from terminal import Terminal
from tierctl.target.paths import Layout
from tools import require_tool

# How a shell is started without anybody's configuration, and told of the script.
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source <(tierctl completion bash)"),
    "zsh": (
        ["zsh", "-f", "-i"],
        "autoload -Uz compinit; compinit -D -u; source <(tierctl completion zsh)",
    ),
    "fish": (["fish", "--no-config", "-i"], "tierctl completion fish | source"),
}


@pytest.fixture
def target(tmp_path: Path) -> Layout:
    layout = make_target(tmp_path / "target", blue=42, green=41)
    Path(layout.within("dev1")).symlink_to("deployments/41")
    assert 0 == run_installed("promote-staging", "--target", layout.top).code
    return layout


@pytest.fixture
def environment(target: Layout, tmp_path: Path) -> dict[str, str]:
    """What a shell with a loaded tier has."""
    return {
        "PATH": f"{Path(installed()).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "IAC_TIER_DIR": target.within("blue"),
        "PS1": "",
        "LC_ALL": "C.UTF-8",
    }


@pytest.fixture(params=["bash", "zsh"])
def shell(request: pytest.FixtureRequest, environment: dict[str, str]) -> Iterator[Terminal]:
    """An interactive shell that knows the completions."""
    command, source = SHELLS[request.param]
    require_tool(request.param)
    with Terminal(*command, env=environment) as terminal:
        terminal.type(f"{source}; echo rea''dy\n")
        terminal.wait_for("ready")
        yield terminal


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("tierctl promo", "tierctl promote-staging "),
        ("tierctl promote-staging --dry", "tierctl promote-staging --dry-run "),
        ("tierctl promote-staging --to gr", "tierctl promote-staging --to green "),
        ("tierctl status prod", "tierctl status production "),
        ("tierctl status d", "tierctl status dev1 "),
        ("tierctl diff 4", "tierctl diff 4"),
        ("tierctl diff stag", "tierctl diff staging "),
        ("tierctl run prod", "tierctl run production "),
        ("tierctl rollback --to 42", "tierctl rollback --to 42 "),
        ("tierctl completion z", "tierctl completion zsh "),
    ],
)
def test_tab_completes(shell: Terminal, typed: str, completed: str) -> None:
    shell.type(f"{typed}\t")
    shell.wait_for(completed.replace("-", r"\-"))


def test_an_event_is_completed(shell: Terminal, target: Layout) -> None:
    event = run_installed("history", "--target", target.top).out.split()[0]
    shell.type(f"tierctl history {event[:3]}\t")
    shell.wait_for(event)


def fish(environment: dict[str, str], line: str) -> list[str]:
    """Ask fish what it would offer."""
    require_tool("fish")
    script = f"tierctl completion fish | source; complete -C '{line}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script], env=environment, capture_output=True, text=True
    )
    assert (0, "") == (done.returncode, done.stderr)
    return [line.split("\t")[0] for line in done.stdout.splitlines()]


def test_fish_completes(environment: dict[str, str], target: Layout) -> None:
    assert ["promote-staging"] == fish(environment, "tierctl promo")
    assert ["--dry-run"] == fish(environment, "tierctl rollback --dry")
    assert ["blue", "green"] == sorted(fish(environment, "tierctl promote-staging --to "))
    tiers = fish(environment, "tierctl status ")
    assert {"production", "staging", "blue", "green", "dev1"} == set(tiers)
    event = run_installed("history", "--target", target.top).out.split()[0]
    assert [event] == fish(environment, "tierctl history 2")


def test_the_target_of_the_line_counts(environment: dict[str, str], tmp_path: Path) -> None:
    other = make_target(tmp_path / "other")
    Path(other.within("test9")).symlink_to("blue")
    assert "test9" in fish(environment, f"tierctl status --target {other.top} ")
    assert "test9" not in fish(environment, "tierctl status ")


def test_a_damaged_target_completes_with_nothing(
    environment: dict[str, str], target: Layout
) -> None:
    Path(target.history).unlink()
    Path(target.history).mkdir()
    assert [] == fish(environment, "tierctl history ")


def test_nothing_is_written_while_completing(environment: dict[str, str], tmp_path: Path) -> None:
    other = make_target(tmp_path / "other")
    before = sorted(Path(other.top).rglob("*"))
    fish(environment, f"tierctl status --target {other.top} ")
    assert before == sorted(Path(other.top).rglob("*"))
