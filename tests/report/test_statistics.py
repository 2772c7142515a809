"""Intervals against published or independently computed values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from facecure.report.statistics import bootstrap, clopper_pearson, unseen_below, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (0, 20, 0.0, 0.1611),  # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (1, 29, 0.0061, 0.1718),
        (15, 148, 0.0624, 0.1605),
        (81, 263, 0.2553, 0.3662),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilson_equals_published_values(successes, trials, low, high):
    assert wilson(successes, trials) == pytest.approx((low, high), abs=6e-5)


def test_wilson_holds_the_rate_and_solves_its_equation():
    z = 1.959963984540054
    for trials in (1, 2, 7, 1000):
        for successes in {0, 1, trials // 2, trials}:
            rate = successes / trials
            low, high = wilson(successes, trials)
            assert 0 <= low <= rate <= high <= 1
            for bound in {low, high} - {0.0, 1.0}:
                assert abs(rate - bound) == pytest.approx(z * (bound * (1 - bound) / trials) ** 0.5)


@pytest.mark.parametrize(
    ("successes", "trials"), [(0, 1), (1, 1), (0, 20), (1, 29), (81, 263), (29, 29), (5000, 100_000), (99_999, 100_000)]
)
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_clopper_pearson_equals_scipys_beta_quantiles(successes, trials, confidence):
    exact = binomtest(successes, trials).proportion_ci(confidence, method="exact")
    assert clopper_pearson(successes, trials, confidence) == pytest.approx((exact.low, exact.high), abs=1e-9)


@pytest.mark.parametrize("probes", [1, 3, 20, 1000])
def test_below_that_rate_no_event_is_seen_one_time_in_twenty(probes):
    rate = unseen_below(probes)
    assert (1 - rate) ** probes == pytest.approx(0.05)
    assert unseen_below(10 * probes) < rate
    # with all probes identified the exact interval's upper end at 90 % is that rate
    assert clopper_pearson(0, probes, 0.9)[1] == pytest.approx(rate)


def test_no_trials_no_interval():
    assert wilson(0, 0) is None
    assert clopper_pearson(0, 0) is None
    assert unseen_below(0) is None
    assert bootstrap([(0, 0)] * 9, 0) is None


def test_bootstrap_needs_five_identities_with_probes():
    assert bootstrap([(1, 2)] * 4 + [(0, 0)], 0) is None
    assert bootstrap([(1, 2)] * 5, 0) == (0.5, 0.5)


def test_bootstrap_equals_a_plain_resampling_within_its_own_noise():
    rng = np.random.default_rng(0)
    counts = [(int(rng.integers(0, n + 1)), n) for n in (3, 9, 14, 14, 14, 2, 30, 30)]
    rates = []
    for _ in range(10_000):
        drawn = [counts[i] for i in rng.integers(0, len(counts), len(counts))]
        rates.append(sum(s for s, _ in drawn) / sum(n for _, n in drawn))
    assert bootstrap(counts, seed=3) == pytest.approx(np.quantile(rates, [0.025, 0.975]), abs=0.02)
    assert bootstrap(counts, seed=3) == bootstrap(counts, seed=3)


def test_bootstrap_is_wider_than_wilson_where_people_differ():
    counts = [(30, 30)] * 5 + [(0, 30)] * 5
    low, high = bootstrap(counts, 0)
    narrow = wilson(150, 300)
    assert low < narrow[0] < narrow[1] < high
