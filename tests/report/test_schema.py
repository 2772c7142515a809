"""A report comes back from JSON as it was, or the file is named that cannot be one."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from facecure.errors import InputError
from facecure.report.schema import from_json, read_report, to_json, write_report
from facecure.types import Cell, IdentityResult, Report, RevealedBy

ANN = IdentityResult(
    "Ann | Ñandú", 10, 4, 9, (0.3126, 0.8318), 14, 12, 20, 1, (RevealedBy("a/1.png", 3, 1), RevealedBy("a/2.png", 1, 1))
)
BOB = IdentityResult("Bob", 1, 0, 1, None, 0, 0, 0, 0, ())
CELL = Cell(
    "fawkes", "arcface", "nn", "baseline", "corrected", 0.1 + 0.2, 11, 4, (0.35, 1 / 3), (0.1, 0.9), 0.8,
    (0.5, None, 0.7), 0.1, 0.05, 1 / 7, (ANN, BOB), ({"identity": "Cid", "reason": "no probe"},),
    other_people=4, other_pictures=17, chance=0.2, uncloaked=("a/1.png",),
)  # fmt: skip
UNMEASURED = Cell(
    "lowkey", "arcface", "nn", "baseline", "corrected", None, 0, 0, None, None, None, (None,), None, None, None, (), ()
)
REPORT = Report(
    cells=(CELL, UNMEASURED),
    protocol={"name": "corrected", "splits": 3, "seed": 0, "notes": ["a", "b"]},
    pictures={"clean": {"identities": 2, "pictures": 30, "found": 31}},
    excluded=({"path": "b/ö.jpg", "reason": 'unreadable: "\\"\n'},),
    suspects=({"path": "a/1.png", "reason": "uncloaked: x"},),
    warnings=("one", "two"),
    environment={"detector": None, "versions": {"numpy": "2.0"}, "seconds": {"embed": 0.125}, "cuda_built": False},
)
REPORTS = {
    "full": REPORT,
    "no cells": replace(REPORT, cells=()),
    "nothing": Report((), {}, {}, (), (), {}),
    "nobody measured": replace(REPORT, cells=(UNMEASURED,), excluded=(), warnings=()),
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_comes_back_as_it_was(tmp_path, name):
    report = REPORTS[name]
    assert from_json(to_json(report)) == report
    write_report(report, tmp_path / "report.json")
    assert read_report(tmp_path / "report.json") == report
    assert read_report(str(tmp_path / "report.json")) == report
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]


def test_the_json_has_the_contracts_layout():
    data = json.loads(to_json(REPORT), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert data["schema"] == "facecure.report/1"
    cell = data["cells"][0]
    assert (cell["cloak"], cell["extractor"], cell["probes"], cell["identified"]) == ("fawkes", "arcface", 11, 4)
    assert cell["protection_rate"] == 0.1 + 0.2
    assert cell["interval"] == [0.35, 1 / 3]
    assert cell["identities"][0]["revealed_by"][0] == {"path": "a/1.png", "probes": 3, "alone": 1}
    assert data["cells"][1]["interval"] is None
    assert data["excluded"] == [{"path": "b/ö.jpg", "reason": 'unreadable: "\\"\n'}]


def test_equal_reports_give_equal_text():
    assert to_json(from_json(to_json(REPORT))) == to_json(REPORT)


def damaged(**change: object) -> str:
    return json.dumps(json.loads(to_json(REPORT)) | change)


def in_cell(**change: object) -> str:
    data = json.loads(to_json(REPORT))
    data["cells"][0] |= change
    return json.dumps(data)


def without(key: str) -> str:
    data = json.loads(to_json(REPORT))
    del data[key]
    return json.dumps(data)


DAMAGE = {
    "another schema": (damaged(schema="facecure.report/2"), "facecure.report/2.*facecure.report/1"),
    "no schema": (without("schema"), "schema None.*facecure.report/1"),
    "empty": ("", "no report"),
    "truncated": (to_json(REPORT)[:-20], "no report"),
    "text": ("hello", "no report"),
    "a list": ("[]", "no report"),
    "a number": ("1", "no report"),
    "null": ("null", "no report"),
    "no cells": (without("cells"), "no report.*cells"),
    "no environment": (without("environment"), "no report.*environment"),
    "more than a report has": (damaged(more=1), "no report.*more"),
    "cells is null": (damaged(cells=None), "no report"),
    "warnings is null": (damaged(warnings=None), "no report"),
    "a cell with more": (in_cell(more=1), "no report.*more"),
    "a person with less": (in_cell(identities=[{"identity": "Ann"}]), "no report"),
    "a picture with less": (in_cell(identities=[{"revealed_by": [{"path": "x"}]}]), "no report"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_is_no_report_is_refused_and_named(tmp_path, kind):
    text, message = DAMAGE[kind]
    with pytest.raises(InputError, match=message):
        from_json(text)
    file = tmp_path / "report.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=f"^report {re.escape(str(file))}: .*{message}"):
        read_report(file)


@pytest.mark.parametrize(("content", "message"), [(b"\xff\xfe\x00", "utf-8"), (None, "No such file")])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content, message):
    file = tmp_path / "report.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=rf"^report \S*report\.json: .*{message}"):
        read_report(file)


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_run_killed_while_writing_keeps_the_earlier_report(tmp_path, monkeypatch, moment):
    file = tmp_path / "report.json"
    write_report(REPORT, file)

    def kill(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(*((os, "fsync") if moment == "fsync" else (Path, "replace")), kill)
    with pytest.raises(KeyboardInterrupt):
        write_report(replace(REPORT, warnings=()), file)
    monkeypatch.undo()
    assert read_report(file) == REPORT
    write_report(replace(REPORT, warnings=()), file)  # what was left behind is in nobody's way
    assert read_report(file).warnings == ()
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]


def test_a_report_of_an_earlier_version_is_read(tmp_path):
    data = json.loads(to_json(REPORT))
    del data["suspects"]
    for cell in data["cells"]:
        for key in ("other_people", "other_pictures", "chance", "uncloaked"):
            del cell[key]
    older = {"other_people": 0, "other_pictures": 0, "chance": None, "uncloaked": ()}
    cells = tuple(replace(cell, **older) for cell in REPORT.cells)
    assert from_json(json.dumps(data)) == replace(REPORT, cells=cells, suspects=())
