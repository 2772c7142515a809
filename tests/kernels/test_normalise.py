"""Normalised faces are the float64 quotient rounded once, in either layout, whatever the threads."""

from __future__ import annotations

import numpy as np
import pytest

from facecure.errors import InputError
from facecure.kernels import Normalise, normalise_faces, normalise_faces_numpy

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, -57.375]
BOTH = pytest.mark.parametrize("write", [normalise_faces, normalise_faces_numpy])


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)


@BOTH
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("colour", ["RGB", "BGR"])
@pytest.mark.parametrize("shape", [(0, 3, 5, 3), (1, 1, 1, 3), (3, 5, 7, 3), (9, 112, 96, 3)])
def test_every_value(write, shape, colour, layout):
    faces = noise(*shape)
    planes = faces[..., :: 1 if colour == "RGB" else -1].astype(np.float64)
    expected = ((planes - MEAN) / STD).astype(np.float32)
    if layout == "NCHW":
        expected = expected.transpose(0, 3, 1, 2)
    out = np.full(expected.shape, np.nan, np.float32)
    write(faces, Normalise(MEAN, STD, colour), out, layout=layout)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_and_strides_change_nothing(threads):
    faces, normalise = noise(4, 6, 10, 3), Normalise(MEAN, STD)
    out, expected = np.empty((2, 3, 6, 5), np.float32), np.empty((2, 3, 6, 5), np.float32)
    normalise_faces(faces[::2, :, ::-2], normalise, out, threads=threads)
    normalise_faces_numpy(faces[::2, :, ::-2].copy(), normalise, expected)
    np.testing.assert_array_equal(out, expected)


FACES, OUT = noise(2, 4, 4, 3), np.empty((2, 3, 4, 4), np.float32)
WRONG = {
    "float faces": (FACES.astype(np.float32), OUT, "NCHW", "uint8"),
    "grey faces": (FACES[..., 0], OUT, "NCHW", r"\(N, H, W, 3\)"),
    "another number": (FACES[:1], OUT, "NCHW", r"\(1, 3, 4, 4\)"),
    "another layout": (FACES, OUT, "NHWC", r"\(2, 4, 4, 3\)"),
    "no layout": (FACES, OUT, "CHWN", "layout is"),
    "double out": (FACES, OUT.astype(np.float64), "NCHW", "float64"),
    "strided out": (FACES, np.empty((2, 3, 4, 8), np.float32)[..., ::2], "NCHW", "contiguous"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_unusable_input_is_an_input_error(mistake):
    faces, out, layout, message = WRONG[mistake]
    with pytest.raises(InputError, match=message):
        normalise_faces(faces, Normalise(MEAN, STD), out, layout=layout)
