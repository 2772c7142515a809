"""Names become valid text, one spelling each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facecure.names import printable, shown, spelling


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"x.jpg", "x.jpg"),
        ("Åsa".encode(), "Åsa"),
        (b"caf\xe9", "caf\\xe9"),
        (b"\xff\xfe\xc3\xa9", "\\xff\\xfeé"),
        (b"", ""),
    ],
)
def test_bytes_that_are_not_utf_8_are_escaped(name, text):
    assert shown(os.fsdecode(name)) == text
    assert shown(Path(os.fsdecode(name))) == (text or ".")
    shown(os.fsdecode(name)).encode()


def test_unicode_forms_are_one_spelling():
    assert spelling("A\u030asa") == spelling("Åsa") == "Åsa"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("", ""),
        ("Zoë O'Neil 李小龍 👩‍🔬", "Zoë O'Neil 李小龍 👩‍🔬"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\nb\tc\u2028d", "a\\nb\\tc\\u2028d"),
        ("a\u202egnp.exe", "a\\u202egnp.exe"),
        ("\u200bhidden\ufeff", "\\u200bhidden\\ufeff"),
        (os.fsdecode(b"caf\xe9"), "caf\\xe9"),
        ("می‌خواهم", "می‌خواهم"),  # a joiner that spelling needs
    ],
)
def test_nothing_that_hides_or_steers_is_printed_as_it_is(text, seen):
    assert printable(text) == seen


def test_line_ends_of_our_own_may_stay():
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"
