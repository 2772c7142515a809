"""Independent references for `facecure.recognisers.nearest`, for tests and benchmarks (docs/protocol.md §7.3-7.6).

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
        found = (-2 * wide[probes]) @ wide[rows].T
        found += squares[probes, None]
        found += squares[rows]
        return found

    def less(a: np.ndarray, b: np.ndarray, at: np.ndarray) -> np.ndarray:
        doubtful.update(np.broadcast_to(at, np.broadcast_shapes(a.shape, b.shape))[abs(a - b) < 1e-9].tolist())
        return a < b

    number = {person.label: i for i, person in enumerate(people)}
    cloaked = np.concatenate([person.cloaked for person in people])
    cloak_starts = np.cumsum([0, *(len(person.cloaked) for person in people)])[:-1]
    starts = np.flatnonzero(np.diff(labels, prepend=-2))  # rows of one label lie together
    owners = labels[starts]
    for i in range(0, len(split.controls), 512):
        block, own = split.controls[i : i + 512], split.control_labels[i : i + 512]
        nearest = np.minimum.reduceat(distances(block, gallery), starts, axis=1)  # per label
        mates = owners == own[:, None]
        mate = np.where(mates, nearest, np.inf).min(axis=1)
        foreign = np.where(mates, np.inf, nearest)
        winner = owners[foreign.argmin(axis=1)]
        first = foreign.min(axis=1)
        second = np.where(owners == winner[:, None], np.inf, foreign).min(axis=1)
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
    column_of = np.repeat(np.arange(len(people)), [len(person.cloaked) for person in people])
    for i in range(0, len(cloaked), 512):
        column = column_of[i : i + 512]
        nearest = np.minimum.reduceat(distances(cloaked[i : i + 512], gallery), starts, axis=1)
        own = np.array([person.label for person in people])[column]
        foreign = np.where(owners == own[:, None], np.inf, nearest).min(axis=1)
        found[:, 2] += np.bincount(column, less(np.zeros(len(column)), foreign, column), len(people)).astype(int)
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
