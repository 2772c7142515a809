"""Nearest mates and impostors for whole populations: float32 scan, float64 verdict.

A blocked matrix product scores all pairs in float32. Its rounding error is bounded, so every row that could be a winner
is known; those few are decided by float64 distances and ties by row, exactly as `search.exact` defines them. Working
memory is about `block_bytes`, whatever the gallery's size.

The score of a row y for a probe x is x·y − |y|²/2: larger is nearer, and |x − y|² = |x|² − 2·score.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from facecure.search.exact import DISTRACTOR, Nearest, Rivals, squared_distances
from facecure.types import F32, F64, I64, Bool

BLOCK_BYTES = 1 << 27
_PROBES = 2048  # per block: enough for the matrix product to run at full speed
_SEGMENT = 64  # longer runs of one label are reduced in pieces, so that re-checking one stays cheap
_U = 2.0**-24  # unit roundoff of float32


def rivals(probes: F32, labels: I64, rows: F32, row_labels: I64, block_bytes: int = BLOCK_BYTES) -> Rivals:
    """Return each probe's nearest mate and impostors in one gallery, as `exact.rivals`.

    Fast where rows of one label lie together.
    """
    x, y, _ = in_range(probes, rows)
    runs = np.flatnonzero(np.diff(row_labels, prepend=row_labels[:1] - 1))
    gallery = _Gallery(y, runs, min(_PROBES, len(x)), block_bytes)
    owners = row_labels[gallery.starts]
    parts = []
    for block in _blocks(len(x)):
        pairs = _rival_candidates(x[block], labels[block], gallery, owners)
        parts.append(_decide(probes[block], labels[block], rows, row_labels, *pairs))
    if not parts:
        return _decide(probes, labels, rows, row_labels, np.empty(0, np.int64), np.empty(0, np.int64))
    nearest = [
        Nearest(np.concatenate([n.distance for n in column]), np.concatenate([n.row for n in column]))
        for column in zip(*((p.mate, p.impostor, p.second) for p in parts), strict=True)
    ]
    return Rivals(nearest[0], nearest[1], np.concatenate([p.impostor_label for p in parts]), nearest[2])


def mates(
    probes: F32, probe_groups: Sequence[I64], rows: F32, row_groups: Sequence[I64]
) -> tuple[Nearest, Nearest]:  # fmt: skip
    """Return each probe's nearest and second nearest row among the rows of its own group, as `exact.mates`."""
    x, y, _ = in_range(probes, rows)
    at, place = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    count = 0
    for members, own in zip(probe_groups, row_groups, strict=True):
        if len(members) and len(own):
            a, b = x[members], y[own]
            scores = a @ b.T - (_squares(b) / 2).astype(np.float32)
            # whoever is first or second lies within two errors of the second best score
            nth = max(0, len(own) - 2)
            floor = np.partition(scores, nth, axis=1)[:, nth] - 2 * _error(a, np.sqrt(_squares(b).max()))
            hits = np.nonzero(scores >= floor[:, None])
            at.append(hits[0] + count)
            place.append(hits[1])
        count += len(members)
    probe, rank = np.concatenate(at), np.concatenate(place)
    group = np.repeat(np.arange(len(probe_groups)), [len(g) for g in probe_groups])
    first_place = np.cumsum([0, *map(len, row_groups)])
    row = _joined(row_groups)[first_place[group[probe]] + rank]
    distance = _pair_distances(probes, _joined(probe_groups)[probe], rows, row)
    first, is_first = _first(count, probe, distance, rank, row)
    others = ~is_first
    second, _ = _first(count, probe[others], distance[others], rank[others], row[others])
    return first, second


