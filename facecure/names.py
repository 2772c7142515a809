"""File names as text: not every name is Unicode."""

from __future__ import annotations

import unicodedata
from os import PathLike, fspath


def shown(name: str | PathLike[str]) -> str:
    r"""Return a name as valid Unicode: a byte of it that is not UTF-8, a lone surrogate in Python, becomes `\xNN`."""
    return fspath(name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def spelling(name: str) -> str:
    r"""Return a name as identities and keys are compared: shown, in the one Unicode form that macOS decomposes."""
    return unicodedata.normalize("NFC", shown(name))
