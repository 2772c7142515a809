"""Independent references for `facecure.protocols.population`, for tests and benchmarks only (specification §7.3-7.6).

`literal` and `lexicographic` rebuild the gallery for one protected identity and return bool arrays: `probes` identified
under attack, `clean` without, `enrolled` cloaked rows and `controls` right. `one_pass` counts all identities at once.
"""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from facecure.protocols.split import Protected, Split
from facecure.types import F32


def literal(vectors: F32, split: Split, person: Protected) -> dict[str, np.ndarray]:
    """Return the outcomes by scikit-learn, whose choice among exactly tied rows is undefined."""

    def predict(rows: np.ndarray, labels: np.ndarray, probes: np.ndarray) -> np.ndarray:
        if not len(probes):
            return np.empty(0, np.int64)
        return KNeighborsClassifier(n_neighbors=1).fit(vectors[rows], labels).predict(vectors[probes])

    return _outcomes(split, person, predict)


def lexicographic(vectors: F32, split: Split, person: Protected) -> dict[str, np.ndarray]:
    """Return the outcomes by float64 distance, the earlier row winning a tie."""

    def predict(rows: np.ndarray, labels: np.ndarray, probes: np.ndarray) -> np.ndarray:
        gallery = vectors[rows].astype(np.float64)
        nearest = [np.argmin(((gallery - vectors[probe]) ** 2).sum(axis=1)) for probe in probes]
        return labels[np.array(nearest, np.int64)]

    return _outcomes(split, person, predict)


def one_pass(vectors: F32, split: Split, cloak: str) -> list[tuple[int, int, int, int]]:
    """Return (identified, clean identified, enrolled identified, control errors) per identity, in float64.

    From full distance matrices of blocks of probes. Distances nearer to each other than 1e-9 are decided by
    `lexicographic`, identity by identity. Serves corrected splits, where probes of both roles are the same pictures.
    """
    people = split.protected[cloak]
    wide = vectors.astype(np.float64)
    squares = (wide**2).sum(axis=1)
    gallery = np.concatenate([split.enrolled, split.distractors])
    labels = np.concatenate([split.enrolled_labels, np.full(len(split.distractors), -1)])
    found = np.zeros((len(people), 4), np.int64)
    doubtful: set[int] = set()

    def distances(probes: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return squares[probes, None] + squares[rows] - 2 * wide[probes] @ wide[rows].T

    def less(a: np.ndarray, b: np.ndarray, at: np.ndarray) -> np.ndarray:
        doubtful.update(np.broadcast_to(at, np.broadcast_shapes(a.shape, b.shape))[abs(a - b) < 1e-9].tolist())
        return a < b

    number = {person.label: i for i, person in enumerate(people)}
    cloaked = np.concatenate([person.cloaked for person in people])
    cloak_starts = np.cumsum([0, *(len(person.cloaked) for person in people)])[:-1]
    for i in range(0, len(split.controls), 256):
        block, own = split.controls[i : i + 256], split.control_labels[i : i + 256]
        to_gallery = distances(block, gallery)
        mates = labels == own[:, None]
        mate = np.where(mates, to_gallery, np.inf).min(axis=1)
        foreign = np.where(mates, np.inf, to_gallery)
        winner = labels[foreign.argmin(axis=1)]
        first = foreign.min(axis=1)
        second = np.where(labels == winner[:, None], np.inf, foreign).min(axis=1)
        to_cloaks = np.minimum.reduceat(distances(block, cloaked), cloak_starts, axis=1)
        for column, person in enumerate(people):
            others = own != person.label
            impostor = np.minimum(np.where(winner == person.label, second, first), to_cloaks[:, column])
            at = np.full(others.sum(), column)
            found[column, 3] += (~less(mate[others], impostor[others], at)).sum()
        mine = np.array([number[label] for label in own])
        found[:, 0] += np.bincount(mine, less(to_cloaks[np.arange(len(own)), mine], first, mine), len(people)).astype(
            int
        )
        found[:, 1] += np.bincount(mine, less(mate, first, mine), len(people)).astype(int)
    for column, person in enumerate(people):
        to_others = distances(person.cloaked, gallery)[:, labels != person.label]
        found[column, 2] = less(np.zeros(len(to_others)), to_others.min(axis=1), np.full(len(to_others), column)).sum()
    for column in doubtful:
        exact = lexicographic(vectors, split, people[column])
        found[column] = [
            exact["probes"].sum(),
            exact["clean"].sum(),
            exact["enrolled"].sum(),
            (~exact["controls"]).sum(),
        ]
    return [tuple(row) for row in found.tolist()]


def _outcomes(split: Split, person: Protected, predict) -> dict[str, np.ndarray]:
    others = split.enrolled_labels != person.label
    control = split.control_labels != person.label
    nobody = -2 - np.arange(len(split.distractors))  # distractors are nobody's mates
    labels = np.concatenate([split.enrolled_labels[others], nobody, np.full(len(person.cloaked), person.label)])

    def rows(own: np.ndarray) -> np.ndarray:
        return np.concatenate([split.enrolled[others], split.distractors, own])

    # one classifier serves three questions, so it is asked once
    asked = np.concatenate([person.probes, person.cloaked, split.controls[control]])
    answers = predict(rows(person.cloaked), labels, asked)
    probes, enrolled, controls = np.split(answers, np.cumsum([len(person.probes), len(person.cloaked)]))
    return {
        "probes": probes == person.label,
        "clean": predict(rows(person.clean), labels, person.probes) == person.label,
        "enrolled": enrolled == person.label,
        "controls": controls == split.control_labels[control],
    }
