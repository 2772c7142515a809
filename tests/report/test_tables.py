"""Words and numbers of a report, whatever renders it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from facecure.report import tables
from facecure.report.tables import counted, interval, kinds, percent, unseen

from .examples import ANN, CELL, FULL, REPORT, UNMEASURED


@pytest.mark.parametrize("report", [REPORT, FULL], ids=["short", "full"])
def test_every_row_fits_its_headings(report):
    for headings, rows in (
        (tables.HEADINGS, [tables.row(cell) for cell in report.cells]),
        (tables.IDENTITY_HEADINGS, [row for cell in report.cells for row in tables.identity_rows(cell)]),
        (tables.WEAKEST_HEADINGS, tables.weakest_rows(report)),
        (tables.COMPARISON_HEADINGS, tables.comparison_rows(report)),
        (tables.PICTURE_HEADINGS, tables.picture_rows(report)),
        (tables.RAN_HEADINGS, tables.ran_rows(report)),
    ):
        assert {len(row) for row in rows} <= {len(headings)}


def test_comparisons_come_clearest_first():
    (test,) = FULL.comparisons
    report = replace(FULL, comparisons=(test, replace(test, cloaks=("a", "b"), holm=0.01)))
    assert tables.comparison_rows(report) == [
        ("a / b", "arcface", "1, 4 of 11", "-25.0", "0.38", "0.25", "0.01"),
        ("fawkes / lowkey", "arcface", "1, 4 of 11", "-25.0", "0.38", "0.25", "0.5"),
    ]


def test_what_could_have_gone_unseen_is_said_of_the_fewest_probes():
    one = replace(CELL, distinct_probes=1, identities=(ANN,))
    assert unseen(replace(REPORT, cells=(CELL, UNMEASURED, one))) == (
        "With 1 distinct probe of 1 person a protection rate below 95.0 % could have gone unseen (95 %)."
    )
    assert "11 distinct probes of 2 people" in unseen(REPORT)
    assert unseen(replace(REPORT, cells=(UNMEASURED,))) == ""


@pytest.mark.parametrize(("number", "words"), [(0, "0 probes"), (1, "1 probe"), (2, "2 probes")])
def test_one_is_no_plural(number, words):
    assert counted(number, "probe") == words


def test_kinds_are_counted_the_most_frequent_first():
    assert kinds(["no face: none", "unreadable: x", "unreadable: y: z"]) == "2 unreadable, 1 no face"


@pytest.mark.parametrize(
    ("rate", "text"),
    [(None, "–"), (0.0, "0.0 %"), (1.0, "100.0 %"), (0.0004, "0.0 %"), (2 / 3, "66.7 %"), (0.999, "99.9 %")],
)
def test_percent_has_one_decimal(rate, text):
    assert percent(rate) == text


@pytest.mark.parametrize(
    ("bounds", "text"), [(None, "–"), ((0.0, 1.0), "0.0-100.0 %"), ((0.1234, 0.5678), "12.3-56.8 %")]
)
def test_interval_has_both_bounds(bounds, text):
    assert interval(bounds) == text
