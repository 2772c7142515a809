"""A rough scan with a proven error: which few (probe, row) pairs can decide a nearest-neighbour question.

Scores are of vectors rounded to eight bits (seven where the CPU multiplies no wider ones without overflow), those close
enough to matter again of the float32 vectors; or of float32 vectors by torch where another device is asked for. The
gallery is read block by block, so working memory is about `BLOCK_BYTES`, whatever its size.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from facecure.errors import InputError
from facecure.execution import torch_device
from facecure.kernels import Reach, largest_magnitude, near_rows, quantize, scan_bodies
from facecure.search.bounds import Pairs, Rows, coarse_error, float32_error, rounded_up, verdict_error
from facecure.search.scan_torch import scan_torch
from facecure.types import F32, I64

BLOCK_BYTES = 1 << 28  # of working memory
_PROBES = 8192  # per block
_PAIR_BYTES = 32  # that a pair takes while it is a candidate, about
_ROW_BYTES = 80  # that a row takes beside its codes: five numbers of them, and their float32 copies
_WIDEST = 1 << 17  # 127²·D must fit 32 bits


def in_range(probes: F32, rows: F32) -> tuple[F32, F32, int]:
    """Return probes and rows times 2^exponent, so that no square over- or underflows float32; usually as they are.

    Contiguous. Raises `InputError` where a value is not finite.
    """
    probes, rows = np.ascontiguousarray(probes), np.ascontiguousarray(rows)
    largest = max(_largest("probe", probes), _largest("gallery", rows))
    exponent = -int(np.frexp(largest)[1]) if largest > 0 else 0
    if abs(exponent) <= 20:
        return probes, rows, 0
    return np.ldexp(probes, exponent), np.ldexp(rows, exponent), exponent


def _largest(kind: str, vectors: F32) -> float:
    largest = largest_magnitude(vectors)
    if not np.isfinite(largest):
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise InputError(f"row {row} of the {kind} vectors holds a value that is not finite; it has no distance to any")
    return largest


def blocks(count: int) -> Iterator[slice]:
    """Yield the slices of probes that are scanned together."""
    for i in range(0, count, _PROBES):
        yield slice(i, min(i + _PROBES, count))


def scan(
    probes: Rows,
    rows: Rows,
    reach: Reach,
    labels: I64 | None = None,
    own: I64 | None = None,
    device: str = "cpu",
) -> Iterator[Pairs]:
    """Yield, block of rows by block, all pairs that may win given the `reach` after that block (see `Reach.may_win`).

    `probes`, n of D values, and `rows`, R of them, are `in_range`, n ≥ 1. `labels` int64 (R,) and `own` int64 (n,):
    see `kernels.near_rows`. `device` "cpu" is native code; any other is torch's name of a device. Raises `InputError`
    for vectors of more than 2^17 values, whose sums the errors are not proven for.
    """
    size = probes.vectors.shape[1]
    if size > _WIDEST:
        raise InputError(f"vectors of {size} values cannot be searched, only of up to {_WIDEST}")
    if device != "cpu":
        yield from scan_torch(probes[:], rows, reach, labels, own, BLOCK_BYTES, torch_device(device))
        return
    body = scan_bodies()[-1]
    x = quantize(probes.vectors, probes.index, limit=body.limit)
    length, lost = np.sqrt(x.square), np.sqrt(x.lost)
    whole = step = max(1, BLOCK_BYTES // (size + _ROW_BYTES))
    first = 0
    while first < len(rows):
        y = quantize(*rows.slice(first, first + step), limit=body.limit)
        longest, most_lost = float(np.sqrt(y.square.max())), float(np.sqrt(y.lost.max()))
        verdict = verdict_error(length, longest, size)
        base, slope = coarse_error(length, lost, longest, most_lost)
        coarse = rounded_up(np.stack([base + verdict, slope], axis=1))
        fine = rounded_up(float32_error(length, longest, size) + verdict)
        names = None if labels is None else labels[first : first + step]
        most = BLOCK_BYTES // _PAIR_BYTES
        found = near_rows(x, y, coarse, fine, reach, names, own, most=most, simd=body.name)
        if found is None:  # so many near-ties that fewer rows must do
            step = max(1, len(y.scale) // 8)
            continue
        yield Pairs.of(found, first, fine)
        first += len(y.scale)
        step = min(whole, 2 * step)
