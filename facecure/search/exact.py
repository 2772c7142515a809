"""The definitions: float64 distances, ties to the earlier row; plain numpy, blocked, slow.

Distance is the squared Euclidean one, Σ (x − y)² in float64 of float32 coordinates, so equal rows give equal distances
whatever the block. The winner is the lexicographic minimum of (distance, row). Every faster search in this package
returns the same rows as the function of the same name here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from facecure.errors import InputError
from facecure.types import F32, F64, I64, Bool

DISTRACTOR = -1  # label of rows that are nobody's mate


@dataclass(frozen=True, slots=True)
class Nearest:
    """Per probe the winner: `distance` float64 (N,) squared, inf without one; `row` int64 (N,), −1 without one."""

    distance: F64
    row: I64

    def beats(self, other: Nearest) -> Bool:
        """Return bool (N,): lexicographically smaller (distance, row), rows counted in one common gallery."""
        nearer: Bool = (self.distance < other.distance) | (
            (self.distance == other.distance) & (self.row < other.row) & (self.row >= 0)
        )
        return nearer


@dataclass(frozen=True, slots=True)
class Rivals:
    """Per probe: nearest mate, nearest impostor, and nearest impostor of another identity than that one.

    `impostor_label` int64 (N,) is the nearest impostor's identity, `DISTRACTOR` for distractors and without one.
    """

    mate: Nearest
    impostor: Nearest
    impostor_label: I64
    second: Nearest


def squared_distances(probes: F32, rows: F32) -> F64:
    """Return float64 (N,) squared distances of row i of `probes` to row i of `rows`, both float32 (N, D)."""
    # in C order, which a broadcast probe would not keep: the order of the sum, hence its rounding, depends on it
    difference = probes.astype(np.float64, order="C") - rows
    squared: F64 = np.square(difference, out=difference).sum(axis=1)
    return squared


def knn(probes: F32, rows: F32, k: int, block: int = 1 << 22) -> tuple[F64, I64]:
    """Return the `k` nearest rows per probe: squared distances float64 (N, k), rows int64 (N, k), nearest first.

    `block` bounds the float64 values held at a time. Raises `InputError` where k is not in 1…number of rows.

    >>> rows = np.array([[0, 0], [3, 4], [3, 4]], np.float32)
    >>> distances, nearest = knn(np.array([[3, 3]], np.float32), rows, 2)
    >>> distances.tolist(), nearest.tolist()  # at equal distance the earlier row
    ([[1.0, 1.0]], [[1, 2]])
    """
    check_k(rows, k)
    distances, nearest = np.empty((len(probes), k)), np.empty((len(probes), k), np.int64)
    for i, row_of_distances in _distance_rows(probes, rows, block):
        order = np.lexsort((np.arange(len(rows)), row_of_distances))[:k]
        distances[i], nearest[i] = row_of_distances[order], order
    return distances, nearest


def check_k(rows: F32, k: int) -> None:
    """Return nothing; raises `InputError` where k is not in 1…number of rows."""
    if not 1 <= k <= len(rows):
        raise InputError(f"k must lie in 1…{len(rows)} (rows in the gallery), not {k}")


def rivals(probes: F32, labels: I64, rows: F32, row_labels: I64, block: int = 1 << 22) -> Rivals:
    """Return each probe's nearest mate and impostors in one gallery.

    `probes` float32 (N, D) with identity `labels` int64 (N,) ≥ 0; `rows` float32 (R, D) with `row_labels` int64 (R,),
    `DISTRACTOR` for rows that are nobody's.
    """
    found: list[Nearest] = [Nearest(np.full(len(probes), np.inf), np.full(len(probes), -1)) for _ in range(3)]
    impostor_label = np.full(len(probes), DISTRACTOR)
    for i, distances in _distance_rows(probes, rows, block):
        mates = row_labels == labels[i]
        _put_first(found[0], i, distances, mates)
        winner = _put_first(found[1], i, distances, ~mates)
        if winner >= 0:
            impostor_label[i] = row_labels[winner]
            _put_first(found[2], i, distances, ~mates & (row_labels != row_labels[winner]))
    return Rivals(found[0], found[1], impostor_label, found[2])


def mates(probes: F32, probe_groups: Sequence[I64], rows: F32, row_groups: Sequence[I64]) -> tuple[Nearest, Nearest]:
    """Return each probe's nearest and second nearest row among the rows of its own group.

    Group g holds the probes `probe_groups[g]` and the rows `row_groups[g]` (indices into `probes` and `rows`);
    the result follows the concatenation of the probe groups, its `row` indexes `rows`. The earlier in its group
    wins a tie.
    """
    first: list[tuple[float, int]] = []
    second: list[tuple[float, int]] = []
    for members, own in zip(probe_groups, row_groups, strict=True):
        for probe in members:
            distances = squared_distances(np.broadcast_to(probes[probe], (len(own), probes.shape[1])), rows[own])
            order = np.lexsort((np.arange(len(own)), distances))
            for result, place in ((first, 0), (second, 1)):
                hit = place < len(own)
                result.append((distances[order[place]], own[order[place]]) if hit else (np.inf, -1))
    return _nearest(first), _nearest(second)


def _nearest(pairs: Sequence[tuple[float, int]]) -> Nearest:
    return Nearest(np.array([d for d, _ in pairs], np.float64), np.array([row for _, row in pairs], np.int64))


def closer(probes: F32, radius: F64, rows: F32, starts: I64, block: int = 1 << 22) -> Iterator[tuple[slice, Bool]]:
    """Yield, for consecutive slices of probes, bool (n, S): does segment s hold a row strictly closer than `radius`?

    Segment s is rows `starts[s]` up to `starts[s + 1]` or the end, never empty; `radius` float64 (N,) squared.
    """
    for i, distances in _distance_rows(probes, rows, block):
        yield slice(i, i + 1), (np.minimum.reduceat(distances, starts) < radius[i])[None]


def _distance_rows(probes: F32, rows: F32, block: int) -> Iterator[tuple[int, F64]]:
    """Yield (probe index, its distances to all rows), computing at most `block` values at a time."""
    step = max(1, block // max(1, rows.shape[1]))
    for i, probe in enumerate(probes):
        parts = [
            squared_distances(np.broadcast_to(probe, rows[j : j + step].shape), rows[j : j + step])
            for j in range(0, len(rows), step)
        ]
        yield i, np.concatenate(parts) if parts else np.empty(0)


def _put_first(result: Nearest, i: int, distances: F64, allowed: Bool) -> int:
    """Write the winner among the allowed rows into `result[i]` and return its row, −1 without one."""
    candidates = np.flatnonzero(allowed)
    if not len(candidates):
        return -1
    winner = int(candidates[np.argmin(distances[candidates])])  # argmin takes the earliest of equals
    result.distance[i], result.row[i] = distances[winner], winner
    return winner
