"""How names and paths reach people."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierctl.text import shown


@given(st.binary().map(os.fsdecode) | st.text(st.characters(exclude_categories=[])))
def test_whatever_a_name_holds_it_is_shown_as_one_printable_line(name: str) -> None:
    assert shown(name).isprintable()
    shown(name).encode()  # no lone surrogates: any UTF-8 stream takes it


@given(st.text().filter(str.isprintable))
def test_a_printable_name_is_shown_as_it_is(name: str) -> None:
    assert name == shown(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("/software/my lab/grün", "/software/my lab/grün"),
        ("", ""),
        ("a\nb", r"a\nb"),
        ("a\tb\r", r"a\tb\r"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\x00\x7f", r"\x00\x7f"),
        ("\x9b31m", r"\x9b31m"),  # the one-character way to begin a terminal sequence
        ("\udcff", r"\xff"),
        ("a\udc80b", r"a\x80b"),
        ("\ud800", r"\ud800"),
        ("\u2028", r"\u2028"),
        ("\u202egnp.exe", r"\u202egnp.exe"),  # turns the direction of text
        ("\U000e0001", r"\U000e0001"),
    ],
)
def test_what_cannot_be_printed_is_escaped(name: str, expected: str) -> None:
    assert expected == shown(name)
