"""``tierctl promote-staging``: what a user gets."""

import os
from pathlib import Path

import pytest

from program import Program, run_installed
from targets import links, listing, make_target
from tierctl.fs.local import OsFileSystem
from tierctl.target.paths import Layout


@pytest.fixture
def target(tmp_path: Path) -> Layout:
    return make_target(tmp_path)


def test_it_swaps_the_links_and_says_so(tierctl: Program, target: Layout) -> None:
    done = tierctl("promote-staging", "--target", target.top)
    assert (0, "") == (done.code, done.err)
    assert ["production: green -> blue", "staging: blue -> green"] == done.out.splitlines()[:2]
    assert {"production": "blue", "staging": "green"} == links(target)


def test_the_loaded_tier_says_which_target(
    tierctl: Program, target: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IAC_TIER_DIR", target.within("green"))
    assert 0 == tierctl("promote-staging").code
    assert "blue" == links(target)["production"]


@pytest.mark.parametrize(("value", "state"), [(None, "not set"), ("", "empty")])
def test_without_a_loaded_tier_it_names_what_is_missing(
    tierctl: Program, value: str | None, state: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    if value is not None:
        monkeypatch.setenv("IAC_TIER_DIR", value)
    done = tierctl("promote-staging")
    assert (1, "") == (done.code, done.out)
    assert f"IAC_TIER_DIR is {state}" in done.err
    assert "--target DIR" in done.err


def test_without_production_it_is_the_first_promotion(tierctl: Program, tmp_path: Path) -> None:
    target = make_target(tmp_path, production=None)
    done = tierctl("promote-staging", "-t", tmp_path)
    assert (0, "production: none -> blue") == (done.code, done.out.splitlines()[0])
    assert {"production": "blue", "staging": "green"} == links(target)


def test_tiers_made_by_hand_go_back_and_forth(tierctl: Program, target: Layout) -> None:
    for color in ("blue", "green", "blue", "green"):
        assert 0 == tierctl("promote-staging", "-t", target.top).code
        assert color == links(target)["production"]


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_that_nobody_can_load_it_is_said(
    tierctl: Program, tmp_path: Path, options: list[str]
) -> None:
    assert 0 == tierctl("bootstrap", tmp_path).code
    layout = Layout.of_target(str(tmp_path))
    os.unlink(layout.within("blue/etc/profile.sh"))
    done = tierctl("promote-staging", "-t", tmp_path, *options, "--json")
    warning = "nobody can load production: deployment 1 has no etc/profile.sh"
    assert (0, [warning]) == (done.code, done.document["warnings"])
    assert f"Warning: {warning}" in done.err


def test_deployments_are_named(tierctl: Program, tmp_path: Path) -> None:
    make_target(tmp_path, blue=42, green=41)
    done = tierctl("promote-staging", "-t", tmp_path)
    assert "production: green -> blue (deployment 41 -> 42)" == done.out.splitlines()[0]


BAD_LINKS = {
    "missing": (None, "is missing"),
    "a plain directory": ("directory", "is a directory, not a symlink"),
    "a file": ("file", "is a file, not a symlink"),
    "dangling": ("yellow", "is dangling"),
    "a loop": ("staging", "is a loop"),
    "another directory": ("other", "neither blue nor green"),
    "outside by ..": ("../elsewhere/blue", "outside"),
    "outside by an absolute path": ("{top}/elsewhere/blue", "outside"),
    "outside through another link": ("detour", "neither blue nor green"),
    "the infrastructure itself": (".", "outside"),
}


@pytest.mark.parametrize(
    ("tier", "what"),
    [
        (tier, what)
        for tier in ("staging", "production")
        for what in BAD_LINKS
        if (tier, what) != ("production", "missing")  # that is the first promotion
    ],
)
def test_a_bad_link_is_refused_and_everything_stays(
    tierctl: Program, tmp_path: Path, tier: str, what: str
) -> None:
    text, reason = BAD_LINKS[what]
    top = tmp_path / "target"
    target = make_target(top, **{tier: None})
    (top / "elsewhere" / "blue").mkdir(parents=True)
    Path(target.within("other")).mkdir()
    Path(target.within("detour")).symlink_to(top / "elsewhere" / "blue")
    path = Path(target.within(tier))
    if text == "directory":
        path.mkdir()
    elif text == "file":
        path.touch()
    elif text is not None:
        path.symlink_to(tier if what == "a loop" else text.format(top=top))
    before = listing(target.infrastructure)
    done = tierctl("promote-staging", "-t", top)
    assert (1, "") == (done.code, done.out)
    assert str(path) in done.err
    assert reason in done.err
    after = {k: v for k, v in listing(target.infrastructure).items() if ".tierctl" not in k}
    assert before == after


def test_both_tiers_on_one_color_are_refused(tierctl: Program, tmp_path: Path) -> None:
    make_target(tmp_path, production="blue", staging="blue")
    done = tierctl("promote-staging", "-t", tmp_path)
    assert 1 == done.code
    assert "same color" in done.err


@pytest.mark.parametrize("spelling", ["{infrastructure}/{color}", "./{color}", "{color}/"])
def test_other_spellings_of_the_right_color_are_taken(
    tierctl: Program, tmp_path: Path, spelling: str
) -> None:
    infrastructure = tmp_path / "infrastructure"
    target = make_target(
        tmp_path,
        production=spelling.format(infrastructure=infrastructure, color="green"),
        staging=spelling.format(infrastructure=infrastructure, color="blue"),
    )
    assert 0 == tierctl("promote-staging", "-t", tmp_path).code
    assert "blue" == os.path.basename(os.path.realpath(target.within("production")))


class TestDryRun:
    def test_it_prints_what_the_real_run_prints(self, tierctl: Program, target: Layout) -> None:
        dry = tierctl("promote-staging", "-t", target.top, "-n")
        real = tierctl("promote-staging", "-t", target.top)
        assert real.out == dry.out
        assert (0, "Dry run: nothing was changed.\n") == (dry.code, dry.err)

    @pytest.mark.parametrize("made", ["by hand", "used before", "first promotion"])
    def test_it_writes_not_one_byte(self, tierctl: Program, tmp_path: Path, made: str) -> None:
        make_target(tmp_path, production=None if made == "first promotion" else "green")
        if made == "used before":
            tierctl("promote-staging", "-t", tmp_path)
        before = listing(tmp_path)
        assert 0 == tierctl("promote-staging", "-t", tmp_path, "-n").code
        assert before == listing(tmp_path)

    def test_it_refuses_what_the_real_run_refuses(self, tierctl: Program, tmp_path: Path) -> None:
        make_target(tmp_path, production="blue", staging="blue")
        dry = tierctl("promote-staging", "-t", tmp_path, "-n")
        real = tierctl("promote-staging", "-t", tmp_path)
        assert real == dry
        assert 1 == dry.code


class TestTo:
    def test_it_promotes_that_color(self, tierctl: Program, target: Layout) -> None:
        assert 0 == tierctl("promote-staging", "-t", target.top, "--to", "blue").code
        assert "blue" == links(target)["production"]

    def test_the_color_of_production_is_no_change(self, tierctl: Program, target: Layout) -> None:
        done = tierctl("promote-staging", "-t", target.top, "--to", "green")
        assert (0, "nothing to do: production is green already\n") == (done.code, done.out)
        assert "green" == links(target)["production"]

    def test_an_unknown_color_is_wrong_usage(self, tierctl: Program, target: Layout) -> None:
        done = tierctl("promote-staging", "-t", target.top, "--to", "red")
        assert 2 == done.code
        assert "tierctl promote-staging --help" in done.err


class TestGuards:
    def test_what_was_rolled_back_is_not_promoted_again(
        self, tierctl: Program, tmp_path: Path
    ) -> None:
        target = make_target(tmp_path, blue=42, green=41)
        tierctl("promote-staging", "-t", tmp_path)
        tierctl("rollback", "-t", tmp_path)
        refused = tierctl("promote-staging", "-t", tmp_path)
        assert 1 == refused.code
        assert "deployment 42, which was rolled back" in refused.err
        assert "--force" in refused.err
        assert 0 == tierctl("promote-staging", "-t", tmp_path, "--force").code
        assert "blue" == links(target)["production"]

    def test_what_production_served_before_is_a_rollback(
        self, tierctl: Program, tmp_path: Path
    ) -> None:
        make_target(tmp_path, blue=42, green=41)
        tierctl("promote-staging", "-t", tmp_path)
        refused = tierctl("promote-staging", "-t", tmp_path)
        assert 1 == refused.code
        assert "tierctl rollback --to 41" in refused.err


class TestJson:
    def test_one_document_tells_of_the_change(self, tierctl: Program, target: Layout) -> None:
        done = tierctl("promote-staging", "-t", target.top, "--json", "-m", "new numpy")
        document = done.document
        assert (1, "promote-staging", True, True) == tuple(
            document[key] for key in ("schema", "command", "ok", "changed")
        )
        assert "blue" == document["after"]["production"]
        assert ["exchange production and staging"] == document["steps"]
        assert "new numpy" == document["event"]["reason"]

    def test_a_dry_run_makes_no_event(self, tierctl: Program, target: Layout) -> None:
        document = tierctl("promote-staging", "-t", target.top, "--json", "-n").document
        assert (True, None) == (document["dry_run"], document["event"])

    def test_a_refusal_is_a_document_too(self, tierctl: Program, tmp_path: Path) -> None:
        make_target(tmp_path, production="blue", staging="blue")
        done = tierctl("promote-staging", "-t", tmp_path, "--json")
        assert 1 == done.code
        assert False is done.document["ok"]
        assert "same-color" == done.document["error"]["code"]
        assert done.document["error"]["message"] in done.err


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "soon"])
def test_a_lock_timeout_is_a_number_of_seconds(
    tierctl: Program, target: Layout, seconds: str
) -> None:
    assert 2 == tierctl("promote-staging", "-t", target.top, "--lock-timeout", seconds).code


