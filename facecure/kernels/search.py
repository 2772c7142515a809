"""The verdict of exact nearest-neighbour search, and its twin."""

from __future__ import annotations

import numpy as np

from facecure import _core
from facecure.errors import InputError
from facecure.threads import thread_count
from facecure.types import F32, F64, I64


def segment_nearest(
    probes: F32, rows: F32, members: I64, starts: I64, probe: I64, segment: I64, *, threads: int = 0
) -> tuple[F64, I64]:
    """Return the two nearest members per pair (probe, segment): squared distance float64 (P, 2) and row int64 (P, 2).

    Segment s is the rows `members[starts[s]:starts[s + 1]]`. The distance is Σ (x − y)² in float64, summed as numpy
    does; the earlier member wins a tie. Where a segment has fewer than two members: inf and −1. Raises `InputError`
    where a value is not finite.
    """
    probes, rows = np.ascontiguousarray(probes), np.ascontiguousarray(rows)
    distance, row = _core.segment_nearest(
        probes=probes,
        rows=rows,
        members=members,
        starts=starts,
        probe=probe,
        segment=segment,
        threads=thread_count(threads),
    )
    for pair in np.flatnonzero(np.isnan(distance[:, 0]))[:1]:
        of, at = ("row", row[pair, 0]) if np.isfinite(probes[probe[pair]]).all() else ("probe", probe[pair])
        raise InputError(f"{of} {at} holds a value that is not finite; it has no distance to any other")
    return distance, row


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
