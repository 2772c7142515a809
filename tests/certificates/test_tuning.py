"""The fastest of several batches is taken, by a clock that only passes move."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from facecure.certificates import tuning
from facecure.certificates.tuning import faces_per_second, fastest_batch
from facecure.types import FaceGeometry, Faces

FACES = Faces(np.zeros((16, 4, 4, 3), np.uint8), FaceGeometry(4, 4))


@pytest.fixture
def opened(monkeypatch):
    """Return a maker of extractors whose passes take 20 ms, in batches of 8 half of that."""
    now = 0.0  # what a crowded machine's clock says proves nothing

    def made(batch):
        def embed(faces):
            nonlocal now
            now += (0.01 if batch == 8 else 0.02) * -(-len(faces.pixels) // batch)

        return SimpleNamespace(batch=batch, embed=embed)

    monkeypatch.setattr(tuning, "time", SimpleNamespace(perf_counter=lambda: now))
    return made


def test_the_fastest_batch_is_taken(opened):
    assert fastest_batch(map(opened, (4, 8, 16)), FACES).batch == 8
    assert fastest_batch(map(opened, (4, 16)), FACES).batch == 16
    assert fastest_batch([opened(5), opened(5)], FACES).batch == 5  # of a graph whose batch is fixed


def test_speeds_are_faces_per_second(opened):
    assert faces_per_second([opened(4), opened(8)], FACES) == pytest.approx([16 / 0.08, 16 / 0.02])
