"""What differs is counted as a plain search, probe by probe, counts it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facecure.certificates.compare import SHARES, Decided, compare, cosine_error
from facecure.protocols.split import make_split
from facecure.types import Embeddings, Sample


@pytest.fixture
def scene():
    """Eight people of six pictures, three of them cloaked, close enough for noise to change who is nearest."""
    rng = np.random.default_rng(0)
    samples, rows = [], []
    for person in range(8):
        middle = rng.normal(size=12)
        for role, cloak in [("clean", ""), *([("cloaked", "shift")] if person < 3 else [])]:
            for key in range(6):
                samples.append(Sample(f"{person}", Path(f"{person}/{role}/{key}.png"), f"{key}", role, cloak))
                rows.append(middle + rng.normal(size=12) * 1.2 + (role == "cloaked") * rng.normal(size=12))
    reference = np.array(rows, np.float32)
    other = reference + 0.3 * rng.normal(size=reference.shape).astype(np.float32)
    unit = lambda vectors: vectors / np.linalg.norm(vectors, axis=1, keepdims=True)  # noqa: E731
    splits = [make_split(samples, ["shift"], "corrected", 0, repeat) for repeat in range(3)]
    return unit(reference), unit(other), splits


def nearest(vectors, probe, rows, labels):
    """Return the label of the first nearest row."""
    distances = [np.linalg.norm(vectors[probe].astype(np.float64) - vectors[row]) for row in rows]
    return labels[int(np.argmin(distances))]


def answers(vectors, splits):
    """Return every answer with its truth: clean probes, then those of the protected, own cloaked rows last."""
    clean, cloaked = [], []
    for split in splits:
        for probe, label in zip(split.controls, split.control_labels, strict=True):
            others = [(r, x) for r, x in zip(split.enrolled, split.enrolled_labels, strict=True) if r != probe]
            clean.append((nearest(vectors, probe, *zip(*others, strict=True)), label))
        for person in split.protected["shift"]:
            beside = [
                (r, x)
                for r, x in zip(split.enrolled, split.enrolled_labels, strict=True)
                if x != person.label
            ]  # fmt: skip
            gallery = [*beside, *((row, person.label) for row in person.cloaked)]
            cloaked += [(nearest(vectors, p, *zip(*gallery, strict=True)), person.label) for p in person.probes]
    return np.array(clean), np.array(cloaked)


def test_counts_are_those_of_a_plain_search(scene):
    reference, other, splits = scene
    differences = compare(*(Decided(Embeddings(vectors, "d"), splits, ["shift"]) for vectors in (reference, other)))
    (clean, cloaked), (clean_here, cloaked_here) = (answers(vectors, splits) for vectors in (reference, other))
    changed = (clean[:, 0] != clean_here[:, 0]).sum() + (cloaked[:, 0] != cloaked_here[:, 0]).sum()
    assert 0 < differences.changed == changed == len(differences.margins)
    assert differences.decisions == len(clean) + len(cloaked)
    right = lambda answered: int((answered[:, 0] == answered[:, 1]).sum())  # noqa: E731
    identified, protected = differences.identified, differences.protected["shift"]
    assert (identified.probes, identified.reference, identified.here) == (len(clean), right(clean), right(clean_here))
    assert protected.probes == len(cloaked)
    assert (protected.reference, protected.here) == (len(cloaked) - right(cloaked), len(cloaked) - right(cloaked_here))
    assert differences.settled_changed == 0
    assert 0 < differences.embedded_again <= differences.faces == len(reference)


def test_quantiles_and_bound_are_of_the_embeddings(scene):
    reference, other, splits = scene
    differences = compare(*(Decided(Embeddings(vectors, "d"), splits, []) for vectors in (reference, other)))
    cosines = 1 - np.sum(reference.astype(np.float64) * other, axis=1)
    assert list(differences.error) == [str(share) for share in SHARES]
    np.testing.assert_allclose(list(differences.error.values()), np.quantile(cosines, SHARES), atol=1e-7)
    apart = lambda v: np.linalg.norm(v[:, None].astype(np.float64) - v[None], axis=2)  # noqa: E731
    assert 0 < differences.distance_bound <= 2 * np.abs(apart(reference) - apart(other)).max() + 1e-6
    assert differences.protected == {}


def test_equal_embeddings_differ_in_nothing(scene):
    reference, _, splits = scene
    differences = compare(*(Decided(Embeddings(reference, "d"), splits, ["shift"]) for _ in range(2)))
    assert (differences.changed, differences.margins, differences.largest_error) == (0, (), 0.0)
    assert differences.identified.shift == differences.protected["shift"].shift == 0


def test_the_error_of_nearly_equal_rows_has_digits():
    rows = np.eye(3, dtype=np.float32)
    moved = rows.copy()
    moved[:, 2] += np.float32(1e-5)
    np.testing.assert_allclose(cosine_error(3 * moved, rows), [5e-11, 5e-11, 0], rtol=1e-4, atol=1e-20)
