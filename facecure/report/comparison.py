"""Is one cloak, or one extractor, better than another? Tests on the same probes, people as clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb

import numpy as np

from facecure.types import I64, Bool, Outcome, Sample

_Protected = tuple[I64, Bool]  # probes by number, and whether each is protected
Outcomes = Sequence[Sequence[Outcome]]  # one sequence per split
_ENUMERATED = 16  # identities up to which all sign changes are counted, 2^16
_DRAWN = 100_000
_BLOCK = 10_000  # of those, held at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two cloaks against one extractor, or one cloak against two, tested on the probes that both searched.

    `first` and `second` count the distinct probes that only that one protects; `difference` is that of the protection
    rates over all splits. P-values: `mcnemar`, exact, as if probes were independent; `clustered`, exact under exchange
    of the two within whole people; `holm`, the clustered one adjusted for all comparisons of the report.
    """

    cloaks: tuple[str, ...]
    extractors: tuple[str, ...]
    probes: int
    identities: int
    first: int
    second: int
    difference: float
    mcnemar: float
    clustered: float
    holm: float


def compare_all(outcomes: Mapping[tuple[str, str], Outcomes], samples: Sequence[Sample]) -> tuple[Comparison, ...]:
    """Return a test for every two cells, keyed (cloak, extractor), that differ in one of the two and share probes.

    `holm` adjusts for all tests returned (S. Holm, Scandinavian Journal of Statistics 6 (1979) 65-70).
    """
    numbers: dict[tuple[str, str], int] = {}  # a probe is a picture of a person, whichever copy of it was searched
    probe_of_row = np.array([numbers.setdefault((s.identity, s.key), len(numbers)) for s in samples], np.int64)
    people = np.unique([identity for identity, _ in numbers], return_inverse=True)[1]
    protected = {cell: [_protected(split, probe_of_row) for split in splits] for cell, splits in outcomes.items()}
    tests = [
        test
        for a, b in combinations(outcomes, 2)
        if (a[0] == b[0]) != (a[1] == b[1]) and (test := _compare(a, b, protected[a], protected[b], people)) is not None
    ]
    adjusted = holm([test.clustered for test in tests])
    return tuple(replace(test, holm=value) for test, value in zip(tests, adjusted, strict=True))


def mcnemar(first: int, second: int) -> float:
    """Return McNemar's exact two-sided p-value: `first` and `second` count the pairs that differ, either way.

    Q. McNemar, Psychometrika 12 (1947) 153-157, with the binomial distribution in place of its approximation.

    >>> mcnemar(1, 7)
    0.0703125
    """
    n = first + second
    tail: int = sum(comb(n, k) for k in range(min(first, second) + 1))
    return min(1.0, 2 * tail / (1 << n))


def sign_change(differences: Sequence[int]) -> float:
    """Return the two-sided p-value of a sum of differences, one per person, whose signs could as well be the others.

    All sign changes are counted up to sixteen people who differ at all; beyond, 100,000 are drawn, seed 0.

    >>> sign_change([2, 1, 3])
    0.25
    """
    table = np.array([d for d in differences if d], np.int64)
    if not len(table):
        return 1.0
    seen = abs(int(table.sum()))
    if len(table) <= _ENUMERATED:
        bits = np.arange(1 << len(table))[:, None] >> np.arange(len(table)) & 1
        return float((np.abs((2 * bits - 1) @ table) >= seen).mean())
    rng, extreme = np.random.default_rng(0), 1  # what was seen is one of them
    for _ in range(_DRAWN // _BLOCK):
        bits = rng.integers(0, 2, (_BLOCK, len(table)))
        extreme += int((np.abs((2 * bits - 1) @ table) >= seen).sum())
    return extreme / (1 + _DRAWN)


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number by Holm's step-down procedure, in the same order.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, least = [0.0] * len(values), 0.0
    for rank, i in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        least = max(least, min(1.0, (len(values) - rank) * values[i]))
        adjusted[i] = least
    return adjusted


def _compare(
    a: tuple[str, str], b: tuple[str, str], first: Sequence[_Protected], second: Sequence[_Protected], people: I64
) -> Comparison | None:
    """Return counts and p-values over the probes that both cells searched, None where there are none.

    `people` int64 numbers the person of each probe.
    """
    sums, searched, shared = np.zeros(len(people), np.int64), np.zeros(len(people), np.bool_), 0
    for (probes, here), (others, there) in zip(first, second, strict=True):  # per split
        both, at, other = np.intersect1d(probes, others, return_indices=True)
        sums[both] += here[at].astype(np.int64) - there[other]
        searched[both] = True
        shared += len(both)
    if not shared:
        return None
    only = int((sums > 0).sum()), int((sums < 0).sum())
    clustered = sign_change(np.bincount(people, sums).astype(np.int64).tolist())
    return Comparison(
        cloaks=tuple(dict.fromkeys((a[0], b[0]))),
        extractors=tuple(dict.fromkeys((a[1], b[1]))),
        probes=int(searched.sum()),
        identities=len(np.unique(people[searched])),
        first=only[0],
        second=only[1],
        difference=int(sums.sum()) / shared,
        mcnemar=mcnemar(*only),
        clustered=clustered,
        holm=clustered,  # of one test; `compare_all` adjusts it
    )


def _protected(outcomes: Sequence[Outcome], probe_of_row: I64) -> _Protected:
    """Return the probes of people with a cloaked gallery, and whether each is protected."""
    rows = [np.array(outcome.probe_rows, np.int64) for outcome in outcomes if outcome.enrolled]
    hits = [np.array(outcome.identified_rows, np.int64) for outcome in outcomes if outcome.enrolled]
    searched, identified = (np.concatenate([np.empty(0, np.int64), *parts]) for parts in (rows, hits))
    return probe_of_row[searched], ~np.isin(searched, identified)
