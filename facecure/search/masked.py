"""Nearest mates and impostors for whole populations: a rough scan, an exact verdict.

A blocked scan scores all pairs, in bfloat16 where the CPU multiplies it and in float32 elsewhere, and keeps the best of
each short run of rows. Its error is bounded, so every run that could hold a winner is known; those few are decided by
float64 distances and ties by row, exactly as `search.exact` defines them. Both scans lead to the same result. Working
memory is about `block_bytes` beside one rounded copy of the gallery, whatever the gallery's size.

The score of a row y for a probe x is x·y − |y|²/2: larger is nearer, and |x − y|² = |x|² − 2·score.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from facecure.kernels import BF16, has_bf16, segment_best, segment_nearest, to_bf16
from facecure.search.exact import DISTRACTOR, Nearest, Rivals
from facecure.types import F32, F64, I64, Bool

BLOCK_BYTES = 1 << 27
_PROBES = 2048  # per block: enough for the matrix product to run at full speed
_RUN = 64  # longer runs of one label are cut, so that deciding one stays cheap
_U = 2.0**-24  # unit roundoff of float32


def rivals(probes: F32, labels: I64, rows: F32, row_labels: I64, block_bytes: int = BLOCK_BYTES) -> Rivals:
    """Return each probe's nearest mate and impostors in one gallery, as `exact.rivals`.

    Fast where rows of one label lie together.
    """
    x, y, _ = in_range(probes, rows)
    scan = _Scan(y, np.flatnonzero(np.diff(row_labels, prepend=row_labels[:1] - 1)), block_bytes)
    owners = row_labels[scan.starts]
    found = [Nearest(np.full(len(probes), np.inf), np.full(len(probes), -1)) for _ in range(3)]
    impostor_label = np.full(len(probes), DISTRACTOR)
    for block in _blocks(len(probes)):
        probe, run = _rival_runs(scan.probes(x[block]), labels[block], scan, owners)
        distance, row = scan.decide(probes[block], rows, probe, run)
        nearest, impostor_label[block] = _verdict(labels[block], owners[run], probe, distance, row)
        for total, part in zip(found, nearest, strict=True):
            total.distance[block], total.row[block] = part.distance, part.row
    return Rivals(found[0], found[1], impostor_label, found[2])


def mates(probes: F32, probe_groups: Sequence[I64], rows: F32, row_groups: Sequence[I64]) -> tuple[Nearest, Nearest]:
    """Return each probe's nearest and second nearest row among the rows of its own group, as `exact.mates`."""
    starts = np.cumsum([0, *map(len, row_groups)])
    group = np.repeat(np.arange(len(probe_groups)), [len(members) for members in probe_groups])
    distance, row = segment_nearest(probes, rows, _joined(row_groups), starts, _joined(probe_groups), group)
    return Nearest(distance[:, 0], row[:, 0]), Nearest(distance[:, 1], row[:, 1])


def closer(
    probes: F32, radius: F64, rows: F32, starts: I64, block_bytes: int = BLOCK_BYTES
) -> Iterator[tuple[slice, Bool]]:
    """Yield, for consecutive slices of probes, bool (n, S): does segment s hold a row strictly closer than `radius`?

    As `exact.closer`: segment s is rows `starts[s]` up to `starts[s + 1]` or the end, never empty; `radius` float64
    (N,) squared.
    """
    x, y, exponent = in_range(probes, rows)
    scan = _Scan(y, starts, block_bytes)
    segment_of = np.searchsorted(starts, scan.starts, side="right") - 1
    for block in _blocks(len(probes)):
        scanned = scan.probes(x[block])
        # the score above which a row lies inside the radius; −inf where the radius is infinite
        goal = (scanned.squares - np.ldexp(radius[block], 2 * exponent)) / 2
        above, below = (goal + scanned.error)[:, None], (goal - scanned.error)[:, None]
        inside = np.zeros((len(goal), len(starts)), bool)
        for runs, best in scan.best(scanned):
            surely = best > above
            probe, run = np.nonzero((best >= below) & ~surely)
            run += runs.start
            distance, _ = scan.decide(probes[block], rows, probe, run)
            near = distance < radius[block][probe]
            pieces, first = np.unique(segment_of[runs], return_index=True)
            inside[:, pieces] |= np.logical_or.reduceat(surely, first, axis=1)
            inside[probe[near], segment_of[run[near]]] = True
        yield block, inside


