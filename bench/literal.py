"""The released procedure: one protected identity at a time, gallery rebuilt, classifier refitted.

Independent references for `facecure.protocols.population`, for tests and benchmarks only (specification §7.3-7.6). Both
return bool arrays: `probes` identified under attack, `clean` without, `enrolled` cloaked rows and `controls` right.
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
