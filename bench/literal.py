"""The released procedure with scikit-learn: one protected identity at a time, gallery rebuilt, classifier refitted.

The independent reference for `facecure.protocols.population`, for tests and benchmarks only (specification §7.3-7.6).
"""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from facecure.protocols.split import Protected, Split
from facecure.types import F32


def literal(vectors: F32, split: Split, person: Protected) -> dict[str, np.ndarray]:
    """Return bool arrays: `probes` and `clean` identified under attack and without, `enrolled`, `controls` right."""
    others = split.enrolled_labels != person.label
    control = split.control_labels != person.label
    gallery = [vectors[split.enrolled[others]], vectors[split.distractors]]
    labels = [split.enrolled_labels[others], -2 - np.arange(len(split.distractors))]  # everybody else is nobody's mate
    own = np.full(len(person.cloaked), person.label)

    def fit(rows: np.ndarray) -> KNeighborsClassifier:
        model = KNeighborsClassifier(n_neighbors=1)
        return model.fit(np.concatenate([*gallery, vectors[rows]]), np.concatenate([*labels, own]))

    attacked = fit(person.cloaked)

    def right(model: KNeighborsClassifier, rows: np.ndarray, truth: np.ndarray | int) -> np.ndarray:
        return model.predict(vectors[rows]) == truth if len(rows) else np.empty(0, bool)

    return {
        "probes": right(attacked, person.probes, person.label),
        "clean": right(fit(person.clean), person.probes, person.label),
        "enrolled": right(attacked, person.cloaked, person.label),
        "controls": right(attacked, split.controls[control], split.control_labels[control]),
    }
