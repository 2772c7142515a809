"""A report as a flat table, one row per cell: CSV and pandas."""

from __future__ import annotations

import csv
from dataclasses import fields
from io import StringIO
from typing import TYPE_CHECKING

from facecure.errors import MissingDependency
from facecure.report.model import CellKey, CellResult, Interval, Report

if TYPE_CHECKING:
    import pandas

Record = dict[str, str | int | float | bool | None]
_FACTS = (
    "identity_mean",
    "control_error",
    "distinct_probes",
    "unseen_below",
    "other_people",
    "other_pictures",
    "chance",
)
_RATES = ("protection", "clean", "control", "enrolled")


def records(report: Report) -> list[Record]:
    """Return one flat record per cell, the counts of each rate beside it; intervals are 95 %, `low` to `high`."""
    return [_record(cell) for cell in report.cells]


def to_csv(report: Report) -> str:
    """Return the records as comma-separated text with a line of headings; None is an empty field."""
    text = StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records(report))
    return text.getvalue()


def to_dataframe(report: Report) -> pandas.DataFrame:
    """Return the records as a pandas table; raises `MissingDependency` without pandas."""
    try:
        import pandas
    except ImportError as error:
        raise MissingDependency("pandas", "report") from error
    # None beside numbers would make floats of years
    return pandas.DataFrame(records(report), columns=COLUMNS).astype({"year": "Int64", "white_box": "boolean"})


def _record(cell: CellResult) -> Record:
    record: Record = {field.name: getattr(cell, field.name) for field in fields(CellKey)}
    for name in _RATES:
        rate = getattr(cell, name)
        record |= {f"{name}_rate": rate.value, f"{name}_hits": rate.hits, f"{name}_n": rate.n}
        record |= _bounds(name, rate.wilson)
    record |= _bounds("protection_exact", cell.exact) | _bounds("bootstrap", cell.bootstrap)
    record |= {name: getattr(cell, name) for name in _FACTS}
    return record | {name: len(getattr(cell, name)) for name in ("identities", "unmeasured", "uncloaked")}


def _bounds(name: str, interval: Interval | None) -> Record:
    low, high = interval or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


COLUMNS = list(_record(CellResult(cloak="", extractor="", protocol="")))
