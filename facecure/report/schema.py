"""`Report` ↔ JSON: what is written, and what of older and newer files is read.

The rule for versions: a field that may be ignored is *added* under the same number, with a default here, and readers
skip keys that they do not know, so neither side refuses the other. Whatever changes the meaning of a field, or takes
one away that readers need, raises the number. Rates are written beside their counts for readers without this package;
reading takes the counts alone.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from facecure.errors import InputError
from facecure.report.building import build
from facecure.report.model import CellKey, CellResult, IdentityResult, Interval, Rate, Report
from facecure.report.schema_1 import upgrade
from facecure.runs.atomic import write_whole

SCHEMA = "facecure.report/2"
_FORMER = "facecure.report/1"


def to_json(report: Report) -> str:
    """Return the report as JSON text; equal reports give equal text."""
    rest = {field.name: getattr(report, field.name) for field in fields(report) if field.name != "cells"}
    data = {"schema": SCHEMA, "date": rest.pop("date"), "cells": [_cell(cell) for cell in report.cells], **rest}
    return json.dumps(data, indent=1, ensure_ascii=False, default=_value)


def write_report(report: Report, file: str | os.PathLike[str]) -> None:
    """Write the report's JSON to `file`, synced, whole or not at all."""
    write_whole(Path(file), to_json(report))


def read_report(file: str | os.PathLike[str]) -> Report:
    """Return the report in a JSON file of schema /2 or /1; raises `InputError` for another or a damaged file."""
    try:
        return from_json(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"report {file}: {error.strerror}") from error
    except (InputError, UnicodeDecodeError) as error:
        raise InputError(f"report {file}: {error}") from error


def from_json(text: str) -> Report:
    """Return the report that a JSON text holds; raises `InputError` for another schema or damaged text."""
    try:
        data = json.loads(text)
        schema = data.get("schema")
        if schema not in (SCHEMA, _FORMER):
            raise InputError(f"has the schema {schema!r}, this version reads {SCHEMA!r} and {_FORMER!r}")
        if schema == _FORMER:
            data = upgrade(data)
        cells = [cell | {"identities": [_counts(person) for person in cell["identities"]]} for cell in data["cells"]]
        report: Report = build(Report, data | {"cells": cells})
        return report
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"is not a report: {type(error).__name__}: {error}") from error


def _cell(cell: CellResult) -> dict[str, Any]:
    """Return a cell's key, rates, counts and people as JSON values."""
    return {
        **{field.name: getattr(cell, field.name) for field in fields(CellKey)},
        "protection_rate": cell.protection_rate,
        "probes": cell.probes,
        "identified": cell.identified,
        "interval": cell.interval,
        "exact": cell.exact,
        "bootstrap": cell.bootstrap,
        "identity_mean": cell.identity_mean,
        "clean_error": cell.clean_error,
        "control_error": cell.control_error,
        "enrolled_error": cell.enrolled_error,
        "protection": _rate(cell.protection),
        "clean": _rate(cell.clean),
        "control": _rate(cell.control),
        "enrolled": _rate(cell.enrolled),
        "split_rates": cell.split_rates,
        "splits": [_rate(split) for split in cell.splits],
        "distinct_probes": cell.distinct_probes,
        "unseen_below": cell.unseen_below,
        "other_people": cell.other_people,
        "other_pictures": cell.other_pictures,
        "chance": cell.chance,
        "uncloaked": cell.uncloaked,
        "unmeasured": cell.unmeasured,
        "identities": [_person(person) for person in cell.identities],
    }


def _rate(rate: Rate) -> dict[str, int | float | Interval | None]:
    return {"hits": rate.hits, "n": rate.n, "rate": rate.value, "interval": rate.wilson}


def _person(person: IdentityResult) -> dict[str, Any]:
    """Return a person's counts under the keys they have had since /1, which `_counts` reads."""
    return {
        "identity": person.identity,
        "probes": person.probes,
        "identified": person.identified,
        "clean_identified": person.clean.n - person.clean.hits,
        "interval": person.protection.wilson,
        "exact": person.protection.exact,
        "enrolled": person.enrolled.n,
        "enrolled_identified": person.enrolled.n - person.enrolled.hits,
        "control_probes": person.control.n,
        "control_errors": person.control.hits,
        "revealed_by": person.revealed_by,
    }


def _counts(person: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an `IdentityResult` from a person's counts."""

    def missed(trials: str, identified: str) -> dict[str, int]:
        return {"hits": person[trials] - person[identified], "n": person[trials]}

    return {
        "identity": person["identity"],
        "protection": missed("probes", "identified"),
        "clean": missed("probes", "clean_identified"),
        "enrolled": missed("enrolled", "enrolled_identified"),
        "control": {"hits": person["control_errors"], "n": person["control_probes"]},
        "revealed_by": person["revealed_by"],
    }


def _value(thing: Any) -> Any:
    """Return what JSON writes for a path or a dataclass."""
    return str(thing) if isinstance(thing, Path) else asdict(thing)
