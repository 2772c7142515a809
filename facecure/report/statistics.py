"""Intervals for rates that are stored as counts."""

from __future__ import annotations

from collections.abc import Sequence
from math import log, log1p, sqrt
from statistics import NormalDist

import numpy as np

FEWEST_IDENTITIES = 5
_RESAMPLES = 10_000


def wilson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float] | None:
    """Return Wilson's score interval of a proportion, None without trials.

    E. B. Wilson, JASA 22 (1927) 209-212. It treats the trials as independent.

    >>> low, high = wilson(8, 18)
    >>> f"{low:.3f} to {high:.3f}"
    '0.246 to 0.663'
    """
    if not trials:
        return None
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / trials
    centre = (p + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    # at p = 0 and 1 the bound is exactly p, which rounding may miss
    return (0.0 if successes == 0 else centre - half, 1.0 if successes == trials else centre + half)


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float] | None:
    """Return the exact interval of a proportion, which covers at least as often as it says; None without trials.

    C. J. Clopper, E. S. Pearson, Biometrika 26 (1934) 404-413: the rates at which as many successes or more, and as
    many or fewer, have half of the remaining probability.

    >>> low, high = clopper_pearson(8, 18)
    >>> f"{low:.3f} to {high:.3f}"
    '0.215 to 0.692'
    """
    if not trials:
        return None
    half = (1 - confidence) / 2
    low = 0.0 if successes == 0 else 1 - _rate_of_tail(trials - successes, trials, half)
    high = 1.0 if successes == trials else _rate_of_tail(successes, trials, half)
    return low, high


def _rate_of_tail(most: int, trials: int, probability: float) -> float:
    """Return the rate at which `most` successes or fewer have this probability, by bisection."""
    # of n over k, in logarithms: neither it nor a power of a small rate fits a float
    k = np.arange(1, most + 1)
    choices = np.concatenate([[0.0], np.cumsum(np.log((trials - k + 1) / k))])
    hits = np.arange(most + 1)
    low, high = 0.0, 1.0
    while (middle := (low + high) / 2) not in (low, high):
        terms = choices + hits * log(middle) + (trials - hits) * log1p(-middle)
        if np.exp(terms).sum() > probability:
            low = middle
        else:
            high = middle
    return low


def unseen_below(probes: int, confidence: float = 0.95) -> float | None:
    """Return the smallest rate that so many probes would have shown with this confidence; None without probes.

    The exact form of the "rule of three", 3 / n: (1 − rate)ⁿ = 1 − confidence.

    >>> f"{unseen_below(18):.3f}"
    '0.153'
    """
    return 1 - (1 - confidence) ** (1 / probes) if probes else None


def bootstrap(counts: Sequence[tuple[int, int]], seed: int, confidence: float = 0.95) -> tuple[float, float] | None:
    """Return the percentile interval of the pooled rate under resampling of whole identities.

    `counts` holds (successes, trials) per identity; those without trials do not count. None below five identities,
    where resampling says nothing. Probes of one person are alike, which Wilson's interval ignores and this one keeps.

    >>> bootstrap([(3, 9)] * 5, seed=0)
    (0.3333333333333333, 0.3333333333333333)
    """
    table = np.array([pair for pair in counts if pair[1]], np.int64)
    if len(table) < FEWEST_IDENTITIES:
        return None
    draws = np.random.default_rng(seed).integers(0, len(table), (_RESAMPLES, len(table)))
    successes, trials = table[draws].sum(axis=1).T
    low, high = np.quantile(successes / trials, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
