"""Pictures are quantised and encoded as stated."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from facecure.cloaks.apply.batch import quantised
from facecure.cloaks.apply.output import encoded

PIXELS = np.random.default_rng(0).integers(40, 200, (30, 26, 3), np.uint8)


def test_pictures_are_cut_off_or_rounded():
    values = np.array([-3.0, 0.4, 0.5, 1.5, 2.51, 254.6, 300.0], np.float32)
    pictures = np.broadcast_to(values[:, None, None, None], (7, 3, 2, 1))
    assert quantised(pictures, truncate=True)[:, 0, 0, 0].tolist() == [0, 0, 0, 1, 2, 254, 255]
    assert quantised(pictures, truncate=False)[:, 0, 0, 0].tolist() == [0, 0, 0, 2, 3, 255, 255]
    assert quantised(pictures, truncate=True).shape == (7, 2, 1, 3)


def test_png_keeps_every_value():
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(encoded(PIXELS, "png")))), PIXELS)


@pytest.mark.parametrize("image_format", ["jpeg", "webp"])
def test_lossy_formats_stay_near(image_format):
    smooth = np.array(Image.fromarray(PIXELS[:4, :4]).resize((64, 64)))
    found = np.array(Image.open(io.BytesIO(encoded(smooth, image_format))).convert("RGB")).astype(int)
    assert np.abs(found - smooth).mean() < 3
