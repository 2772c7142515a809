"""Intervals against published or independently computed values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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


COUNTS = st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
@given(COUNTS, st.floats(0.5, 0.99))
@settings(max_examples=60, deadline=None)
def test_intervals_hold_the_rate_move_with_the_hits_and_mirror(interval, counts, confidence):
    hits, trials = counts
    low, high = interval(hits, trials, confidence)
    assert 0 <= low <= hits / trials <= high <= 1
    assert interval(trials - hits, trials, confidence) == pytest.approx((1 - high, 1 - low), abs=1e-9)
    wider = interval(hits, trials, (1 + confidence) / 2)
    assert wider[0] <= low
    assert high <= wider[1]
    if hits < trials:
        more = interval(hits + 1, trials, confidence)
        assert low < more[0]
        assert high < more[1] or high == 1


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)).map(sorted), max_size=12), st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_the_bootstrap_stays_between_the_lowest_and_highest_rate_of_a_person(counts, seed):
    rates = [hits / trials for hits, trials in counts if trials]
    interval = bootstrap(counts, seed)
    assert (interval is None) == (len(rates) < 5)
    if interval is not None:
        low, high = interval
        assert min(rates) - 1e-12 <= low <= high <= max(rates) + 1e-12
