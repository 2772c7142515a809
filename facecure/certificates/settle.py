"""Verdicts of full precision from embeddings of a lower one: whatever its error could decide is embedded again.

With every distance off by at most `error`, a row farther than the nearest one by more than twice that is not the
nearest in full precision either. A probe whose remaining rows are all its own, or all others', is decided; of the other
probes the rows that remain are few, and these are embedded again.

That is exact while `error` holds, and whether it holds nobody knows without embedding everything twice. It is known on
the faces that were certified, all of whose distances were compared. On others it is an estimate: of n certified probes
and one more of the same kind, the one more has the largest error with probability 1 / (n + 1), and the bound is a
multiple of the largest. So what is embedded again is measured too: a distance that is off by more widens the bound, and
everything is decided once more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from facecure.search.exact import Rivals, squared_distances
from facecure.types import F32, F64, I64, Bool

SAFETY = 2.0  # the error of distances that is counted on, as a multiple of the largest one seen


@dataclass(frozen=True, slots=True)
class Settled:
    """Bool (N,): whether each probe is identified in full precision; the number of rows embedded `again`.

    `error` is the bound that held in the end.
    """

    identified: Bool
    again: int
    error: float


def doubtful(rivals: Rivals, error: float) -> Bool:
    """Return bool (N,): whether a probe's verdict could be another one if distances were off by up to `error`."""
    mate, impostor = np.sqrt(rivals.mate.distance), np.sqrt(rivals.impostor.distance)
    with np.errstate(invalid="ignore"):  # inf − inf, where a probe has neither
        near: Bool = np.abs(mate - impostor) <= 2 * error
    return near


def settled(
    rivals: Rivals,
    error: float,
    probes: I64,
    labels: I64,
    rows: I64,
    row_labels: I64,
    vectors: F32,
    again: Callable[[I64], F32],
) -> Settled:
    """Return each probe's verdict in full precision.

    `probes` and `rows` int64 index `vectors`, float32 (T, D) unit rows of the lower precision, of which the `rivals`
    are; `again(indices)` returns the rows of full precision, float32 (n, D), and is asked for none twice. `error` is
    by how much distances may be off; where that is seen to be too little it is widened.
    """
    embedded: dict[int, F32] = {}
    while True:
        identified = rivals.mate.beats(rivals.impostor)
        unsure = np.flatnonzero(doubtful(rivals, error))
        nearest = np.sqrt(np.minimum(rivals.mate.distance, rivals.impostor.distance))
        lower = [_distances(vectors, probe, rows) for probe in probes[unsure]]
        near = [np.flatnonzero(row <= nearest[i] + 2 * error) for i, row in zip(unsure, lower, strict=True)]
        asked = np.unique(np.concatenate([probes[unsure], *(rows[some] for some in near)]))
        new = np.array([i for i in asked.tolist() if i not in embedded], np.int64)
        if len(new):
            embedded.update(zip(new.tolist(), again(new), strict=True))  # in large batches
        seen = 0.0
        for i, some, row in zip(unsure, near, lower, strict=True):
            probe, nearby = embedded[int(probes[i])], np.stack([embedded[j] for j in rows[some].tolist()])
            full = squared_distances(np.broadcast_to(probe, nearby.shape), nearby)
            seen = max(seen, float(np.abs(np.sqrt(full) - row[some]).max()))
            winner = some[np.lexsort((some, full))[0]]
            identified[i] = row_labels[winner] == labels[i]
        if seen <= error:
            return Settled(identified, len(embedded), error)
        error = SAFETY * seen


def _distances(vectors: F32, probe: int, rows: I64) -> F64:
    """Return the distances of one of `vectors` to `rows` of them, float64 (n,)."""
    shape = (len(rows), vectors.shape[1])
    distances: F64 = np.sqrt(squared_distances(np.broadcast_to(vectors[probe], shape), vectors[rows]))
    return distances
