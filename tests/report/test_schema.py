"""A report comes back from JSON as it was, or the file is named that cannot be one."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from facecure.errors import InputError
from facecure.report.model import Rate
from facecure.report.schema import SCHEMA, from_json, read_report, to_json, write_report

from .examples import ENVIRONMENT, FULL, REPORT, UNMEASURED

REPORTS = {
    "full": FULL,
    "short": REPORT,
    "no cells": replace(REPORT, cells=()),
    "nobody measured": replace(REPORT, cells=(UNMEASURED,), excluded=(), warnings=()),
    "no detector": replace(REPORT, environment=replace(ENVIRONMENT, detector=None, extractors=())),
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
    data = json.loads(to_json(FULL), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert data["schema"] == SCHEMA == "facecure.report/2"
    assert data["date"] == "2026-11-27T00:52:15+00:00"
    cell = data["cells"][0]
    assert (cell["cloak"], cell["extractor"], cell["year"], cell["white_box"]) == ("fawkes", "arcface", 2018, True)
    # every key of /1
    assert (cell["probes"], cell["identified"], cell["protection_rate"]) == (18, 10, 8 / 18)
    assert (cell["clean_error"], cell["control_error"], cell["enrolled_error"]) == (1 / 18, 1 / 20, 7 / 24)
    assert cell["interval"] == list(Rate(8, 18).wilson)
    assert cell["exact"] == list(Rate(8, 18).exact)
    assert cell["split_rates"] == [0.5, 0.375]
    assert cell["bootstrap"] == [0.1 + 0.2, 1 / 3]
    person = cell["identities"][0]
    assert person.pop("interval") == list(Rate(6, 10).wilson)
    assert person.pop("exact") == list(Rate(6, 10).exact)
    assert person == {
        "identity": "Ann", "probes": 10, "identified": 4, "clean_identified": 9, "enrolled": 14,
        "enrolled_identified": 7, "control_probes": 20, "control_errors": 1,
        "revealed_by": [
            {"path": "ann/1.png", "probes": 3, "alone": 1}, {"path": "ann/2.png", "probes": 1, "alone": 1}
        ],
    }  # fmt: skip
    assert data["excluded"] == [{"path": "b/ö.jpg", "reason": 'unreadable: "\\"\n'}]
    # and of /2
    for name, rate in {"clean": Rate(1, 18), "control": Rate(1, 20), "enrolled": Rate(7, 24)}.items():
        assert cell[name] == {"hits": rate.hits, "n": rate.n, "rate": rate.value, "interval": list(rate.wilson)}
    assert data["cells"][1]["clean"] == {"hits": 0, "n": 0, "rate": None, "interval": None}


def test_equal_reports_give_equal_text():
    assert to_json(from_json(to_json(REPORT))) == to_json(REPORT)


def damaged(**change: object) -> str:
    return json.dumps(json.loads(to_json(REPORT)) | change)


def in_cell(*removed: str, **change: object) -> str:
    data = json.loads(to_json(REPORT))
    data["cells"][0] |= change
    for key in removed:
        del data["cells"][0][key]
    return json.dumps(data)


def in_person(**change: object) -> str:
    data = json.loads(to_json(REPORT))
    data["cells"][0]["identities"][0] |= change
    return json.dumps(data)


def in_environment(**change: object) -> str:
    data = json.loads(to_json(REPORT))
    data["environment"] |= change
    return json.dumps(data)


def without(key: str) -> str:
    data = json.loads(to_json(REPORT))
    del data[key]
    return json.dumps(data)


DAMAGE = {
    "a later schema": (damaged(schema="facecure.report/3"), "facecure.report/3.*facecure.report/2.*facecure.report/1"),
    "no schema": (without("schema"), "schema None.*facecure.report/2"),
    "empty": ("", "not a report"),
    "truncated": (to_json(REPORT)[:-20], "not a report"),
    "text": ("hello", "not a report"),
    "a list": ("[]", "not a report"),
    "a number": ("1", "not a report"),
    "null": ("null", "not a report"),
    "no cells": (without("cells"), "not a report.*cells"),
    "no environment": (without("environment"), "not a report.*environment"),
    "cells is null": (damaged(cells=None), "not a report"),
    "warnings is null": (damaged(warnings=None), "not a report.*report.warnings is None"),
    "a warning is a number": (damaged(warnings=["x", 3]), r"report.warnings\[1\] is 3, not of type str"),
    "seed is true": (damaged(protocol={"name": "x", "splits": 1, "seed": True}), "report.protocol.seed is True"),
    "the detector is a path": (in_environment(detector="yunet.onnx"), "report.environment.detector is 'yunet.onnx'"),
    "an interval of one": (in_cell(bootstrap=[0.5]), r"report.cells\[0\].bootstrap has 1 entries, not 2"),
    "a cell without a name": (in_cell("cloak"), "not a report.*cloak"),
    "a person with less": (in_cell(identities=[{"identity": "Ann"}]), "not a report.*probes"),
    "a picture with less": (in_cell(identities=[{"revealed_by": [{"path": "x"}]}]), "not a report"),
    "more found than searched": (in_person(identified=11), "not a report.*-1 hits in 10 trials"),
    "half a search": (in_person(control_errors=0.5), "control.hits is 0.5, not of type int"),
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


def places(data: dict) -> list[dict]:
    """Every object of a full report that is a dataclass."""
    cell, environment = data["cells"][0], data["environment"]
    person = cell["identities"][0]
    return [
        data, cell, cell["clean"], cell["splits"][0], cell["unmeasured"][0], person, person["revealed_by"][0],
        data["protocol"], data["pictures"]["clean"], data["excluded"][0], data["suspects"][0], data["comparisons"][0],
        environment, environment["detector"],
    ]  # fmt: skip


def test_what_a_later_version_adds_is_skipped():
    data = json.loads(to_json(FULL))
    for place in places(data):
        place["of a later version"] = {"anything": [1, None]}
    assert from_json(json.dumps(data)) == FULL


def test_what_an_earlier_version_did_not_have_takes_its_default():
    data = json.loads(to_json(FULL))
    for place, optional in (
        (data, ("comparisons", "suspects")),
        (data["cells"][0], ("year", "white_box", "bootstrap", "chance", "uncloaked", "other_people", "other_pictures")),
        (data["environment"], ("threads_by", "platform", "recognisers")),
    ):
        for key in optional:
            del place[key]
    cell = replace(
        FULL.cells[0], year=None, white_box=None, bootstrap=None, chance=None, uncloaked=(), other_people=0,
        other_pictures=0,
    )  # fmt: skip
    assert from_json(json.dumps(data)) == replace(
        FULL,
        cells=(cell, *FULL.cells[1:]),
        comparisons=(),
        suspects=(),
        environment=replace(ENVIRONMENT, threads_by="", recognisers=None),
    )


def test_counts_are_read_and_rates_are_not():
    data = json.loads(to_json(REPORT))
    data["cells"][0] |= {"protection_rate": 0.99, "probes": 1, "clean": {"hits": 9, "n": 9}}
    assert from_json(json.dumps(data)) == REPORT
