"""Verdicts of full precision from embeddings of a lower one: whatever its error could decide is embedded again.

With every distance off by at most `error`, a mate that is nearer or farther than all impostors by more than twice that
is so in full precision too. For the other probes the rows that could be nearest, within twice the error of the nearest
mate or impostor, are few.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from facecure.search.exact import Rivals, squared_distances
from facecure.types import F32, I64, Bool


def doubtful(found: Rivals, error: float) -> Bool:
    """Return bool (N,): whether a probe's verdict could be another one if distances were off by up to `error`."""
    mate, impostor = np.sqrt(found.mate.distance), np.sqrt(found.impostor.distance)
    with np.errstate(invalid="ignore"):  # inf − inf, where a probe has neither
        near: Bool = np.abs(mate - impostor) <= 2 * error
    return near


def settled(
    found: Rivals,
    error: float,
    probes: I64,
    labels: I64,
    rows: I64,
    row_labels: I64,
    vectors: F32,
    again: Callable[[I64], F32],
) -> tuple[Bool, int]:
    """Return bool (N,), whether each probe is identified in full precision, and how many rows were embedded again.

    `probes` and `rows` int64 index `vectors`, float32 (T, D) unit rows of the lower precision, of which `found` are the
    rivals; `again(indices)` returns the rows of full precision, float32 (n, D).
    """
    identified = found.mate.beats(found.impostor)
    known: dict[int, F32] = {}

    def full(indices: I64) -> F32:
        new = np.array([i for i in indices.tolist() if i not in known], np.int64)
        if len(new):
            known.update(zip(new.tolist(), again(new), strict=True))
        return np.stack([known[i] for i in indices.tolist()])

    unsure = np.flatnonzero(doubtful(found, error))
    contenders = []
    for i in unsure:
        probe = np.broadcast_to(vectors[probes[i]], (len(rows), vectors.shape[1]))
        distance = np.sqrt(squared_distances(probe, vectors[rows]))
        own = row_labels == labels[i]
        reach = np.where(own, np.sqrt(found.mate.distance[i]), np.sqrt(found.impostor.distance[i])) + 2 * error
        contenders.append(np.flatnonzero(distance <= reach))
    if len(unsure):
        full(np.unique(np.concatenate([probes[unsure], *(rows[near] for near in contenders)])))  # in large batches
    for i, near in zip(unsure, contenders, strict=True):
        rivals = full(rows[near])
        distance = squared_distances(np.broadcast_to(full(probes[i : i + 1]), rivals.shape), rivals)
        winner = near[np.lexsort((near, distance))[0]]
        identified[i] = row_labels[winner] == labels[i]
    return identified, len(known)
