"""Tests of pairs against scipy, against enumeration by hand, and on cases whose answer is known."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, permutation_test

from facecure.report.comparison import compare_all, holm, mcnemar, sign_change
from facecure.types import Outcome, Sample


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (3, 3), (0, 9), (12, 4), (700, 613)])
def test_mcnemar_is_the_binomial_test_of_what_differs(first, second):
    expected = binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(second, first) == mcnemar(first, second)


@pytest.mark.parametrize("differences", [[3], [2, -1, 4], [1, 1, 1, 1, 1, -1, 0, 0], list(range(-3, 12))])
def test_sign_changes_are_all_counted(differences):
    seen = abs(sum(differences))
    some = [d for d in differences if d]
    sums = [abs(sum(s * d for s, d in zip(signs, some, strict=True))) for signs in product((1, -1), repeat=len(some))]
    assert sign_change(differences) == pytest.approx(np.mean([s >= seen for s in sums]), abs=1e-15)
    if len(differences) > 1:
        wanted = permutation_test((np.array(differences, float),), np.sum, permutation_type="samples", n_resamples=9**5)
        assert sign_change(differences) == pytest.approx(wanted.pvalue, abs=1e-12)


def test_sign_changes_of_many_people_are_drawn():
    differences = np.random.default_rng(0).integers(-5, 8, 40).tolist()
    expected = permutation_test(
        (np.array(differences, float),), np.sum, permutation_type="samples", n_resamples=200_000,
        rng=np.random.default_rng(1),
    ).pvalue  # fmt: skip
    assert sign_change(differences) == pytest.approx(expected, abs=0.005)
    assert sign_change([0] * 40) == 1.0
    assert sign_change([1] * 40) < 2e-5


def test_holm_adjusts_as_published():
    # Holm 1979: the smallest times m, the next times m − 1, …, never below an earlier one
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


PEOPLE = {"Ann": 4, "Bob": 6, "Cid": 2}
SAMPLES = [Sample(name, Path(f"{name}{i}.png"), str(i)) for name, count in PEOPLE.items() for i in range(count)]


def outcomes(protected: dict[str, set[int]], splits: int = 2, shift: int = 0) -> list[list[Outcome]]:
    """Every picture a probe in every split; `shift` stands for copies of them at other rows."""
    people = []
    for name in PEOPLE:
        rows = [row for row, sample in enumerate(SAMPLES) if sample.identity == name]
        hits = [row + shift for i, row in enumerate(rows) if i not in protected.get(name, set())]
        shifted = tuple(row + shift for row in rows)
        people.append(Outcome(name, len(rows), len(hits), enrolled=3, probe_rows=shifted, identified_rows=tuple(hits)))
    return [people] * splits


def test_probes_are_paired_by_person_and_key():
    cells = {
        ("fawkes", "old"): outcomes({"Ann": {0, 1}, "Bob": {3}}),
        ("lowkey", "old"): outcomes({"Ann": {1, 2, 3}, "Bob": {3, 4}, "Cid": {0}}, shift=len(SAMPLES)),
        ("fawkes", "new"): outcomes({"Ann": {0, 1}, "Bob": {3}}),
        ("lowkey", "new"): outcomes({}),
    }
    tests = compare_all(cells, SAMPLES * 2)
    assert [(t.cloaks, t.extractors) for t in tests] == [
        (("fawkes", "lowkey"), ("old",)), (("fawkes",), ("old", "new")), (("lowkey",), ("old", "new")),
        (("fawkes", "lowkey"), ("new",)),
    ]  # fmt: skip
    first = tests[0]
    assert (first.probes, first.identities) == (12, 3)
    assert (first.first, first.second) == (1, 4)
    assert first.difference == pytest.approx((1 - 4) / 12)
    assert first.mcnemar == pytest.approx(binomtest(1, 5).pvalue)
    assert first.clustered == sign_change([2 * (1 - 2), 2 * -1, 2 * -1]) == 0.25
    assert tests[1].difference == 0
    assert tests[1].clustered == tests[1].mcnemar == 1.0
    assert [t.holm for t in tests] == holm([t.clustered for t in tests])


def test_people_without_a_gallery_and_cells_without_common_probes_are_left_out():
    nobody = [[Outcome("Ann", 2, 0, enrolled=0, probe_rows=(0, 1))]]
    other = [[Outcome("Dan", 1, 1, enrolled=1, probe_rows=(4,), identified_rows=(4,))]]
    ann = [[Outcome("Ann", 2, 1, enrolled=1, probe_rows=(0, 1), identified_rows=(0,))]]
    assert compare_all({("a", "x"): nobody, ("b", "x"): ann}, SAMPLES) == ()
    assert compare_all({("a", "x"): ann, ("b", "x"): other}, SAMPLES) == ()
    assert compare_all({}, SAMPLES) == ()
