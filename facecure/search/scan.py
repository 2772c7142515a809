"""A rough scan with a proven error: which few (probe, row) pairs can decide a nearest-neighbour question.

Scores are of eight-bit vectors where the CPU multiplies those (AVX512-VNNI) and of float32 ones by BLAS elsewhere, or
by torch where another device is asked for. The gallery is read block by block, so working memory is about
`block_bytes`, whatever its size.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from facecure.kernels import Reach, has_vnni, near_rows, near_scores, quantize
from facecure.kernels.device import torch_device
from facecure.search.bounds import Pairs, Rows, coarse_error, float32_error, rounded_up, squares, verdict_error
from facecure.search.scan_torch import scan_torch
from facecure.types import F32, I64

BLOCK_BYTES = 1 << 28
_PROBES = 8192  # per block
_PAIR_BYTES = 32  # that a pair takes while it is a candidate, about
_WIDEST = 1 << 17  # 127²·D must fit 32 bits


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
    rows: Rows,
    reach: Reach,
    labels: I64 | None = None,
    own: I64 | None = None,
    block_bytes: int = BLOCK_BYTES,
    device: str = "cpu",
) -> Iterator[Pairs]:
    """Yield, block of rows by block, all pairs that may win given the `reach` after that block (see `Reach.may_win`).

    `probes` float32 (n, D) and `rows`, R of D values, are `in_range`, n ≥ 1. `labels` int64 (R,) and `own` int64 (n,):
    see `kernels.near_rows`. `device` "cpu" is native code; any other is torch's name of a device.
    """
    if device != "cpu":
        yield from scan_torch(probes, rows, reach, labels, own, block_bytes, torch_device(device))
        return
    size = probes.shape[1]
    if not has_vnni() or size > _WIDEST:
        yield from _scan_float32(probes, rows, reach, labels, own, block_bytes)
        return
    x = quantize(probes)
    packed, length, lost = x.packed(), np.sqrt(x.square), np.sqrt(x.lost)
    most = block_bytes // _PAIR_BYTES
    first, step = 0, max(1, block_bytes // (rows.copied_bytes + size + 64))
    while first < len(rows):
        y = quantize(rows[first : first + step])
        longest, most_lost = float(np.sqrt(y.square.max())), float(np.sqrt(y.lost.max()))
        error = rounded_up(coarse_error(length, lost, longest, most_lost) + verdict_error(length, longest, size))
        names = None if labels is None else labels[first : first + step]
        found = near_rows(x, packed, y, error, reach, names, own, most=most)
        if found is None:  # so many near-ties that fewer rows must do
            step = max(1, len(y.scale) // 8)
            continue
        yield Pairs.of(found, first, error)
        first += len(y.scale)


def _scan_float32(
    probes: F32, rows: Rows, reach: Reach, labels: I64 | None, own: I64 | None, block_bytes: int
) -> Iterator[Pairs]:
    """Yield what `scan` yields, by BLAS."""
    length = np.sqrt(squares(probes))
    step = max(1, block_bytes // (_PAIR_BYTES * len(probes)))
    for first in range(0, len(rows), step):
        part = rows[first : first + step]
        lengths = squares(part)
        longest = float(np.sqrt(lengths.max()))
        error = rounded_up(
            float32_error(length, longest, probes.shape[1]) + verdict_error(length, longest, probes.shape[1])
        )
        scores = probes @ part.T - (lengths / 2).astype(np.float32)
        names = None if labels is None else labels[first : first + step]
        yield Pairs.of(near_scores(scores, error, reach, names, own), first, error)