def in_range(probes: F32, rows: F32) -> tuple[F32, F32, int]:
    """Return probes and rows times 2^exponent, so that no square over- or underflows float32; usually as they are."""
    largest = max(max(float(a.max(initial=0)), -float(a.min(initial=0))) for a in (probes, rows))
    exponent = -int(np.frexp(largest)[1]) if largest > 0 else 0
    if abs(exponent) <= 20:
        return probes, rows, 0
    return np.ldexp(probes, exponent), np.ldexp(rows, exponent), exponent


@dataclass(frozen=True, slots=True)
class _Probes:
    """A block of probes: float32 (n, D), the same in bfloat16 where that is scanned, squared lengths, score error."""

    x: F32
    rounded: BF16 | None
    squares: F64
    error: F64


class _Scan:
    """A gallery cut into runs of at most `_RUN` rows, never across the given ones, and scored run by run."""

    def __init__(self, rows: F32, runs: I64, block_bytes: int) -> None:
        pieces = -(-np.diff(runs, append=len(rows)) // _RUN)
        nth = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        self.starts: I64 = np.repeat(runs, pieces) + nth * _RUN
        self._ends = np.append(self.starts[1:], len(rows))
        self._members = np.arange(len(rows))
        self._block_bytes = block_bytes
        squares = _squares(rows)
        self._half = (squares / 2).astype(np.float32)
        self._longest = float(np.sqrt(squares.max(initial=0)))
        self._rows = rows
        self._rounded = to_bf16(rows) if has_bf16() else None

    def probes(self, x: F32) -> _Probes:
        """Return a block of probes, ready for this gallery, with the error of their scores.

        Rounding a factor to bfloat16 moves it by at most 2⁻⁹ of its length, hence the product by |x|·Y·(2·2⁻⁹ + 2⁻¹⁸).
        Summing in float32, in any order, and taking off |y|²/2 costs at most (D + 4)·u·(|x̂|·Ŷ + Y²/2): Higham, Accuracy
        and Stability of Numerical Algorithms, §3.1. The last term covers values and products that underflow.
        """
        squares = _squares(x)
        product = 1.01 * np.sqrt(squares) * self._longest
        error = _U * (x.shape[1] + 4) * (product + self._longest**2 / 2) + 1e-30
        if self._rounded is None:
            return _Probes(x, None, squares, error)
        return _Probes(x, to_bf16(x), squares, error + product * (2.0**-8 + 2.0**-18))

    def best(self, probes: _Probes) -> Iterator[tuple[slice, F32]]:
        """Yield consecutive runs and float32 (n, runs): the highest score of each probe in each of them."""
        most = max(1, self._block_bytes // (4 * len(probes.x)))
        low = 0
        while low < len(self.starts):
            first = int(self.starts[low])
            high = max(low + 1, int(np.searchsorted(self._ends, first + most, side="right")))
            last, starts = int(self._ends[high - 1]), self.starts[low:high] - first
            if self._rounded is None or probes.rounded is None:
                scores = probes.x @ self._rows[first:last].T
                scores -= self._half[first:last]
                best = np.maximum.reduceat(scores, starts, axis=1)
            else:
                best = segment_best(probes.rounded, self._rounded[first:last], self._half[first:last], starts)
            yield slice(low, high), best
            low = high

    def decide(self, probes: F32, rows: F32, probe: I64, run: I64) -> tuple[F64, I64]:
        """Return float64 squared distance and row of the nearest row in each (probe, run) pair, ties to the earlier."""
        starts = np.append(self.starts, len(rows))
        order = np.argsort(run, kind="stable")  # each run's rows are fetched once for all its probes
        distance, row = np.empty(len(run)), np.empty(len(run), np.int64)
        nearest = segment_nearest(probes, rows, self._members, starts, probe[order], run[order])
        distance[order], row[order] = nearest[0][:, 0], nearest[1][:, 0]
        return distance, row


def _rival_runs(probes: _Probes, labels: I64, scan: _Scan, owners: I64) -> tuple[I64, I64]:
    """Return the (probe, run) pairs in which each probe's mate, impostor and second impostor must be."""
    slack = 2 * probes.error[:, None]
    own = np.full((len(slack), 1), -np.inf)  # best score of a mate so far
    top = np.full((len(slack), 2), -np.inf)  # best scores of impostors of two different labels so far
    top_labels = np.full((len(slack), 2), DISTRACTOR)
    found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))]
    for runs, best in scan.best(probes):
        owner = owners[runs]
        mine = owner == labels[:, None]
        own = np.maximum(own, np.max(best, axis=1, where=mine, initial=-np.inf, keepdims=True))
        foreign = np.where(mine, np.float32(-np.inf), best)
        here, here_labels = _top_two(foreign, np.broadcast_to(owner, foreign.shape))
        top, top_labels = _top_two(np.hstack([top, here]), np.hstack([top_labels, here_labels]))
        probe, run = np.nonzero((foreign >= top[:, 1:] - slack) | (mine & (best >= own - slack)))
        found.append((probe, run + runs.start, best[probe, run]))
    probe, run, score = (np.concatenate(column) for column in zip(*found, strict=True))
    floor = np.where(owners[run] == labels[probe], own[probe, 0], top[probe, 1]) - slack[probe, 0]
    return probe[score >= floor], run[score >= floor]


