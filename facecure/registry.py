"""Names that stand for classes, as "module:Class": imported when one is asked for, so that adding one costs a line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from facecure.errors import InputError


def class_of(registry: Mapping[str, str], name: str, kind: str) -> Any:
    """Return the class of a name; raises `InputError`, with what was probably meant, for an unknown one.

    `kind` is what the names are of, for the message: "runtime", "cloak", …
    """
    check_name(registry, name, kind)
    module, _, attribute = registry[name].partition(":")
    return getattr(import_module(module), attribute)


def check_name(names: Iterable[str], name: str, kind: str) -> None:
    """Raise `InputError` unless a name is one of `names`."""
    known = list(names)
    if name not in known:
        close = get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
        raise InputError(f"unknown {kind} {name!r}; {hint}")
