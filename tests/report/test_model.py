"""Rates follow from counts, and pooling keeps counts: against scipy and against sums by hand."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from scipy.stats import binomtest

from facecure.report.model import CellResult, Rate, pooled

from .examples import ANN, BOB, CELL, UNMEASURED


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (3, 7), (0, 400), (399, 400)])
def test_a_rate_has_the_intervals_of_its_counts(hits, n):
    rate, test = Rate(hits, n), binomtest(hits, n)
    assert rate.value == hits / n
    for interval, method in ((rate.wilson, "wilson"), (rate.exact, "exact")):
        expected = test.proportion_ci(method=method)
        assert interval == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_without_trials_there_is_no_rate():
    assert (Rate(0, 0).value, Rate(0, 0).wilson, Rate(0, 0).exact) == (None, None, None)


@pytest.mark.parametrize(("hits", "n"), [(-1, 3), (4, 3), (1, 0), (0, -1)])
def test_more_hits_than_trials_do_not_exist(hits, n):
    with pytest.raises(ValueError, match="does not exist"):
        Rate(hits, n)


def test_a_cell_pools_its_people():
    assert (CELL.protection, CELL.clean, CELL.control, CELL.enrolled) == (
        Rate(8, 18), Rate(1, 18), Rate(1, 20), Rate(7, 24)
    )  # fmt: skip
    assert (CELL.probes, CELL.identified) == (18, 10)
    assert (CELL.protection_rate, CELL.clean_error, CELL.enrolled_error) == (8 / 18, 1 / 18, 7 / 24)
    assert (CELL.interval, CELL.exact) == (Rate(8, 18).wilson, Rate(8, 18).exact)
    assert CELL.split_rates == (0.5, 3 / 8)
    assert CELL.identity_mean == (6 / 10 + 2 / 8) / 2
    assert (1 - CELL.unseen_below) ** 11 == pytest.approx(0.05)
    assert pooled([]) == Rate(0, 0)


def test_the_control_error_is_a_mean_over_people_and_the_control_rate_pools_searches():
    people = (replace(ANN, control=Rate(1, 20)), replace(BOB, control=Rate(3, 10)))
    cell = replace(CELL, identities=people)
    assert cell.control == Rate(4, 30)
    assert cell.control_error == (1 / 20 + 3 / 10) / 2
    assert CELL.control_error == 1 / 20  # Bob met nobody's probe: no error of his to take a mean of


def test_a_cell_without_people_has_no_rates():
    assert (UNMEASURED.probes, UNMEASURED.identified) == (0, 0)
    rates = ("protection_rate", "clean_error", "control_error", "enrolled_error", "identity_mean", "interval", "exact",
             "unseen_below")  # fmt: skip
    assert {getattr(UNMEASURED, rate) for rate in rates} == {None}
    assert UNMEASURED.split_rates == (None, None)


def test_no_count_is_stored_twice():
    derived = {name for name, value in vars(CellResult).items() if isinstance(value, property)}
    assert not derived & {field.name for field in fields(CellResult)}
    assert {"probes", "identified", "protection", "clean", "control", "enrolled"} <= derived
