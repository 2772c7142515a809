"""A rough scan with a proven error: which few (probe, row) pairs can decide a nearest-neighbour question.

Scores are of eight-bit vectors where the CPU multiplies those (AVX512-VNNI) and of float32 ones by BLAS elsewhere. The
gallery is read block by block, so working memory is about `block_bytes`, whatever its size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from facecure.kernels import Reach, has_vnni, near_rows, near_scores, quantize
from facecure.types import F32, F64, I64

BLOCK_BYTES = 1 << 28
_PROBES = 8192  # per block
_PAIR_BYTES = 32  # that a pair takes while it is a candidate, about
_WIDEST = 1 << 17  # 127²·D must fit 32 bits
_U32, _U64 = 2.0**-24, 2.0**-53  # unit roundoffs


@dataclass(frozen=True, slots=True)
class Pairs:
    """Candidates: `probe`, `row` int64 (P,) and bounds of their true scores, `lower` and `upper` float32 (P,)."""

    probe: I64
    row: I64
    lower: F32
    upper: F32

    def __len__(self) -> int:
        return len(self.probe)


def in_range(probes: F32, rows: F32) -> tuple[F32, F32, int]:
    """Return probes and rows times 2^exponent, so that no square over- or underflows float32; usually as they are."""
    largest = max(max(float(a.max(initial=0)), -float(a.min(initial=0))) for a in (probes, rows))
    exponent = -int(np.frexp(largest)[1]) if largest > 0 else 0
    if abs(exponent) <= 20:
        return probes, rows, 0
    return np.ldexp(probes, exponent), np.ldexp(rows, exponent), exponent


def blocks(count: int) -> Iterator[slice]:
    """Yield the slices of probes that are scanned together."""
    for i in range(0, count, _PROBES):
        yield slice(i, min(i + _PROBES, count))


def scan(
    probes: F32,
    rows: F32,
    reach: Reach,
    labels: I64 | None = None,
    own: I64 | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Pairs]:
    """Yield, block of rows by block, all pairs that may win given the `reach` after that block (see `Reach.may_win`).

    `probes` float32 (n, D) and `rows` float32 (R, D) are `in_range`, n ≥ 1. `labels` int64 (R,) and `own` int64 (n,):
    see `kernels.near_rows`.
    """
    size = probes.shape[1]
    if not has_vnni() or size > _WIDEST:
        yield from _scan_float32(probes, rows, reach, labels, own, block_bytes)
        return
    x = quantize(probes)
    packed, length, lost = x.packed(), np.sqrt(x.square), np.sqrt(x.lost)
    most = block_bytes // _PAIR_BYTES
    first, step = 0, max(1, block_bytes // (size + 64))
    while first < len(rows):
        y = quantize(rows[first : first + step])
        longest, most_lost = float(np.sqrt(y.square.max())), float(np.sqrt(y.lost.max()))
        error = _rounded_up(_coarse_error(length, lost, longest, most_lost) + _verdict_error(length, longest, size))
        names = None if labels is None else labels[first : first + step]
        found = near_rows(x, packed, y, error, reach, names, own, most=most)
        if found is None:  # so many near-ties that fewer rows must do
            step = max(1, len(y.scale) // 8)
            continue
        yield _pairs(found, first, error)
        first += len(y.scale)


def _scan_float32(
    probes: F32, rows: F32, reach: Reach, labels: I64 | None, own: I64 | None, block_bytes: int
) -> Iterator[Pairs]:
    """Yield what `scan` yields, by BLAS."""
    length = np.sqrt(_squares(probes))
    step = max(1, block_bytes // (_PAIR_BYTES * len(probes)))
    for first in range(0, len(rows), step):
        part = rows[first : first + step]
        squares = _squares(part)
        longest = float(np.sqrt(squares.max()))
        error = _rounded_up(
            _float32_error(length, longest, probes.shape[1]) + _verdict_error(length, longest, probes.shape[1])
        )
        scores = probes @ part.T - (squares / 2).astype(np.float32)
        names = None if labels is None else labels[first : first + step]
        yield _pairs(near_scores(scores, error, reach, names, own), first, error)


def _pairs(found: tuple[I64, I64, F32], first: int, error: F32) -> Pairs:
    probe, row, score = found
    return Pairs(probe, row + first, score - error[probe], score + error[probe])


def _rounded_up(error: F64) -> F32:
    rounded: F32 = (1.0001 * error).astype(np.float32)
    return rounded


def _squares(vectors: F32) -> F64:
    squares: F64 = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return squares


def _coarse_error(length: F64, lost: F64, longest: float, most_lost: float) -> F64:
    """Return how far the score of x̂ and ŷ lies from that of x and y.

    |x·y − x̂·ŷ| ≤ |x − x̂||y| + |x̂||y − ŷ| (Cauchy-Schwarz), |x̂| ≤ |x| + |x − x̂|. The integers multiply and add
    exactly; conversion, two scales, their products, |y|²/2 and the comparison round at most 16 times.
    """
    product = (length + lost) * (longest + most_lost)
    return lost * longest + (length + lost) * most_lost + 16 * _U32 * (product + longest**2 / 2)


def _float32_error(length: F64, longest: float, size: int) -> F64:
    """Return how far a float32 score, summed in any order, lies from the true one.

    At most γ·(|x||y| + |y|²/2): Higham, Accuracy and Stability of Numerical Algorithms, §3.1.
    """
    return 1.01 * _U32 * (size + 16) * (length * longest + longest**2 / 2)


def _verdict_error(length: F64, longest: float, size: int) -> F64:
    """Return how far half a float64 distance, as the verdict sums it, lies from the true one; and for underflow."""
    return 4 * _U64 * (size + 8) * (length + longest) ** 2 + 1e-30
