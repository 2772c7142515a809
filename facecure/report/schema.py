"""`Report` ↔ JSON, schema `facecure.report/1`."""

from __future__ import annotations

import json
import os
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

from facecure.errors import InputError
from facecure.runs.atomic import write_whole
from facecure.types import Cell, IdentityResult, Report, RevealedBy

SCHEMA = "facecure.report/1"


def to_json(report: Report) -> str:
    """Return the report as JSON text; equal reports give equal text."""
    return json.dumps(asdict(report), indent=1, ensure_ascii=False)


def write_report(report: Report, file: Path) -> None:
    """Return when the report's JSON is on the disk, whole or not at all."""
    write_whole(file, to_json(report))


def read_report(file: str | os.PathLike[str]) -> Report:
    """Return the report in a JSON file; raises `InputError` for another schema or a damaged file."""
    try:
        return from_json(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"report {file}: {error.strerror}") from error
    except (InputError, UnicodeDecodeError) as error:
        raise InputError(f"report {file}: {error}") from error


def from_json(text: str) -> Report:
    """Return the report that `to_json` wrote; raises `InputError` for another schema or damaged text."""
    try:
        data = json.loads(text)
        if data.get("schema") != SCHEMA:
            raise InputError(f"has the schema {data.get('schema')!r}, this version reads {SCHEMA!r}")
        cells = tuple(_cell(cell) for cell in data.pop("cells"))
        rest: dict[str, Any] = {
            key: tuple(value) if key in ("excluded", "warnings", "comparisons", "suspects") else value
            for key, value in data.items()
        }
        return Report(cells=cells, **rest)
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"is no report: {type(error).__name__}: {error}") from error


def _cell(data: dict[str, Any]) -> Cell:
    people = tuple(
        _tuples(IdentityResult, person | {"revealed_by": tuple(RevealedBy(**r) for r in person["revealed_by"])})
        for person in data["identities"]
    )
    cell: Cell = _tuples(Cell, data | {"identities": people})
    return cell


def _tuples(kind: Any, data: dict[str, Any]) -> Any:
    """Return `kind(**data)` with JSON's lists as the tuples that the dataclass holds."""
    names = {field.name for field in fields(kind)}
    needed = {field.name for field in fields(kind) if field.default is MISSING}  # later versions added fields
    if not needed <= data.keys() <= names:
        raise TypeError(f"{kind.__name__} has {sorted(names)}, the file {sorted(data)}")
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in data.items()})
