"""Batches are drawn as §8 says: classes uniformly, pictures uniformly within, mirrored with the probability asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from facecure.errors import InputError
from facecure.extractors.spec import ExtractorSpec
from facecure.training.batches import MIRROR, NetworkInput, UniformClasses
from facecure.types import FaceGeometry

LABELS = np.array([7, 3, 7, 7, 9, 3, 7, 7, 7, 7])  # six times as many of 7 as of 9


def drawn(seed=0, steps=400, **options):
    batches = UniformClasses(LABELS, seed, **options)
    rows, mirrored = zip(*map(batches, range(steps)), strict=True)
    return np.concatenate(rows), np.concatenate(mirrored)


def test_classes_and_their_pictures_are_equally_likely():
    rows, mirrored = drawn()
    assert len(rows) == 400 * 32
    people = Counter(LABELS[rows].tolist())
    assert set(people) == {3, 7, 9}
    for count in people.values():  # six standard deviations of a binomial with p = 1/3
        assert abs(count - len(rows) / 3) < 6 * np.sqrt(len(rows) * 2 / 9)
    sevens = Counter(rows[LABELS[rows] == 7].tolist())
    assert len(sevens) == 7
    for count in sevens.values():
        assert abs(count - people[7] / 7) < 6 * np.sqrt(people[7] * 6 / 49)
    assert MIRROR == 0.25
    assert abs(mirrored.mean() - 0.25) < 6 * np.sqrt(0.25 * 0.75 / len(rows))


def test_a_step_depends_on_seed_and_step_alone():
    late = UniformClasses(LABELS, 5)(17)
    whole = UniformClasses(LABELS, 5)
    for step in range(18):
        found = whole(step)
    np.testing.assert_array_equal(found[0], late[0])
    np.testing.assert_array_equal(found[1], late[1])
    assert not np.array_equal(drawn(1)[0], drawn(2)[0])


@pytest.mark.parametrize("mirror", [0.0, 1.0])
@pytest.mark.parametrize("batch", [1, 5])
def test_options(batch, mirror):
    rows, mirrored = drawn(steps=3, batch=batch, mirror=mirror)
    assert len(rows) == 3 * batch
    assert (mirrored == bool(mirror)).all()


def test_nothing_to_train_on_is_an_input_error():
    with pytest.raises(InputError, match="no picture"):
        UniformClasses(np.empty(0, np.int64), 0)


SPEC = ExtractorSpec(
    "x", Path("x.pt"), None, FaceGeometry(5, 4), "BGR", "NCHW", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), 3, normalise=True
)


def test_network_input_is_the_normalised_face_flipped_where_asked():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), np.uint8)
    before = pixels.copy()
    rows = np.array([4, 0, 4])
    found = NetworkInput(SPEC, pixels)(rows, np.array([False, True, True])).numpy()
    expected = ((pixels[rows][..., ::-1] - np.array(SPEC.mean)) / SPEC.std).transpose(0, 3, 1, 2)
    expected[1:] = expected[1:, :, :, ::-1]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_array_equal(pixels, before)
    with pytest.raises(InputError, match="NCHW"):
        NetworkInput(replace(SPEC, layout="NHWC"), pixels)
