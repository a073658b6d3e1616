"""Every condition has one class, with a name of its own in JSON documents."""

import errno
import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator

import pytest

import tierctl
from tierctl import errors
from tierctl.errors import TierctlError, cause_of


def all_modules() -> list[str]:
    """Return every module of the package but the one that runs the program."""
    found = (module.name for module in pkgutil.walk_packages(tierctl.__path__, "tierctl."))
    return [name for name in found if not name.endswith("__main__")]


def kinds() -> list[type[TierctlError]]:
    for module in all_modules():
        importlib.import_module(module)

    def below(kind: type[TierctlError]) -> Iterator[type[TierctlError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from below(child)

    return sorted(set(below(TierctlError)), key=lambda kind: kind.__name__)


def test_every_error_has_a_code_of_its_own() -> None:
    codes = Counter(kind.__dict__.get("code") for kind in kinds())
    assert None not in codes, "one shares its parent's code"
    assert [] == [code for code, times in codes.items() if times > 1]


def test_codes_are_words_with_hyphens() -> None:
    assert [] == [kind.code for kind in kinds() if not re.fullmatch("[a-z]+(-[a-z]+)*", kind.code)]


def test_every_error_says_what_it_means() -> None:
    assert [] == [kind.__name__ for kind in kinds() if not kind.__doc__]


FORGED = "/lab\n\x1b[2J\udcff"
WITH_PATHS = [
    errors.NotATarget(FORGED, FORGED, "is not there"),
    errors.AmbiguousTarget(FORGED, FORGED),
    errors.BadFile(FORGED, "no valid TOML"),
    errors.Untrusted(FORGED, "can be written by everybody"),
    errors.InvalidLink(FORGED, "is missing"),
    errors.NotWritable(FORGED, FORGED),
    errors.LocksUnsupported(FORGED, "No locks available"),
]


@pytest.mark.parametrize("error", WITH_PATHS, ids=lambda error: error.code)
def test_a_path_cannot_forge_a_line_of_a_message(error: TierctlError) -> None:
    if isinstance(error, errors.NotATarget):
        error = errors.NotATarget("--target", FORGED, "is not there")
    assert error.message.isprintable()
    assert error.hint.isprintable()
    assert r"/lab\n\x1b[2J\xff" in error.message


@pytest.mark.parametrize("error", WITH_PATHS, ids=lambda error: error.code)
def test_every_refusal_of_a_path_says_what_to_do(error: TierctlError) -> None:
    assert error.hint or isinstance(error, errors.BadFile)


def test_the_text_of_an_error_is_its_message() -> None:
    assert "what is wrong" == str(TierctlError("what is wrong", "what to type"))


class TestCause:
    def test_it_names_the_path_and_what_the_system_said(self) -> None:
        error = OSError(errno.ENOSPC, "No space left on device", "/lab/x")
        assert "/lab/x: No space left on device" == cause_of(error)

    def test_a_path_is_shown_as_one_line(self) -> None:
        assert r"/a\n\xff: bad" == cause_of(OSError(1, "bad", "/a\n\udcff"))

    def test_a_path_in_bytes_is_shown_as_text(self) -> None:
        assert r"/a\xff: bad" == cause_of(OSError(1, "bad", b"/a\xff"))

    def test_without_a_path_it_is_what_the_system_said(self) -> None:
        assert "bad" == cause_of(OSError(1, "bad"))

    def test_without_a_number_it_is_what_the_error_says(self) -> None:
        assert "bad" == cause_of(OSError("bad"))
