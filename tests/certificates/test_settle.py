"""Verdicts from noisy rows, settled, are those of the exact rows, and most rows are never asked for again."""

from __future__ import annotations

import numpy as np
import pytest

from facecure.certificates.settle import doubtful, settled
from facecure.search.exact import rivals, squared_distances


@pytest.fixture(params=[0, 1, 2])
def scene(request):
    """Exact and noisy unit rows of 30 people, four gallery rows and two probes each, some people close together."""
    rng = np.random.default_rng(request.param)
    middles = rng.normal(size=(30, 16))
    middles[1::2] = middles[::2] + 0.25 * rng.normal(size=(15, 16))
    exact = np.repeat(middles, 6, axis=0) + 0.25 * rng.normal(size=(180, 16))
    exact = (exact / np.linalg.norm(exact, axis=1, keepdims=True)).astype(np.float32)
    noisy = exact + 0.01 * rng.normal(size=exact.shape)
    noisy = (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)
    labels = np.repeat(np.arange(30), 6)
    is_probe = np.arange(180) % 6 < 2
    return exact, noisy, labels, np.flatnonzero(is_probe), np.flatnonzero(~is_probe)


def test_settled_verdicts_are_the_exact_ones(scene):
    exact, noisy, labels, probes, rows = scene
    wanted = rivals(exact[probes], labels[probes], exact[rows], labels[rows])
    found = rivals(noisy[probes], labels[probes], noisy[rows], labels[rows])
    error = 0.0
    for probe in probes:
        pair = [np.sqrt(squared_distances(np.broadcast_to(v[probe], (len(rows), 16)), v[rows])) for v in (exact, noisy)]
        error = max(error, float(np.abs(pair[0] - pair[1]).max()))
    asked = []

    def again(indices):
        asked.append(indices)
        return exact[indices]

    made = settled(found, error, probes, labels[probes], rows, labels[rows], noisy, again)
    expected = wanted.mate.beats(wanted.impostor)
    assert (found.mate.beats(found.impostor) != expected).any()  # the noise does change some
    np.testing.assert_array_equal(made.identified, expected)
    assert made.error == error
    together = np.concatenate(asked)
    assert made.again == len(together) == len(set(together.tolist())) < len(exact)  # none twice, not all


def test_without_error_nothing_is_asked_for(scene):
    exact, _, labels, probes, rows = scene
    found = rivals(exact[probes], labels[probes], exact[rows], labels[rows])
    assert not doubtful(found, 0.0).any()
    made = settled(found, 0.0, probes, labels[probes], rows, labels[rows], exact, lambda _: pytest.fail("asked"))
    np.testing.assert_array_equal(made.identified, found.mate.beats(found.impostor))
    assert made.again == 0


def test_a_probe_without_mate_or_impostor_is_sure():
    rows = np.eye(3, dtype=np.float32)
    found = rivals(rows[:1], np.array([7]), rows[1:], np.array([1, 2]))
    assert not doubtful(found, 1.0).any()


def test_a_bound_that_is_seen_to_be_broken_is_widened(scene):
    exact, noisy, labels, probes, rows = scene
    wanted = rivals(exact[probes], labels[probes], exact[rows], labels[rows])
    found = rivals(noisy[probes], labels[probes], noisy[rows], labels[rows])
    margin = np.abs(np.sqrt(found.mate.distance) - np.sqrt(found.impostor.distance))
    tight = float(margin.min())  # leaves few probes in doubt, and promises far too much of all
    asked = []

    def again(indices):
        asked.append(indices)
        return exact[indices]

    made = settled(found, tight, probes, labels[probes], rows, labels[rows], noisy, again)
    assert made.error > tight
    np.testing.assert_array_equal(made.identified, wanted.mate.beats(wanted.impostor))
    together = np.concatenate(asked)
    assert made.again == len(together) == len(set(together.tolist()))
    assert len(asked) > 1


def test_nobody_is_settled_without_probes():
    none = np.empty(0, np.int64)
    rows = np.eye(3, dtype=np.float32)
    found = rivals(rows[:0], none, rows, np.arange(3))
    made = settled(found, 0.1, none, none, np.arange(3), np.arange(3), rows, lambda _: pytest.fail("asked"))
    assert len(made.identified) == made.again == 0
