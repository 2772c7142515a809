"""Dataclasses from JSON values, checked against the types of their fields."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

_ATOMS: dict[type, tuple[type, ...]] = {float: (int, float), int: (int,), str: (str,), bool: (bool,), Path: (str,)}


def build(kind: Any, value: Any, at: str = "report") -> Any:
    """Return `value` as a `kind`: a dataclass, tuple, dict, path, text, number, truth value or one of these or None.

    Keys that a dataclass does not have are skipped, missing ones take its defaults. Raises `TypeError` saying `at`
    which place the value is of another type.
    """
    arguments = get_args(kind)
    if kind is Any:
        return value
    if isinstance(kind, UnionType):
        return None if value is None else build(arguments[0], value, at)
    if is_dataclass(kind):
        values = _checked(value, dict, at)
        hints = _hints(kind)  # type: ignore[arg-type]
        known = {field.name for field in fields(kind)} & values.keys()
        return kind(**{name: build(hints[name], values[name], f"{at}.{name}") for name in known})  # type: ignore[operator]
    if get_origin(kind) is tuple:
        entries = _checked(value, list, at)
        kinds = [arguments[0]] * len(entries) if arguments[-1] is Ellipsis else arguments
        if len(kinds) != len(entries):
            raise TypeError(f"{at} has {len(entries)} entries, not {len(kinds)}")
        return tuple(build(k, entry, f"{at}[{i}]") for i, (k, entry) in enumerate(zip(kinds, entries, strict=True)))
    if get_origin(kind) is dict:
        entries = _checked(value, dict, at)
        return {key: build(arguments[1], entry, f"{at}.{key}") for key, entry in entries.items()}
    if not isinstance(value, _ATOMS[kind]) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{at} is {value!r}, not of type {kind.__name__}")
    return kind(value)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _checked(value: Any, kind: type, at: str) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{at} is {value!r}, not a JSON {'object' if kind is dict else 'list'}")
    return value
