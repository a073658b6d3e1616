"""Which target is meant."""

import os
import pwd
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from targets import make_target
from tierctl.errors import AmbiguousTarget, BadFile, NoTarget, NotATarget, Untrusted
from tierctl.target import find
from tools import require_root


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a directory without a tierctl.toml."""
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def test_the_option_comes_first(tmp_path: Path) -> None:
    one, two = make_target(tmp_path / "one"), make_target(tmp_path / "two")
    assert one == find.find(one.top, {"IAC_TIER_DIR": two.within("blue")})


@pytest.mark.parametrize("given", [".", "target", "target/", "target/infrastructure", "nothing"])
def test_the_option_wants_the_directory_given_to_bootstrap(tmp_path: Path, given: str) -> None:
    os.chdir(tmp_path)
    layout = make_target(tmp_path / "target")
    if given.startswith("target") and "infra" not in given:
        assert layout == find.find(given, {})
    else:
        with pytest.raises(NotATarget):
            find.find(given, {})


def test_the_infrastructure_s_parent_is_proposed(tmp_path: Path) -> None:
    layout = make_target(tmp_path / "my lab")
    with pytest.raises(NotATarget) as raised:
        find.find(layout.infrastructure, {})
    assert f"Try: --target '{layout.top}'" == raised.value.hint


def test_of_a_link_to_an_infrastructure_the_real_parent_is_proposed(tmp_path: Path) -> None:
    layout = make_target(tmp_path / "my lab")
    link = tmp_path / "software"
    link.symlink_to(layout.infrastructure)
    with pytest.raises(NotATarget, match="is an infrastructure") as raised:
        find.find(str(link), {})
    assert f"Try: --target '{layout.top}'" == raised.value.hint


@pytest.mark.parametrize(
    ("name", "reason"),
    [("nothing", "does not exist"), ("file", "is not a directory"), ("my lab", "holds no infra")],
)
def test_what_is_wrong_with_a_directory_is_said(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "my lab").mkdir()
    with pytest.raises(NotATarget, match=f"{name} {reason}"):
        find.find(str(tmp_path / name), {})


def test_an_empty_path_is_seen_to_be_one() -> None:
    with pytest.raises(NotATarget, match=r"^--target: '' is empty$"):
        find.find("", {})


def test_a_working_directory_that_cannot_be_told_stops_only_who_needs_it(
    tmp_path: Path, mocker: MockerFixture
) -> None:
    layout = make_target(tmp_path / "lab")
    mocker.patch("os.getcwd", side_effect=OSError(116, "Stale file handle"))
    assert layout == find.find(None, {"IAC_TIER_DIR": layout.within("blue")})
    with pytest.raises(NotATarget, match="working directory"):
        find.find("lab", {})


def test_a_path_up_from_a_symlink_is_where_the_kernel_goes(tmp_path: Path) -> None:
    (tmp_path / "gpfs" / "software").mkdir(parents=True)
    layout = make_target(tmp_path / "gpfs" / "lab")
    make_target(tmp_path / "lab")
    (tmp_path / "software").symlink_to("gpfs/software")
    assert layout == find.find(f"{tmp_path}/software/../lab", {})
    assert f"{tmp_path}/lab" == find.absolute(f"{tmp_path}/elsewhere/../lab//.", {})


def test_without_a_working_directory_an_absolute_path_will_do(
    tmp_path: Path, elsewhere: Path
) -> None:
    layout = make_target(tmp_path / "lab")
    elsewhere.rmdir()
    assert layout == find.find(layout.top, {"PWD": str(elsewhere)})
    assert layout == find.find(None, {"IAC_TIER_DIR": layout.within("blue")})
    with pytest.raises(NotATarget, match=f"{elsewhere} has been removed"):
        find.find("lab", {"PWD": str(elsewhere)})


class TestLoadedTier:
    @pytest.mark.parametrize("tier", ["blue", "production", "deployments/41", "blue/"])
    def test_its_infrastructure_is_found(self, tmp_path: Path, tier: str) -> None:
        layout = make_target(tmp_path / "lab", blue=41)
        assert layout == find.find(None, {"IAC_TIER_DIR": layout.within(tier)})

    def test_its_spelling_is_kept(self, tmp_path: Path) -> None:
        make_target(tmp_path / "gpfs" / "lab")
        (tmp_path / "software").symlink_to("gpfs")
        tier = f"{tmp_path}/software/lab/infrastructure/blue"
        found = find.find(None, {"IAC_TIER_DIR": tier})
        assert f"{tmp_path}/software/lab" == found.top

    def test_a_link_to_it_from_elsewhere_is_resolved(self, tmp_path: Path) -> None:
        layout = make_target(tmp_path / "lab", blue=41)
        (tmp_path / "shortcut").symlink_to(layout.within("blue"))
        assert layout == find.find(None, {"IAC_TIER_DIR": str(tmp_path / "shortcut")})

    @pytest.mark.parametrize("value", ["relative/blue", "/", "/nowhere/blue"])
    def test_what_is_no_tier_is_refused(self, value: str) -> None:
        with pytest.raises(NotATarget, match="IAC_TIER_DIR"):
            find.find(None, {"IAC_TIER_DIR": value})

    def test_one_that_is_gone_is_said_to_be(self, tmp_path: Path) -> None:
        with pytest.raises(NotATarget, match="deployments/41 is gone") as raised:
            find.find(None, {"IAC_TIER_DIR": f"{tmp_path}/lab/infrastructure/deployments/41"})
        assert "Load a tier again" in raised.value.hint

    @pytest.mark.parametrize("environment", [{}, {"IAC_TIER_DIR": ""}])
    def test_without_one_both_ways_are_named(self, environment: dict[str, str]) -> None:
        with pytest.raises(NoTarget) as raised:
            find.find(None, environment)
        assert "IAC_TIER_DIR" in raised.value.message
        assert "--target" in raised.value.hint


class TestDefinitions:
    def test_the_nearest_file_upwards_counts(self, tmp_path: Path, elsewhere: Path) -> None:
        layout = make_target(tmp_path / "lab")
        (tmp_path / "tierctl.toml").write_text('target = "nowhere"')
        (elsewhere / "tierctl.toml").write_text('target = "../lab"')
        (elsewhere / "a" / "b").mkdir(parents=True)
        os.chdir(elsewhere / "a" / "b")
        assert layout == find.find(None, {})

    def test_the_same_target_twice_is_no_contradiction(
        self, tmp_path: Path, elsewhere: Path
    ) -> None:
        layout = make_target(tmp_path / "lab")
        (tmp_path / "alias").symlink_to("lab")
        (elsewhere / "tierctl.toml").write_text(f'target = "{tmp_path}/alias"')
        assert layout == find.find(None, {"IAC_TIER_DIR": layout.within("blue")})

    def test_two_different_targets_are_refused(self, tmp_path: Path, elsewhere: Path) -> None:
        one, two = make_target(tmp_path / "one"), make_target(tmp_path / "two")
        (elsewhere / "tierctl.toml").write_text(f'target = "{two.top}"')
        with pytest.raises(AmbiguousTarget) as raised:
            find.find(None, {"IAC_TIER_DIR": one.within("blue")})
        assert "--target" in raised.value.hint

    def test_one_that_names_no_target_is_said_to(self, elsewhere: Path) -> None:
        (elsewhere / "tierctl.toml").write_text('path = ["python"]')
        with pytest.raises(NoTarget, match=f"{elsewhere}/tierctl.toml names none"):
            find.find(None, {})

    def test_one_that_names_no_target_leaves_it_to_the_loaded_tier(
        self, tmp_path: Path, elsewhere: Path
    ) -> None:
        layout = make_target(tmp_path / "lab")
        (elsewhere / "tierctl.toml").write_text('path = ["python"]')
        assert layout == find.find(None, {"IAC_TIER_DIR": layout.within("blue")})

    def test_one_s_own_link_is_followed(self, tmp_path: Path, elsewhere: Path) -> None:
        layout = make_target(tmp_path / "lab")
        (tmp_path / "repo").mkdir()
        (tmp_path / "repo" / "definitions.toml").write_text(f'target = "{layout.top}"')
        (elsewhere / "tierctl.toml").symlink_to("../repo/definitions.toml")
        assert layout == find.find(None, {})

    def test_a_link_of_another_user_is_not(self, tmp_path: Path, elsewhere: Path) -> None:
        require_root()
        layout = make_target(tmp_path / "lab")
        (tmp_path / "mine.toml").write_text(f'target = "{layout.top}"')
        (elsewhere / "tierctl.toml").symlink_to("../mine.toml")
        os.lchown(elsewhere / "tierctl.toml", 12345, 12345)
        with pytest.raises(Untrusted, match="is a symlink of user 12345"):
            find.find(None, {})

    @pytest.mark.parametrize(
        "text", ["target = 1", "target = ''", "target", "\xff", "a = " + "[" * 9999]
    )
    def test_rubbish_is_named(self, elsewhere: Path, text: str) -> None:
        (elsewhere / "tierctl.toml").write_bytes(text.encode("latin-1"))
        with pytest.raises(BadFile, match=r"tierctl\.toml"):
            find.find(None, {})

    def test_one_that_everybody_may_write_is_not_believed(
        self, tmp_path: Path, elsewhere: Path
    ) -> None:
        layout = make_target(tmp_path / "lab")
        file = elsewhere / "tierctl.toml"
        file.write_text(f'target = "{layout.top}"')
        file.chmod(0o666)
        with pytest.raises(Untrusted, match="everybody"):
            find.find(None, {})

    def test_one_of_another_user_is_not_believed(self, tmp_path: Path, elsewhere: Path) -> None:
        require_root()
        layout = make_target(tmp_path / "lab")
        file = elsewhere / "tierctl.toml"
        file.write_text(f'target = "{layout.top}"')
        os.chown(file, 12345, 12345)
        with pytest.raises(Untrusted, match="user 12345"):
            find.find(None, {})

    def test_the_refusal_names_the_target_that_it_names(
        self, tmp_path: Path, elsewhere: Path
    ) -> None:
        """So that whoever means it can say so."""
        require_root()
        file = elsewhere / "tierctl.toml"
        file.write_text('target = "../lab"')
        os.chown(file, pwd.getpwnam("daemon").pw_uid, 12345)
        with pytest.raises(Untrusted, match="belongs to user daemon") as caught:
            find.find(None, {})
        assert caught.value.hint.endswith(f"--target {tmp_path}/lab")

    @pytest.mark.parametrize("mode", [0o600, 0o644, 0o666])
    @pytest.mark.parametrize("text", ["target = '../other'", "rubbish"])
    def test_one_of_another_user_does_not_matter_once_a_tier_is_loaded(
        self, tmp_path: Path, elsewhere: Path, mode: int, text: str
    ) -> None:
        require_root()
        layout = make_target(tmp_path / "lab")
        make_target(tmp_path / "other")
        file = elsewhere / "tierctl.toml"
        file.write_text(text)
        file.chmod(mode)
        os.chown(file, 12345, 12345)
        assert layout == find.find(None, {"IAC_TIER_DIR": layout.within("green")})

    def test_one_that_no_memory_could_hold_is_not_read(self, elsewhere: Path) -> None:
        with open(elsewhere / "tierctl.toml", "wb") as file:
            file.truncate(1 << 40)
        with pytest.raises(BadFile, match="is too large"):
            find.find(None, {})

    def test_a_fifo_does_not_hang(self, elsewhere: Path) -> None:
        os.mkfifo(elsewhere / "tierctl.toml")
        with pytest.raises(Untrusted, match="not a file"):
            find.find(None, {})


def test_a_relative_path_is_spelled_as_the_shell_spells_it(tmp_path: Path) -> None:
    (tmp_path / "gpfs").mkdir()
    (tmp_path / "software").symlink_to("gpfs")
    os.chdir(tmp_path / "software")
    assert f"{tmp_path}/software/lab" == find.absolute("lab", {"PWD": f"{tmp_path}/software"})


@pytest.mark.parametrize("lie", ["/", "relative", "/nowhere", ""])
def test_a_wrong_pwd_is_not_believed(elsewhere: Path, lie: str) -> None:
    assert f"{elsewhere}/lab" == find.absolute("lab", {"PWD": lie})