def test_a_held_lock_names_its_holder(tierctl: Program, target: Layout) -> None:
    tierctl("promote-staging", "-t", target.top)
    Path(target.holder).write_text(
        '{"user": "ada", "host": "node7", "pid": 12, "command": "promotion", "time": "today"}'
    )
    with OsFileSystem().lock(target.lock, mode=0o600, timeout=0):
        done = tierctl("promote-staging", "-t", target.top, "--lock-timeout", "0.05")
    assert 1 == done.code
    assert "locked by ada on node7" in done.err


def test_a_closed_pipe_is_no_failure(target: Layout) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = _into(writing, "promote-staging", "--target", target.top)
    assert (0, "") == done
    assert "blue" == links(target)["production"]


def test_a_full_stdout_does_not_make_the_change_a_failure(target: Layout) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    code, err = _into(full, "promote-staging", "--target", target.top)
    assert 0 == code
    assert "could not be printed" in err
    assert "blue" == links(target)["production"]


def _into(stdout: int, *arguments: str) -> tuple[int, str]:
    import subprocess

    from program import installed

    done = subprocess.run(
        [installed(), *arguments], stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(stdout)
    return done.returncode, done.stderr


def test_it_works_with_standard_output_closed(target: Layout) -> None:
    import subprocess

    from program import installed

    shell = ["sh", "-c", 'exec "$0" "$@" >&-', installed()]
    done = subprocess.run([*shell, "promote-staging", "--target", target.top], timeout=60)
    assert 0 == done.returncode


def test_the_installed_command_and_the_module_are_one(target: Layout) -> None:
    import subprocess
    import sys

    assert 0 == run_installed("promote-staging", "--target", target.top).code
    done = subprocess.run(
        [sys.executable, "-m", "tierctl", "promote-staging", "--target", target.top],
        capture_output=True,
        text=True,
    )
    assert (0, "production: blue -> green") == (done.returncode, done.stdout.splitlines()[0])
