"""The flat table of a report: CSV read back by the csv module and by pandas."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import replace
from io import StringIO

import pytest

from facecure.errors import MissingDependency
from facecure.report.records import COLUMNS, records, to_csv

from .examples import CELL, FULL, REPORT, UNMEASURED


def test_a_cell_is_a_row_of_its_numbers():
    (row, empty) = csv.DictReader(StringIO(to_csv(FULL)))
    assert list(row) == COLUMNS
    assert (row["cloak"], row["extractor"], row["recogniser"], row["year"], row["white_box"]) == (
        "fawkes", "arcface", "nn", "2018", "True"
    )  # fmt: skip
    cell = FULL.cells[0]
    for name in ("protection", "clean", "control", "enrolled"):
        rate = getattr(cell, name)
        assert (int(row[f"{name}_hits"]), int(row[f"{name}_n"])) == (rate.hits, rate.n)
        assert (float(row[f"{name}_rate"]), float(row[f"{name}_low"])) == (rate.value, rate.wilson[0])
        assert empty[f"{name}_rate"] == empty[f"{name}_high"] == ""
    assert float(row["bootstrap_low"]) == 0.1 + 0.2
    assert (row["identities"], row["unmeasured"], row["uncloaked"]) == ("2", "1", "1")


@pytest.mark.parametrize("name", ["a,b", 'say "x"', "two\nlines", "ü × 你", "-1", ""])
def test_odd_names_come_back(name):
    (row,) = csv.DictReader(StringIO(to_csv(replace(REPORT, cells=(replace(CELL, cloak=name),)))))
    assert row["cloak"] == name


def test_without_cells_there_are_headings():
    assert to_csv(replace(REPORT, cells=())) == ",".join(COLUMNS) + "\n"


def test_a_dataframe_has_the_records_and_their_types():
    pandas = pytest.importorskip("pandas")
    frame = FULL.to_dataframe()
    assert list(frame.columns) == COLUMNS
    assert len(frame) == 2
    assert frame.loc[0, "protection_rate"] == 8 / 18
    assert pandas.isna(frame.loc[1, "protection_rate"])
    assert str(frame["year"].dtype) == "Int64"
    assert frame["white_box"].tolist() == [True, pandas.NA]
    assert frame["protection_n"].tolist() == [18, 0]
    assert frame[["clean_hits", "clean_n"]].sum().tolist() == [1, 18]
    again = pandas.read_csv(StringIO(to_csv(FULL)))
    assert again["protection_low"].tolist()[0] == records(FULL)[0]["protection_low"]
    for report in (replace(REPORT, cells=()), replace(REPORT, cells=(UNMEASURED,))):
        assert len(report.to_dataframe()) == len(report.cells)


def test_without_pandas_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingDependency, match=r"facecure\[report\]"):
        REPORT.to_dataframe()


def test_a_report_loads_no_pandas():
    code = "import sys, facecure.report.records, facecure.report.schema; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
