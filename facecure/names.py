"""Names and other foreign text: not all of it is Unicode, nor made to be looked at."""

from __future__ import annotations

import unicodedata
from os import PathLike, fspath


def shown(name: str | PathLike[str]) -> str:
    r"""Return a name as valid Unicode: a byte of it that is not UTF-8, a lone surrogate in Python, becomes `\xNN`."""
    return fspath(name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def spelling(name: str) -> str:
    r"""Return a name as identities and keys are compared: shown, in the one Unicode form that macOS decomposes."""
    return unicodedata.normalize("NFC", shown(name))


def printable(text: str, keep: str = "") -> str:
    r"""Return text of which all can be seen: what moves a cursor, turns the reading direction or hides is escaped.

    Control and format characters become `\x1b` or `\u202e`, and so do line ends, but for those in `keep`; joiners, of
    which scripts and emoji are made, stay.

    >>> print(printable('a' + chr(0x202E) + 'b'))
    a\u202eb
    """
    return "".join(_seen(c) if c not in keep else c for c in shown(text))


def _seen(character: str) -> str:
    hidden = unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp") and character not in "\u200c\u200d"
    return character.encode("unicode_escape").decode() if hidden else character
