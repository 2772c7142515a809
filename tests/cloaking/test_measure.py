"""What is measured on a written picture, by its definitions."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from facecure.cloaking.measure import MEASURES, measured, png, quantised  # noqa: E402
from facecure.cloaks.surrogate import Surrogate  # noqa: E402
from facecure.errors import InputError  # noqa: E402

CLEAN = np.random.default_rng(0).integers(40, 200, (30, 26, 3), np.uint8)


def surrogate() -> Surrogate:
    return Surrogate(torch.nn.Flatten(), size=(26, 30), mean=[0] * 3, std=[1] * 3, name="pixels")


def test_pictures_are_cut_off_or_rounded():
    values = np.array([-3.0, 0.4, 0.5, 1.5, 2.51, 254.6, 300.0], np.float32)
    pictures = np.broadcast_to(values[:, None, None, None], (7, 3, 2, 1))
    assert quantised(pictures, truncate=True)[:, 0, 0, 0].tolist() == [0, 0, 0, 1, 2, 254, 255]
    assert quantised(pictures, truncate=False)[:, 0, 0, 0].tolist() == [0, 0, 0, 2, 3, 255, 255]
    assert quantised(pictures, truncate=True).shape == (7, 2, 1, 3)


def test_png_keeps_every_value():
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(png(CLEAN)))), CLEAN)


def test_nothing_changed_measures_nothing():
    found = measured(CLEAN, CLEAN, [surrogate()], [None])
    assert found.keys() == {*MEASURES, "shift_pixels"}
    assert all(float(value) == pytest.approx(0, abs=1e-6) for value in found.values())


def test_changes_in_the_frame_count_as_frame():
    cloaked = CLEAN.copy()
    cloaked[0, :4] += 10  # 12 values in the frame
    cloaked[15, 10:12] -= 20  # 6 values within
    found = measured(CLEAN, cloaked, [surrogate()], [None])
    assert float(found["max_delta"]) == 20
    assert float(found["mean_delta"]) == pytest.approx(240 / CLEAN.size, rel=1e-4)
    assert float(found["frame_share"]) == pytest.approx(0.5)
    a, b = (v.astype(float).transpose(2, 0, 1).ravel() for v in (CLEAN, cloaked))
    shift = np.linalg.norm(a / np.linalg.norm(a) - b / np.linalg.norm(b))
    assert float(found["shift_pixels"]) == pytest.approx(shift, rel=1e-3)


def test_another_size_is_an_error():
    with pytest.raises(InputError, match="written as"):
        measured(CLEAN, CLEAN[:-1], [], [])
