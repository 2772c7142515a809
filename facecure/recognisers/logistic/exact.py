"""Whom the minima of many multinomial logistic regressions take rows for: certain, not within a tolerance.

All rows are standardised together. A training set's own mean is then a matter of its intercepts and its own scale one
of its penalty, so all sets share their rows. Everybody uncloaked is fitted first and is where every other set starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from facecure.execution import torch_threads
from facecure.recognisers.logistic.blocks import Inverses
from facecure.recognisers.logistic.bound import bound
from facecure.recognisers.logistic.multinomial import STEPS, Point, Problems, evaluate, fit_alone, inverses_at, minimise
from facecure.recognisers.logistic.released import Fit, TrainingSet
from facecure.threads import available_threads
from facecure.types import F32, F64, I64

_BLOCK_BYTES = 1 << 22  # of a block's chances, classes × sets × rows: what stays in a core's cache
_NEAR = 3e-4  # gradient norm from which on decisions are looked at


def fit_exactly(vectors: F32, enrolled: I64, labels: I64, sets: Sequence[TrainingSet]) -> list[Fit]:
    """Return whom the minimum of each training set takes the rows asked for.

    `vectors` float32 (M, D) is the table, `enrolled` everybody's rows of it and `labels` whose they are; each set has
    two classes at least. Blocks of sets are solved side by side, on all threads available.
    """
    gallery = _Gallery(vectors, enrolled, labels, np.concatenate([enrolled, *(each.own for each in sets)]))
    people = {label: np.sort(enrolled[labels == label]) for label in np.unique(labels).tolist()}
    known = [i for i, each in enumerate(sets) if each.label in people]
    same = [i for i in known if np.array_equal(np.sort(sets[i].own), people[sets[i].label])]
    found: dict[int, Fit] = {}
    workers = available_threads()
    # threads of our own: a person's matrices are too small to share among threads, people are many
    with torch_threads(1), ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        jobs: list[tuple[list[int], _Start | None]] = [([i], None) for i in sorted({*range(len(sets))} - {*known})]
        if known:
            some = min(people)
            asked = np.concatenate([np.empty(0, np.int64), *(sets[i].asked for i in same)])
            everybody = _Block(gallery, [TrainingSet(some, people[some], asked)])
            weights = everybody.minimum(None)
            found |= {i: everybody.fit(0, sets[i].asked) for i in same}
            warm = sorted({*known} - {*same})
            if warm:
                start = everybody.start(weights)
                size = max(1, min(_BLOCK_BYTES // (8 * len(people) * len(enrolled)), -(-len(warm) // workers)))
                jobs += [(warm[i : i + size], start) for i in range(0, len(warm), size)]

        def run(job: tuple[list[int], _Start | None]) -> list[Fit]:
            numbers, start = job
            block = _Block(gallery, [sets[i] for i in numbers])
            block.minimum(start)
            return [block.fit(at, sets[i].asked) for at, i in enumerate(numbers)]

        for (numbers, _), fits in zip(jobs, pool.map(run, jobs), strict=True):
            found.update(zip(numbers, fits, strict=True))
    return [found[i] for i in range(len(sets))]


@dataclass(frozen=True, slots=True)
class _Start:
    """Everybody's minimum: `weights` (K, D+1), and inverses of the Hessian's blocks there."""

    weights: Tensor
    inverses: Inverses


class _Gallery:
    """The table's rows as features, standardised as `used` rows are; everybody's `enrolled` ones and their `labels`."""

    def __init__(self, vectors: F32, enrolled: I64, labels: I64, used: I64) -> None:
        self._vectors, self.enrolled, self.labels = vectors, enrolled, labels
        self._mean, self._scale = _mean_and_scale(vectors[used])

    def features(self, rows: I64) -> Tensor:
        """Return float64 (n, D+1), the last column 1."""
        found = np.ones((len(rows), self._vectors.shape[1] + 1))
        np.subtract(self._vectors[rows], self._mean, out=found[:, :-1])
        found[:, :-1] /= self._scale
        return torch.from_numpy(found)

    def penalty(self, rows: I64) -> F64:
        """Return float64 (D+1,): what a squared weight of `features` costs where `rows` are standardised alone."""
        return np.append((_mean_and_scale(self._vectors[rows])[1] / self._scale) ** 2, 0)


class _Block:
    """Training sets that are solved together, and what is known of their decisions."""

    def __init__(self, gallery: _Gallery, sets: Sequence[TrainingSet]) -> None:
        rows = np.concatenate([gallery.enrolled, *(each.own for each in sets)])
        self._first = len(gallery.enrolled)
        labels = np.concatenate([gallery.labels, np.repeat([each.label for each in sets], [len(s.own) for s in sets])])
        self._classes, classes = np.unique(labels, return_inverse=True)
        self._label = torch.from_numpy(np.searchsorted(self._classes, [each.label for each in sets]))
        counts = np.zeros((len(sets), len(rows)), np.bool_)
        counts[:, : self._first] = gallery.labels != np.array([[each.label] for each in sets])
        counts[np.repeat(np.arange(len(sets)), [len(s.own) for s in sets]), np.arange(self._first, len(rows))] = True
        penalty = np.stack([gallery.penalty(rows[some]) for some in counts])
        if len(self._classes) == 2:
            penalty *= 2  # scikit-learn has one weight vector then, w = W₁ − W₀ = 2W₁, and ‖w‖² = 2(‖W₁‖² + ‖W₀‖²)
        features = gallery.features(rows)
        self._problems = Problems(
            features,
            features.to(torch.float32),
            torch.from_numpy(classes),
            torch.from_numpy(counts).to(torch.float64),
            torch.from_numpy(penalty),
        )
        self._asked = np.unique(np.concatenate([each.asked for each in sets]))
        self._asked_features = gallery.features(self._asked)
        self._open = torch.from_numpy(np.stack([np.isin(self._asked, each.asked) for each in sets]))
        self._winners = torch.zeros(self._open.shape, dtype=torch.int64)
        self._steps = torch.zeros(len(sets), dtype=torch.int64)
        self._gradient = torch.zeros(len(sets), dtype=torch.float64)

    def minimum(self, start: _Start | None) -> Tensor:
        """Return weights (K, U, D+1) at which all that is asked is certain, or as near as rounding lets them come."""
        if start is None:
            weights = torch.zeros(len(self._classes), len(self._label), self._problems.features.shape[1]).double()
            return minimise(self._problems, weights, None, self._settled)
        weights, blocks = fit_alone(self._problems, start.weights, start.inverses, self._label, self._first)
        return minimise(self._problems, weights, blocks, self._settled)

    def start(self, weights: Tensor) -> _Start:
        """Return what training sets like the first one can start from, given its minimum."""
        point = evaluate(self._problems, weights, torch.zeros_like(self._label))
        return _Start(weights[:, 0], inverses_at(self._problems, point))

    def fit(self, number: int, asked: I64) -> Fit:
        """Return what is known of one set's decisions on the rows asked."""
        at = torch.from_numpy(np.searchsorted(self._asked, asked))
        labels = self._classes[self._winners[number, at].numpy()]
        undecided = int(self._open[number, at].sum())
        return Fit(labels, int(self._steps[number]), not undecided, float(self._gradient[number]), undecided)

    def _settled(self, problems: Problems, point: Point, number: Tensor) -> Tensor:
        gradient = torch.linalg.vector_norm(point.gradient, dim=(0, 2))
        self._steps[number], self._gradient[number] = point.steps, gradient
        near = (gradient <= _NEAR) | (point.steps >= STEPS)
        settled = torch.zeros_like(near)
        if near.any():
            settled[near] = self._decide(problems.keep(near), point.keep(near), number[near])
        return settled

    def _decide(self, problems: Problems, point: Point, number: Tensor) -> Tensor:
        """Return bool (U,): whether all is certain, or will never be; keeps what the problems decide."""
        logits = (point.weights.flatten(0, 1) @ self._asked_features.T).view(*point.weights.shape[:2], -1)
        limit = bound(problems, point)
        reach = limit.reach(self._asked_features)
        best = logits.amax(0)
        # rivals within reach are tied, as far as is known, and the first of them wins
        rivals = logits >= best - torch.where(reach.isfinite(), reach, 0)
        undecided = self._open[number]
        self._winners[number] = torch.where(undecided, rivals.to(torch.int8).argmax(0), self._winners[number])
        self._open[number] = undecided & ((rivals.sum(0) > 1) | ~reach.isfinite())
        return ~self._open[number].any(1) | limit.exhausted


def _mean_and_scale(rows: F32) -> tuple[F64, F64]:
    """Return a column's mean and standard deviation as scikit-learn's StandardScaler has them, float64 (D,).

    A deviation that is rounding counts as 0 and is scaled by 1 (`_is_constant_feature` and `_handle_zeros_in_scale`).
    """
    mean = rows.mean(axis=0, dtype=np.float64)
    variance = np.square(rows - mean).mean(axis=0)
    epsilon = len(rows) * np.finfo(np.float64).eps
    constant = variance <= epsilon * variance + (epsilon * mean) ** 2
    return mean, np.where(constant, 1.0, np.sqrt(variance))
