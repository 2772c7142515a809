"""Whom each probe of a split is taken for by 1-NN: what runtimes and precisions are compared by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facecure.protocols.split import Split
from facecure.search.bounds import Rows
from facecure.search.exact import Rivals, squared_distances
from facecure.search.masked import mates, rivals
from facecure.types import F64, I64, Bool, Embeddings


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Per probe: the identity that it is taken for, whether that is right, and by how much its mate is nearer.

    `label` and `identified` are int64 and bool (N,); `margin` float64 (N,), a difference of distances, negative where
    an impostor is nearer.
    """

    label: I64
    identified: Bool
    margin: F64


def clean_rivals(embeddings: Embeddings, split: Split) -> Rivals:
    """Return the rivals of the split's controls among the rows enrolled, nobody cloaked."""
    vectors = embeddings.vectors
    return rivals(vectors[split.controls], split.control_labels, Rows(vectors, split.enrolled), split.enrolled_labels)


def clean_verdicts(embeddings: Embeddings, split: Split) -> Verdicts:
    """Return the verdict on each control, nobody cloaked."""
    nearest = clean_rivals(embeddings, split)
    identified = nearest.mate.beats(nearest.impostor)
    return _verdicts(nearest, nearest.mate.distance, identified, split.control_labels)


def cloaked_verdicts(embeddings: Embeddings, split: Split, cloak: str) -> Verdicts:
    """Return the verdict on each probe of each person protected by a cloak, that person's cloaked rows enrolled.

    People without cloaked rows have none.
    """
    vectors = embeddings.vectors
    group = [person for person in split.protected[cloak] if len(person.cloaked)]
    probes = [person.probes for person in group]
    labels = np.repeat(np.array([person.label for person in group], np.int64), [len(rows) for rows in probes])
    searched = vectors[np.concatenate([np.empty(0, np.int64), *probes])]
    nearest = rivals(searched, labels, Rows(vectors, split.enrolled), split.enrolled_labels)
    mate, _ = mates(vectors, probes, vectors, [person.cloaked for person in group])
    # own rows come last in the gallery, so at equal distance the impostor wins
    return _verdicts(nearest, mate.distance, mate.distance < nearest.impostor.distance, labels)


def changed(before: Sequence[Verdicts], after: Sequence[Verdicts]) -> Bool:
    """Return bool (N,) over all probes in order: whether they are taken for somebody else."""
    pairs = [a.label != b.label for a, b in zip(before, after, strict=True)]
    return np.concatenate([np.empty(0, np.bool_), *pairs])


def distance_error(embeddings: Embeddings, expected: Embeddings, split: Split) -> float:
    """Return by how much any distance of a control to an enrolled row differs between two embeddings of the faces.

    The two are of different digests on purpose: a distance is taken within each of them, never from one to the other.
    """
    worst = 0.0
    for probe in split.controls:
        here, there = (
            np.sqrt(
                squared_distances(
                    np.broadcast_to(rows[probe], (len(split.enrolled), rows.shape[1])), rows[split.enrolled]
                )
            )
            for rows in (embeddings.vectors, expected.vectors)
        )
        worst = max(worst, float(np.abs(here - there).max()))
    return worst


def _verdicts(nearest: Rivals, mate: F64, identified: Bool, labels: I64) -> Verdicts:
    label = np.where(identified, labels, nearest.impostor_label)
    return Verdicts(label, identified, np.sqrt(nearest.impostor.distance) - np.sqrt(mate))
