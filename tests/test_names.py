"""Names become valid text, one spelling each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facecure.names import shown, spelling


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