def _top_two(scores: F32 | F64, labels: I64) -> tuple[F64, I64]:
    """Return per row the highest score and the highest of another label, float64 (n, 2), and both labels (n, 2)."""
    index = np.arange(len(scores))
    first = np.argmax(scores, axis=1)
    others = np.where(labels == labels[index, first][:, None], -np.inf, scores)
    second = np.argmax(others, axis=1)
    values = np.stack([scores[index, first], others[index, second]], axis=1)
    return values, np.stack([labels[index, first], labels[index, second]], axis=1)


def _verdict(labels: I64, owner: I64, probe: I64, distance: F64, row: I64) -> tuple[list[Nearest], I64]:
    """Return nearest mate, impostor and second impostor among candidates, and the impostors' labels."""
    order = np.lexsort((row, distance, probe))
    probe, distance, row, owner = probe[order], distance[order], row[order], owner[order]

    def first(allowed: Bool) -> tuple[Nearest, I64]:
        """Return the first allowed candidate of each probe, and its label."""
        which, begin = np.unique(probe[allowed], return_index=True)
        result = Nearest(np.full(len(labels), np.inf), np.full(len(labels), -1))
        label = np.full(len(labels), DISTRACTOR)
        result.distance[which], result.row[which] = distance[allowed][begin], row[allowed][begin]
        label[which] = owner[allowed][begin]
        return result, label

    mine = owner == labels[probe]
    impostor, impostor_label = first(~mine)
    second, _ = first(~mine & (owner != impostor_label[probe]))
    return [first(mine)[0], impostor, second], impostor_label


def _squares(vectors: F32) -> F64:
    """Return float64 (N,) squared lengths."""
    squares: F64 = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return squares


def _joined(groups: Sequence[I64]) -> I64:
    return np.concatenate([np.empty(0, np.int64), *groups])


def _blocks(count: int) -> Iterator[slice]:
    for i in range(0, count, _PROBES):
        yield slice(i, min(i + _PROBES, count))
