"""The scan and the verdict of exact nearest-neighbour search, and their twins."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from facecure import _core
from facecure.kernels.threads import available_threads
from facecure.types import F32, F64, I64

BF16 = npt.NDArray[np.uint16]  # bfloat16 values as their bits


def to_bf16(vectors: F32, *, threads: int = 0) -> BF16:
    """Return finite float32 (N, D) vectors rounded to bfloat16, (N, D) or (N, D + 1) where D is odd.

    Rounding is to nearest even, so a normal value changes by at most 2⁻⁹ of itself; the column that makes D even is 0.
    """
    return _core.to_bf16(vectors=np.ascontiguousarray(vectors), threads=threads or available_threads())


def to_bf16_numpy(vectors: F32) -> BF16:
    """Return what `to_bf16` returns."""
    bits = np.pad(vectors, ((0, 0), (0, vectors.shape[1] % 2))).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(rounded: BF16) -> F32:
    """Return the float32 values of bfloat16 ones, exactly."""
    return (rounded.astype(np.uint32) << 16).view(np.float32)


def has_bf16() -> bool:
    """Return whether this CPU multiplies bfloat16, which `segment_best` needs."""
    return bool(_core.build_info()["bf16"])


def segment_best(probes: BF16, rows: BF16, half: F32, starts: I64, *, threads: int = 0) -> F32:
    """Return float32 (N, S): each probe's highest score x·y − half[y] among the rows of each segment.

    `probes` and `rows` are bfloat16 of one even width; segment s is rows `starts[s]` up to `starts[s + 1]` or the end,
    −inf where that is empty. Products are exact, sums float32 in an order of the processor's choosing. Raises
    `ValueError` on a CPU without bfloat16 products (see `has_bf16`).
    """
    return _core.segment_best(
        probes=probes, rows=rows, half=half, starts=starts, threads=threads or available_threads()
    )


def segment_best_numpy(probes: BF16, rows: BF16, half: F32, starts: I64) -> F32:
    """Return what `segment_best` returns, up to the rounding of float32 sums."""
    scores = from_bf16(probes) @ from_bf16(rows).T - half
    ends = np.append(starts[1:], len(rows))
    best = np.full((len(probes), len(starts)), -np.inf, np.float32)
    for s, (low, high) in enumerate(zip(starts, ends, strict=True)):
        best[:, s] = scores[:, low:high].max(axis=1, initial=-np.inf)
    return best


def segment_nearest(
    probes: F32, rows: F32, members: I64, starts: I64, probe: I64, segment: I64, *, threads: int = 0
) -> tuple[F64, I64]:
    """Return the two nearest members per pair (probe, segment): squared distance float64 (P, 2) and row int64 (P, 2).

    Segment s is the rows `members[starts[s]:starts[s + 1]]`. The distance is Σ (x − y)² in float64, summed as numpy
    does; the earlier member wins a tie. Where a segment has fewer than two members: inf and −1.
    """
    return _core.segment_nearest(
        probes=np.ascontiguousarray(probes),
        rows=np.ascontiguousarray(rows),
        members=members,
        starts=starts,
        probe=probe,
        segment=segment,
        threads=threads or available_threads(),
    )


def segment_nearest_numpy(
    probes: F32, rows: F32, members: I64, starts: I64, probe: I64, segment: I64
) -> tuple[F64, I64]:
    """Return what `segment_nearest` returns."""
    distance, row = np.full((len(probe), 2), np.inf), np.full((len(probe), 2), -1, np.int64)
    for i, (p, s) in enumerate(zip(probe, segment, strict=True)):
        own = members[starts[s] : starts[s + 1]]
        squared = np.square(probes[p].astype(np.float64) - rows[own]).sum(axis=1)
        order = np.argsort(squared, kind="stable")[:2]
        distance[i, : len(order)], row[i, : len(order)] = squared[order], own[order]
    return distance, row
