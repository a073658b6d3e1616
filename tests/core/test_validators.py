"""What has to be true of links and paths."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from places import FILESYSTEMS, Place, place_on
from targets import make_target
from tierctl.errors import InvalidLink, InvalidTargetPath, SameColor
from tierctl.fs.protocol import FileSystem
from tierctl.rotation.state import Color, Content, State
from tierctl.target.paths import Layout
from tierctl.target.validators import (
    LONGEST_PREFIX,
    is_deployment_number,
    validate_color,
    validate_rotation,
    validate_symlink_target,
    validate_target_path,
)

BLUE, GREEN = Content("blue"), Content("green")


class ByHand(Place):
    """A target at ``root`` whose colors are plain directories, and nothing in it loadable yet."""

    @property
    def layout(self) -> Layout:
        return Layout.of_target(f"{self.root}/lab")

    def tier(self, text: str) -> Color:
        """Point staging somewhere, and return the color that this is found to be."""
        path = self.layout.within("staging")
        self.fs.make_link(path, text)
        return validate_symlink_target(path, self.fs)

    def color(self, text: str) -> Content:
        """Point blue somewhere, and return the content that this is found to be."""
        path = self.layout.within("blue")
        self.fs.remove(path)
        self.fs.make_link(path, text)
        return validate_color(path, self.fs)

    def directory(self, name: str) -> str:
        self.fs.make_directory(self.path(name), 0o755)
        return self.path(name)


@pytest.fixture(params=FILESYSTEMS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> ByHand:
    """A target without tiers, with deployments 7 and 41, really and in memory."""
    fs, root = place_on(request.param, tmp_path)
    fs.make_directory(f"{root}/lab", 0o755)
    make_target(f"{root}/lab", fs=fs, production=None, staging=None, deployments=(7, 41))
    return ByHand(fs, root)


class TestTier:
    @pytest.mark.parametrize(
        "text",
        ["blue", "./blue", "blue/", "././blue//", ".//blue", "../infrastructure/blue"],
    )
    def test_every_spelling_of_a_color_beside_it_is_accepted(
        self, target: ByHand, text: str
    ) -> None:
        assert Color.BLUE is target.tier(text)

    def test_green_is_accepted_as_well(self, target: ByHand) -> None:
        assert Color.GREEN is target.tier("green")

    def test_an_absolute_path_to_the_color_beside_it_is_accepted(self, target: ByHand) -> None:
        assert Color.BLUE is target.tier(target.path("lab/infrastructure/blue"))

    def test_an_absolute_path_through_a_symlinked_parent_is_accepted(self, target: ByHand) -> None:
        target.fs.make_link(target.path("alias"), "lab")
        assert Color.BLUE is target.tier(target.path("alias/infrastructure/blue"))

    def test_a_tier_that_is_reached_through_a_symlinked_parent_is_accepted(
        self, target: ByHand
    ) -> None:
        target.tier("blue")
        target.fs.make_link(target.path("alias"), "lab")
        path = target.path("alias/infrastructure/staging")
        assert Color.BLUE is validate_symlink_target(path, target.fs)

    def test_a_color_that_is_a_link_is_accepted(self, target: ByHand) -> None:
        target.color("deployments/41")
        assert Color.BLUE is target.tier("blue")

    def test_what_is_missing_is_said_to_be(self, target: ByHand) -> None:
        with pytest.raises(InvalidLink, match=r"staging is missing$"):
            validate_symlink_target(target.layout.within("staging"), target.fs)

    def test_a_directory_is_no_tier(self, target: ByHand) -> None:
        path = target.directory("lab/infrastructure/staging")
        with pytest.raises(InvalidLink, match="is a directory, not a symlink"):
            validate_symlink_target(path, target.fs)

    def test_a_file_is_no_tier(self, target: ByHand) -> None:
        path = target.layout.within("staging")
        target.fs.write(path, b"blue", mode=0o644)
        with pytest.raises(InvalidLink, match="is a file, not a symlink"):
            validate_symlink_target(path, target.fs)

    @pytest.mark.parametrize("text", ["nowhere", "deployments/99", "../blue", "/no/where/blue"])
    def test_a_dangling_link_is_said_to_be(self, target: ByHand, text: str) -> None:
        with pytest.raises(
            InvalidLink, match=f"is dangling: staging -> {text}, which does not exist"
        ):
            target.tier(text)

    def test_a_link_to_a_dangling_color_is_dangling(self, target: ByHand) -> None:
        with pytest.raises(InvalidLink, match="is dangling"):
            target.color("deployments/99")
        with pytest.raises(InvalidLink, match="dangling: staging -> blue -> deployments/99, which"):
            target.tier("blue")

    def test_a_loop_is_said_to_be(self, target: ByHand) -> None:
        with pytest.raises(InvalidLink, match="is a loop: it points to staging"):
            target.tier("staging")

    def test_a_loop_of_two_is_said_to_be(self, target: ByHand) -> None:
        target.fs.make_link(target.layout.within("production"), "staging")
        with pytest.raises(InvalidLink, match="is a loop: it points to production"):
            target.tier("production")

    @pytest.mark.parametrize("text", ["deployments", "other", "./production", "Blue", "blue2"])
    def test_whatever_is_neither_blue_nor_green_is_refused(self, target: ByHand, text: str) -> None:
        target.fs.make_link(target.layout.within("production"), "blue")
        for name in ("other", "Blue", "blue2"):
            target.directory(f"lab/infrastructure/{name}")
        with pytest.raises(InvalidLink, match="neither blue nor green"):
            target.tier(text)

    @pytest.mark.parametrize("text", ["deployments/41", "..", "../..", ".", "blue/inside", "/"])
    def test_what_is_not_beside_it_is_outside(self, target: ByHand, text: str) -> None:
        target.directory("lab/infrastructure/blue/inside")
        with pytest.raises(InvalidLink, match="outside"):
            target.tier(text)

    @pytest.mark.parametrize("how", ["..", "absolute", "through another link"])
    def test_a_color_of_another_target_is_outside(self, target: ByHand, how: str) -> None:
        target.directory("other")
        make_target(target.path("other"), fs=target.fs)
        target.fs.make_link(target.layout.within("other"), "../../other/infrastructure")
        text = {
            "..": "../../other/infrastructure/blue",
            "absolute": target.path("other/infrastructure/blue"),
            "through another link": "other/blue",
        }[how]
        with pytest.raises(InvalidLink, match="outside"):
            target.tier(text)

    def test_a_file_is_no_color(self, target: ByHand) -> None:
        path = target.layout.within("blue")
        target.fs.remove(path)
        target.fs.write(path, b"", mode=0o644)
        with pytest.raises(InvalidLink, match="points to blue, which is a file"):
            target.tier("blue")

    @pytest.mark.parametrize("text", ["file/blue", "file/"])
    def test_what_leads_through_a_file_is_refused(self, target: ByHand, text: str) -> None:
        target.fs.write(target.path("lab/infrastructure/file"), b"", mode=0o644)
        with pytest.raises(InvalidLink):
            target.tier(text)

    def test_a_refusal_says_what_to_type_next(self, target: ByHand) -> None:
        with pytest.raises(InvalidLink) as caught:
            target.tier("deployments")
        assert "Point staging to blue or green" in caught.value.hint
        assert target.layout.within("staging") == caught.value.path

    def test_it_is_the_filesystem_of_this_host_unless_another_is_given(
        self, tmp_path: Path
    ) -> None:
        layout = make_target(tmp_path)
        assert Color.BLUE is validate_symlink_target(layout.within("staging"))
        assert BLUE == validate_color(layout.within("blue"))

    def test_a_relative_path_is_taken_from_the_working_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(make_target(tmp_path, blue=3).infrastructure)
        assert Color.BLUE is validate_symlink_target("staging")
        assert BLUE._replace(directory="deployments/3") == validate_color("blue")


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\nproduction -> blue", r"a\nproduction -> blue"), ("\x1b[2J", r"\x1b[2J")],
)
def test_a_link_cannot_forge_a_line_of_a_message(target: ByHand, text: str, shown: str) -> None:
    with pytest.raises(InvalidLink) as caught:
        target.tier(text)
    assert shown in caught.value.message
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("where", ["lab/infrastructure/", "", "lab/infrastructure/deployments/"])
def test_a_link_to_what_is_there_cannot_forge_a_line_either(target: ByHand, where: str) -> None:
    path = target.directory(where + "a\nb")
    for follow in (target.tier, target.color):
        with pytest.raises(InvalidLink) as caught:
            follow(path)
        assert caught.value.message.isprintable()


@pytest.mark.parametrize("name", ["lab\n", "l\udcffab", "\x1b]0;"])
def test_a_directory_cannot_forge_a_line_of_a_message(target: ByHand, name: str) -> None:
    path = f"{target.directory(name)}/staging"
    target.fs.make_link(path, name)
    for validate in (validate_symlink_target, validate_color):
        with pytest.raises(InvalidLink) as caught:
            validate(path, target.fs)
        assert caught.value.message.isprintable()
        assert path == caught.value.path


def test_names_in_the_working_directory_can_be_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = make_target(tmp_path, blue=42)
    monkeypatch.chdir(layout.infrastructure)
    assert Color.GREEN is validate_symlink_target("production")
    assert Content("green") == validate_color("green")
    assert Content("deployments/42") == validate_color("blue")


class TestColor:
    def test_a_plain_directory_is_a_color(self, target: ByHand) -> None:
        path = target.layout.within("blue")
        assert BLUE == validate_color(path, target.fs)

    @pytest.mark.parametrize(
        "text", ["deployments/41", "./deployments/41", "deployments/41/", "deployments//41"]
    )
    def test_a_link_to_a_deployment_is_a_color(self, target: ByHand, text: str) -> None:
        assert Content("deployments/41") == target.color(text)

    def test_a_deployment_that_is_itself_a_link_is_none(self, target: ByHand) -> None:
        target.directory("elsewhere")
        path = target.path("lab/infrastructure/deployments/42")
        target.fs.make_link(path, target.path("elsewhere"))
        with pytest.raises(InvalidLink, match="which is itself a symlink"):
            target.color("deployments/42")

    def test_an_absolute_link_to_a_deployment_is_a_color(self, target: ByHand) -> None:
        path = target.path("lab/infrastructure/deployments/41")
        assert Content.of_deployment(41) == target.color(path)

    def test_an_absolute_link_through_a_symlinked_parent_is_a_color(self, target: ByHand) -> None:
        target.fs.make_link(target.path("alias"), "lab")
        path = target.path("alias/infrastructure/deployments/41")
        assert Content.of_deployment(41) == target.color(path)

    def test_what_is_missing_is_said_to_be(self, target: ByHand) -> None:
        with pytest.raises(InvalidLink, match="is missing"):
            validate_color(target.layout.within("purple"), target.fs)

    def test_a_file_is_no_color(self, target: ByHand) -> None:
        target.fs.write(target.path("file"), b"", mode=0o644)
        with pytest.raises(InvalidLink, match="is a file; a color is a directory or a symlink"):
            validate_color(target.path("file"), target.fs)

    def test_a_fifo_is_no_color(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "blue")
        with pytest.raises(InvalidLink, match="is a special file"):
            validate_color(str(tmp_path / "blue"))

    @pytest.mark.parametrize("text", ["deployments/99", "/no/where"])
    def test_a_dangling_link_is_said_to_be(self, target: ByHand, text: str) -> None:
        with pytest.raises(InvalidLink, match="is dangling"):
            target.color(text)

    def test_a_loop_is_said_to_be(self, target: ByHand) -> None:
        with pytest.raises(InvalidLink, match="is a loop"):
            target.color("blue")

    @pytest.mark.parametrize("name", ["007", "x", "0", "4\u0661", "-1", "1 ", "1234567890", "+7"])
    def test_what_is_no_number_as_tierctl_writes_it_is_no_deployment(
        self, target: ByHand, name: str
    ) -> None:
        target.directory(f"lab/infrastructure/deployments/{name}")
        with pytest.raises(InvalidLink, match="no deployment of this target"):
            target.color(f"deployments/{name}")

    @pytest.mark.parametrize("text", ["green", "..", "deployments", "deployments/.", "41", "/"])
    def test_what_is_not_among_the_deployments_is_none(self, target: ByHand, text: str) -> None:
        target.directory("lab/infrastructure/41")
        with pytest.raises(InvalidLink, match="no deployment of this target"):
            target.color(text)

    def test_what_is_below_a_deployment_is_none(self, target: ByHand) -> None:
        target.directory("lab/infrastructure/deployments/41/41")
        with pytest.raises(InvalidLink, match="no deployment of this target"):
            target.color("deployments/41/41")

    def test_a_deployment_of_another_target_is_none(self, target: ByHand) -> None:
        target.directory("other")
        make_target(target.path("other"), fs=target.fs, deployments=(41,))
        with pytest.raises(InvalidLink, match="no deployment of this target"):
            target.color("../../other/infrastructure/deployments/41")

    def test_a_deployment_that_is_a_file_is_none(self, target: ByHand) -> None:
        path = target.path("lab/infrastructure/deployments/5")
        target.fs.write(path, b"", mode=0o644)
        with pytest.raises(InvalidLink, match="which is a file"):
            target.color("deployments/5")


@given(st.integers(1, 999_999_999))
def test_every_number_is_a_deployment_s_as_it_is_written(number: int) -> None:
    assert is_deployment_number(str(number))
    assert not is_deployment_number(f"0{number}")


@given(st.text(st.characters(categories=["Nd"]) | st.characters(), max_size=12))
def test_only_numbers_are_deployment_numbers(name: str) -> None:
    if is_deployment_number(name):
        assert name == str(int(name))


class TestRotation:
    @pytest.mark.parametrize("color", Color)
    def test_one_color_for_both_tiers_is_refused(self, color: Color) -> None:
        with pytest.raises(SameColor) as caught:
            validate_rotation(State(color, color, BLUE, GREEN))
        assert color.value == caught.value.color

    @pytest.mark.parametrize("staging", Color)
    def test_two_colors_or_no_production_are_accepted(self, staging: Color) -> None:
        validate_rotation(State(staging.opposite, staging, BLUE, GREEN))
        validate_rotation(State(None, staging, BLUE, GREEN))


LONGEST_BELOW = "/infrastructure/deployments/999999/conda/envs/" + "x" * 24
LONGEST_TARGET = LONGEST_PREFIX - len(LONGEST_BELOW)


class TestTargetPath:
    def test_a_path_with_just_enough_room_below_is_accepted(self) -> None:
        validate_target_path("/" + "x" * (LONGEST_TARGET - 1))

    def test_a_path_of_one_byte_more_is_refused_and_told_how_much_is_too_much(self) -> None:
        with pytest.raises(InvalidTargetPath, match="1 bytes too long"):
            validate_target_path("/" + "x" * LONGEST_TARGET)

    def test_length_is_counted_in_bytes(self) -> None:
        letters = (LONGEST_TARGET - 1) // 2
        validate_target_path("/" + "ü" * letters)
        with pytest.raises(InvalidTargetPath, match="too long"):
            validate_target_path("/" + "ü" * (letters + 1))

    def test_a_byte_that_is_no_text_counts_as_one(self) -> None:
        validate_target_path("/" + "\udcff" * (LONGEST_TARGET - 1))

    @pytest.mark.parametrize("char", ["\n", "\t", "\0", "\x1b", "\x1f", "\x7f"])
    def test_control_characters_are_refused_and_shown_escaped(self, char: str) -> None:
        with pytest.raises(InvalidTargetPath, match="control characters") as caught:
            validate_target_path(f"/lab{char}")
        assert caught.value.message.isprintable()

    def test_a_colon_is_refused(self) -> None:
        with pytest.raises(InvalidTargetPath, match="colon"):
            validate_target_path("/lab:1")

    @pytest.mark.parametrize(
        "path", ["/", "/software/my lab", "/a'b", '/a"b', "/$HOME", "/grün", "/\udcff", "/a\\b"]
    )
    def test_whatever_else_a_path_can_hold_is_accepted(self, path: str) -> None:
        validate_target_path(path)


def test_validating_changes_nothing(target: ByHand) -> None:
    def names(fs: FileSystem) -> list[str]:
        return fs.names(target.layout.infrastructure)

    target.tier("blue")
    before = names(target.fs)
    validate_symlink_target(target.layout.within("staging"), target.fs)
    validate_color(target.layout.within("blue"), target.fs)
    assert before == names(target.fs)
