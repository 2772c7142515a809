"""Every kind of output of `warp_faces` has the twin's bits, which are those of the uint8 faces mapped by hand."""

from __future__ import annotations

import numpy as np
import pytest

from facecure import _core
from facecure.errors import InputError
from facecure.kernels import Normalise, warp_faces, warp_faces_numpy

SIMD = ["scalar", "avx2", "avx512"]
AVAILABLE = SIMD[: SIMD.index(_core.build_info()["simd"]) + 1]
NORMALISE = Normalise([123.7, 116.3, 103.5], [58.4, -57.1, 57.4], "BGR")
KINDS = {
    f"{name}_{layout}": options | ({"layout": layout} if layout != "default" else {})
    for name, options in {
        "uint8": {},
        "float32": {"normalise": NORMALISE},
        "bfloat16": {"normalise": NORMALISE, "dtype": "bfloat16"},
    }.items()
    for layout in ("default", "NHWC", "NCHW")
}
BOTH = pytest.mark.parametrize("warp", [warp_faces, warp_faces_numpy])
PICTURE = np.random.default_rng(0).integers(0, 256, (61, 83, 3), np.uint8)
TURN = [[0.9, -0.3, 12.0], [0.3, 0.9, 2.0]]
MATRICES = [
    TURN,
    [[1, 0, 0], [0, 1, 0]],
    [[1e-300, 0, 11.25], [0, 1e-300, 9.75]],
    [[1, 0, 0.5], [0, 1, 0.5]],  # ties everywhere
    [[9e299, 0, 0], [0, 9e299, 0]],
    [[1, 0, -1e9], [0, 1, 0]],
    [[-1, 0, 83], [0, -1, 61]],
]


@pytest.mark.parametrize("simd", AVAILABLE)
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
class TestNativeHasTheTwinsBits:
    @pytest.mark.parametrize("size", [(1, 1), (7, 1), (1, 9), (8, 3), (33, 21), (64, 5)], ids=str)
    @pytest.mark.parametrize("border", ["black", "replicate"])
    def test_for_any_size_and_matrix(self, size, border, options, simd):
        expected = warp_faces_numpy(PICTURE, MATRICES, size, border=border, **options)
        faces = warp_faces(PICTURE, MATRICES, size, border=border, simd=simd, **options)
        assert faces.dtype == expected.dtype
        np.testing.assert_array_equal(faces, expected)

    @pytest.mark.parametrize("count", [0, 1, 7])
    @pytest.mark.parametrize("threads", [1, 2, 5])
    def test_for_any_number_of_faces_and_threads(self, count, threads, options, simd):
        pictures = [PICTURE[i:, ::-1][:, : 70 - i] for i in range(count)]
        matrices = np.array(MATRICES)[:count]
        faces = warp_faces(pictures, matrices, (13, 11), threads=threads, simd=simd, **options)
        np.testing.assert_array_equal(faces, warp_faces_numpy(pictures, matrices, (13, 11), **options))


@BOTH
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_a_kind_is_the_uint8_face_mapped(options, warp):
    faces = warp(PICTURE, TURN, (9, 7))
    if options.get("normalise"):
        levels = faces[..., ::-1].astype(np.float64)
        values = ((levels - [123.7, 116.3, 103.5]) / [58.4, -57.1, 57.4]).astype(np.float32)
    else:
        values = faces
    planar = options.get("layout", "NCHW" if "normalise" in options else "NHWC") == "NCHW"
    expected = values.transpose(0, 3, 1, 2) if planar else values
    found = warp(PICTURE, TURN, (9, 7), **options)
    assert found.shape == expected.shape
    if "dtype" in options:  # bfloat16 keeps 8 bits: half of the last one is 2⁻⁸ of the value at most
        assert found.dtype == np.uint16
        wide = (found.astype(np.uint32) << 16).view(np.float32)
        assert (np.abs(wide - expected) <= np.abs(expected) * 2.0**-8).all()
        torch = pytest.importorskip("torch")
        rounded = torch.from_numpy(expected.copy()).to(torch.bfloat16).view(torch.uint16).numpy()
        np.testing.assert_array_equal(found, rounded)
    else:
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("simd", AVAILABLE)
def test_many_random_faces_have_the_twins_bits(simd):
    """So many that the float32 interpolation of the vector kernels comes near a rounding boundary often."""
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (300, 300, 3), np.uint8)
    angle, scale = rng.uniform(-3, 3, 40), rng.uniform(0.05, 1, 40)
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    x, y = 150 - 56 * (a - b), 150 - 56 * (a + b)
    matrices = np.stack([np.stack([a, -b, x], axis=1), np.stack([b, a, y], axis=1)], axis=1)
    faces = warp_faces(picture, matrices, (112, 112), simd=simd)
    np.testing.assert_array_equal(faces, warp_faces_numpy(picture, matrices, (112, 112)))


@BOTH
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "CHW"}, "NHWC or NCHW"),
        ({"dtype": "bfloat16"}, "only with normalise"),
        ({"dtype": "float16", "normalise": NORMALISE}, "dtype is bfloat16"),
    ],
)
def test_unknown_kinds_are_an_input_error(options, message, warp):
    with pytest.raises(InputError, match=message):
        warp(PICTURE, TURN, (3, 3), **options)