def closer(
    probes: F32, radius: F64, rows: F32, starts: I64, block_bytes: int = BLOCK_BYTES
) -> Iterator[tuple[slice, Bool]]:
    """Yield, for consecutive slices of probes, bool (n, S): does segment s hold a row strictly closer than `radius`?

    As `exact.closer`: segment s is rows `starts[s]` up to `starts[s + 1]` or the end, never empty; `radius` float64
    (N,) squared.
    """
    x, y, exponent = in_range(probes, rows)
    gallery = _Gallery(y, starts, min(_PROBES, len(x)), block_bytes)
    segment_of = np.searchsorted(starts, gallery.starts, side="right") - 1
    for block in _blocks(len(x)):
        # the score above which a row lies inside the radius; −inf where the radius is infinite
        goal = (_squares(x[block]) - np.ldexp(radius[block], 2 * exponent)) / 2
        error = gallery.error(x[block])
        inside = np.zeros((len(goal), len(starts)), bool)
        for chunk in gallery.chunks(x[block]):
            owner = segment_of[chunk.segments]
            surely = chunk.best > (goal + error)[:, None]
            unsure = ~surely & (chunk.best >= (goal - error)[:, None])
            probe, row = chunk.pairs(unsure, (goal - error)[:, None])
            closer_than = _pair_distances(probes[block], probe, rows, row) < radius[block][probe]
            pieces, first = np.unique(owner, return_index=True)  # consecutive pieces of one segment
            inside[:, pieces] |= np.logical_or.reduceat(surely, first, axis=1)
            inside[probe[closer_than], np.searchsorted(starts, row[closer_than], side="right") - 1] = True
        yield block, inside


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Scores of a block of probes against some consecutive pieces of the gallery, from row `first` to `last`.

    `scores` float32 (n, last − first), `best` float32 (n, pieces): each piece's highest.
    """

    scores: F32
    best: F32
    first: int
    last: int
    segments: slice
    starts: I64

    def pairs(self, wanted: Bool, floor: F64) -> tuple[I64, I64]:
        """Return (probe, gallery row) of all scores ≥ `floor` (n, pieces or 1) within the wanted (n, pieces)."""
        probe, piece = np.nonzero(wanted)
        sizes = np.diff(self.starts, append=self.last)[piece]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        row = np.repeat(self.starts[piece], sizes) + within
        limit = np.repeat(np.broadcast_to(floor, wanted.shape)[probe, piece], sizes)
        probe = np.repeat(probe, sizes)
        high = self.scores[probe, row - self.first] >= limit
        return probe[high], row[high]


class _Gallery:
    """Rows cut into pieces of at most `_SEGMENT`, never across the given `runs`, and scored chunk by chunk."""

    def __init__(self, rows: F32, runs: I64, probes: int, block_bytes: int) -> None:
        self._rows = rows
        sizes = np.diff(runs, append=len(rows))
        pieces = -(-sizes // _SEGMENT)
        nth = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        self.starts: I64 = np.repeat(runs, pieces) + nth * _SEGMENT
        self._buffer = np.empty((max(1, block_bytes // (4 * max(1, probes))) + _SEGMENT) * probes, np.float32)
        self._most_rows = max(1, block_bytes // (4 * max(1, probes)))
        squares = _squares(rows)
        self._half = squares / 2
        self._longest = float(np.sqrt(squares.max(initial=0)))
        # rows of one length need no correction: their mean serves, and half the spread goes into the error
        self._spread = float(np.ptp(self._half)) / 2 if len(rows) else 0.0
        self._one_length = self._spread <= 4 * _U * self._longest**2

    def error(self, x: F32) -> F64:
        """Return float64 (n,): how far a score of each probe can lie from the true one."""
        return _error(x, self._longest) + (self._spread if self._one_length else 0)

    def chunks(self, x: F32) -> Iterator[_Chunk]:
        """Yield the scores of the probes `x` against the whole gallery; each chunk's are overwritten by the next."""
        low = 0
        ends = np.append(self.starts[1:], len(self._rows))
        while low < len(self.starts):
            first = int(self.starts[low])
            high = max(low + 1, int(np.searchsorted(ends, first + self._most_rows, side="right")))
            last = int(ends[high - 1])
            scores = self._buffer[: len(x) * (last - first)].reshape(len(x), last - first)
            np.matmul(x, self._rows[first:last].T, out=scores)
            scores -= np.float32(self._half.mean()) if self._one_length else self._half[first:last].astype(np.float32)
            starts = self.starts[low:high]
            best = np.maximum.reduceat(scores, starts - first, axis=1)
            yield _Chunk(scores, best, first, last, slice(low, high), starts)
            low = high


