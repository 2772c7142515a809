"""A report that facecure wrote as schema /1 (commit af9ec31, six synthetic people) says the same when read today."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facecure.errors import InputError
from facecure.report.markdown import markdown
from facecure.report.model import Rate
from facecure.report.schema import from_json, read_report, to_json
from facecure.report.schema_1 import upgrade

FILE = Path(__file__).with_name("report_v1.json")
COUNTS = ("cloak", "extractor", "recogniser", "scenario", "protocol", "probes", "identified", "distinct_probes", "year",
          "white_box", "other_people", "other_pictures")  # fmt: skip
RATES = ("protection_rate", "clean_error", "control_error", "enrolled_error", "identity_mean", "unseen_below", "chance")


@pytest.fixture
def former() -> dict:
    data = json.loads(FILE.read_text(encoding="utf-8"))
    assert data["schema"] == "facecure.report/1"
    return data


def test_every_count_rate_and_interval_is_what_it_was(former):
    report = read_report(FILE)
    assert len(report.cells) == 6
    for cell, was in zip(report.cells, former["cells"], strict=True):
        assert {key: getattr(cell, key) for key in COUNTS} == {key: was[key] for key in COUNTS}
        assert [getattr(cell, key) for key in RATES] == pytest.approx([was[key] for key in RATES], abs=1e-15)
        assert list(cell.split_rates) == pytest.approx(was["split_rates"], abs=1e-15)
        assert list(cell.uncloaked) == was["uncloaked"]
        for counted, had in ((cell, was), *zip(cell.identities, was["identities"], strict=True)):
            assert counted.protection.wilson == tuple(had["interval"])
            assert counted.protection.exact == tuple(had["exact"])


def test_nothing_else_is_lost(former):
    again = json.loads(to_json(read_report(FILE)))
    assert again.pop("schema") == "facecure.report/2"
    assert again.pop("date") is None
    for key in ("protocol", "pictures", "excluded", "suspects", "warnings", "environment", "comparisons"):
        assert again[key] == former[key]
    for cell, was in zip(again["cells"], former["cells"], strict=True):
        assert cell["identities"] == was["identities"]
        assert cell["unmeasured"] == was["unmeasured"]
        assert was.keys() <= cell.keys()  # old keys stay readable
    assert read_report(FILE) == from_json(to_json(read_report(FILE)))
    assert "## Weakest cloaked pictures" in markdown(read_report(FILE))


def test_split_rates_become_counts_again():
    assert [cell.splits for cell in read_report(FILE).cells[1:3]] == [
        (Rate(1, 4), Rate(1, 4), Rate(1, 4)),
        (Rate(3, 4), Rate(2, 4), Rate(2, 4)),
    ]


@pytest.mark.parametrize(
    ("rates", "probes", "identified", "splits"),
    [
        ([0.5, None, 1 - 1 / 4], 8, 3, [(2, 4), (0, 0), (3, 4)]),
        ([1 - 1 / 3, 1 - 3 / 3, 1.0], 9, 4, [(2, 3), (0, 3), (3, 3)]),
        ([None], 0, 0, [(0, 0)]),
        ([], 0, 0, []),
        ([0.5, 0.25], 6, 4, None),  # of 2 and of 4 probes: their counts were not kept
        ([0.5, 0.5], 9, 4, None),
        ([0.5, 1.0], 4, 2, None),  # the sum says otherwise
        ([0.5], 0, 0, None),
        ([0.5, 0.7], 8, 3, None),  # no share of four
    ],
)
def test_splits_of_one_size_are_counted_and_others_are_told(former, rates, probes, identified, splits):
    cell = former["cells"][0] | {"split_rates": rates, "probes": probes, "identified": identified}
    upgraded = upgrade(former | {"cells": [cell]})
    (counts,) = [cell["splits"] for cell in upgraded["cells"]]
    assert [(count["hits"], count["n"]) for count in counts] == (splits or [])
    assert len(upgraded["warnings"]) == len(former["warnings"]) + (splits is None)


def test_a_report_of_the_first_days_is_read(former):
    del former["suspects"], former["comparisons"]
    for cell in former["cells"]:
        for key in ("exact", "year", "white_box", "other_people", "other_pictures", "chance", "uncloaked"):
            del cell[key]
    report = from_json(json.dumps(former))
    assert [cell.probes for cell in report.cells] == [12] * 6
    assert (report.suspects, report.comparisons, report.cells[0].uncloaked) == ((), (), ())


@pytest.mark.parametrize("key", ["split_rates", "probes", "identities", "cloak"])
def test_a_damaged_one_is_named(former, key, tmp_path):
    del former["cells"][2][key]
    with pytest.raises(InputError, match=f"not a report.*{key}"):
        from_json(json.dumps(former))