def _rival_candidates(x: F32, labels: I64, gallery: _Gallery, owners: I64) -> tuple[I64, I64]:
    """Return (probe, row) pairs among which each probe's mate, impostor and second impostor must be."""
    slack = 2 * gallery.error(x)
    own = np.full(len(x), -np.inf)  # best score of a mate so far
    top = np.full((len(x), 2), -np.inf)  # best impostor scores of two different labels so far
    top_labels = np.full((len(x), 2), DISTRACTOR)
    found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))]
    for chunk in gallery.chunks(x):
        owner = owners[chunk.segments]
        mine = owner == labels[:, None]
        own = np.maximum(own, np.max(chunk.best, axis=1, where=mine, initial=-np.inf))
        foreign = np.where(mine, np.float32(-np.inf), chunk.best)
        here, here_labels = _top_two(foreign, np.broadcast_to(owner, foreign.shape))
        top, top_labels = _top_two(np.hstack([top, here]), np.hstack([top_labels, here_labels]))
        floor = np.where(mine, own[:, None], top[:, 1:]) - slack[:, None]
        # inside a piece only what may be its nearest counts
        floor = np.maximum(floor, chunk.best - slack[:, None])
        probe, row = chunk.pairs(chunk.best >= floor, floor)
        found.append((probe, row, chunk.scores[probe, row - chunk.first]))
    probe, row, score = (np.concatenate(column) for column in zip(*found, strict=True))
    piece = np.searchsorted(gallery.starts, row, side="right") - 1
    final = np.where(owners[piece] == labels[probe], own[probe], top[probe, 1]) - slack[probe]
    return probe[score >= final], row[score >= final]


def _top_two(scores: F32 | F64, labels: I64) -> tuple[F64, I64]:
    """Return per row the highest score and the highest of another label, float64 (n, 2), and both labels (n, 2)."""
    index = np.arange(len(scores))
    first = np.argmax(scores, axis=1)
    others = np.where(labels == labels[index, first][:, None], -np.inf, scores)
    second = np.argmax(others, axis=1)
    values = np.stack([scores[index, first], others[index, second]], axis=1)
    return values, np.stack([labels[index, first], labels[index, second]], axis=1)


def _decide(probes: F32, labels: I64, rows: F32, row_labels: I64, probe: I64, row: I64) -> Rivals:
    """Return the verdict among candidate pairs by float64 distance, ties by row."""
    distance = _pair_distances(probes, probe, rows, row)

    def nearest(allowed: Bool) -> Nearest:
        return _first(len(probes), probe[allowed], distance[allowed], row[allowed], row[allowed])[0]

    mine = row_labels[row] == labels[probe]
    impostor = nearest(~mine)
    impostor_label = np.full(len(probes), DISTRACTOR)
    hit = impostor.row >= 0
    impostor_label[hit] = row_labels[impostor.row[hit]]
    second = nearest(~mine & (row_labels[row] != impostor_label[probe]))
    return Rivals(nearest(mine), impostor, impostor_label, second)


def _first(count: int, probe: I64, distance: F64, rank: I64, row: I64) -> tuple[Nearest, Bool]:
    """Return each of `count` probes' lexicographic minimum of (distance, rank), and bool: is this pair the one?"""
    order = np.lexsort((rank, distance, probe))
    which, begin = np.unique(probe[order], return_index=True)
    chosen = order[begin]
    result = Nearest(np.full(count, np.inf), np.full(count, -1, np.int64))
    result.distance[which], result.row[which] = distance[chosen], row[chosen]
    is_first = np.zeros(len(probe), bool)
    is_first[chosen] = True
    return result, is_first


def _pair_distances(probes: F32, probe: I64, rows: F32, row: I64, step: int = 4096) -> F64:
    """Return float64 squared distances of `probes[probe]` to `rows[row]`."""
    parts = [
        squared_distances(probes[probe[i : i + step]], rows[row[i : i + step]]) for i in range(0, len(probe), step)
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def _error(x: F32, longest: float) -> F64:
    """Return float64 (n,): the rounding error of a float32 score against rows no longer than `longest`.

    (D + 4)·u·(|x|·Y + Y²/2), for any order of summation: Higham, Accuracy and Stability of Numerical Algorithms, §3.1.
    The last term covers products that underflow.
    """
    error: F64 = 1.01 * _U * (x.shape[1] + 4) * (np.sqrt(_squares(x)) * longest + longest**2 / 2) + 1e-36
    return error


def in_range(probes: F32, rows: F32) -> tuple[F32, F32, int]:
    """Return probes and rows multiplied by 2^exponent so that no square over- or underflows float32; usually as is."""
    largest = max(max(float(a.max(initial=0)), -float(a.min(initial=0))) for a in (probes, rows))
    exponent = -int(np.frexp(largest)[1]) if largest > 0 else 0
    if abs(exponent) <= 20:
        return probes, rows, 0
    return np.ldexp(probes, exponent), np.ldexp(rows, exponent), exponent


def _squares(vectors: F32) -> F64:
    """Return float64 (N,) squared lengths."""
    squares: F64 = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return squares


def _joined(groups: Sequence[I64]) -> I64:
    return np.concatenate([np.empty(0, np.int64), *groups])


def _blocks(count: int) -> Iterator[slice]:
    for i in range(0, count, _PROBES):
        yield slice(i, min(i + _PROBES, count))
