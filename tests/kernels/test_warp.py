"""The native warp has the numpy twin's bits, and both have the values of an exact computation."""

from __future__ import annotations

import math
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from facecure import _core
from facecure.errors import InputError
from facecure.kernels import Normalise, warp_faces, warp_faces_numpy

SIMD = ["scalar", "avx2", "avx512"]
AVAILABLE = SIMD[: SIMD.index(_core.build_info()["simd"]) + 1]
BORDERS = ["black", "replicate"]
IDENTITY = [[1, 0, 0], [0, 1, 0]]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def turned(degrees: float, scale: float = 1.0, x: float = 0.0, y: float = 0.0) -> list[list[float]]:
    a, b = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    return [[a, -b, x], [b, a, y]]


MATRICES = {
    "identity": IDENTITY,
    "half_pixel": [[1, 0, 0.5], [0, 1, -0.5]],
    "rotated": turned(33, 1.3, -4, 7),
    "upside_down": turned(180, 1, 31, 23),
    "reflection": [[-1, 0, 31], [0, 1, 0]],
    "sheared": [[0.7, 0.4, 1], [-0.2, 1.6, 0.3]],
    "magnified": turned(5, 1e-3, 11, 9),
    "one_point": turned(0, 1e-300, 11.25, 9.75),
    "minified": turned(-12, 37.5, -400, -300),
    "huge": turned(45, 1e300),
    "far_left": [[1, 0, -1e9], [0, 1, 0]],
    "far_right": [[1, 0, 1e18], [0, 1, 1e18]],
    "just_outside": [[1, 0, 31], [0, 1, 23]],
    "half_outside": [[1, 0, -16], [0, 1, 12]],
    "singular": [[1, 2, 0], [2, 4, 0]],
    "zero": [[0, 0, 0], [0, 0, 0]],
}
PICTURES = {
    "odd": noise(23, 31, 3),
    "one_pixel": noise(1, 1, 3),
    "one_row": noise(1, 29, 3),
    "one_column": noise(17, 1, 3),
    "two_by_two": noise(2, 2, 3),
    "white": np.full((23, 31, 3), 255, np.uint8),
    "slice": noise(50, 70, 3)[3:26:1, 5:67:2],
    "reversed_channels": noise(23, 31, 3)[..., ::-1],
    "upside_down": noise(23, 31, 3)[::-1],
    "transposed": noise(31, 23, 3).transpose(1, 0, 2),
    "planes_last": noise(3, 23, 31).transpose(1, 2, 0),
    "rgb_of_rgba": noise(23, 31, 4)[..., :3],
}


@pytest.mark.parametrize(
    "simd", [pytest.param(s, marks=pytest.mark.skipif(s not in AVAILABLE, reason="not on this CPU")) for s in SIMD]
)
@pytest.mark.parametrize("border", BORDERS)
class TestNativeHasTheTwinsBits:
    @pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
    def test_for_any_matrix(self, matrix, border, simd):
        picture = PICTURES["odd"]
        expected = warp_faces_numpy(picture, matrix, (33, 21), border=border)
        np.testing.assert_array_equal(warp_faces(picture, matrix, (33, 21), border=border, simd=simd), expected)

    @pytest.mark.parametrize("degrees", [0, 3, 90, 177])
    @pytest.mark.parametrize("shift", [(-9, 4), (70, 4), (4, -9), (4, 60), (-90, 0), (0, 130)], ids=str)
    def test_for_rows_that_are_partly_outside(self, shift, degrees, border, simd):
        picture = noise(83, 91, 3)
        matrix = turned(degrees, 1, *shift)
        expected = warp_faces_numpy(picture, matrix, (75, 66), border=border)
        np.testing.assert_array_equal(warp_faces(picture, matrix, (75, 66), border=border, simd=simd), expected)

    @pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
    def test_for_any_picture(self, picture, border, simd):
        matrices = [turned(20, 0.8, 2, -3), IDENTITY, turned(-70, 1.9, 10, 3)]
        before = picture.copy()
        expected = warp_faces_numpy(picture.copy(), matrices, (13, 9), border=border)
        np.testing.assert_array_equal(warp_faces(picture, matrices, (13, 9), border=border, simd=simd), expected)
        np.testing.assert_array_equal(picture, before)

    @pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (15, 16), (17, 33), (112, 112)], ids=str)
    def test_for_any_face_size(self, size, border, simd):
        matrices = np.array([turned(12, 0.3, 1, 2), turned(-50, 0.5, 3, 9)])
        expected = warp_faces_numpy(PICTURES["odd"], matrices, size, border=border)
        faces = warp_faces(PICTURES["odd"], matrices, size, border=border, simd=simd)
        assert faces.shape == (2, size[1], size[0], 3)
        np.testing.assert_array_equal(faces, expected)

    @pytest.mark.parametrize("count", [0, 1, 7])
    @pytest.mark.parametrize("threads", [1, 2, 5])
    @pytest.mark.parametrize("colour", [None, "RGB", "BGR"])
    def test_for_any_number_of_faces_and_threads(self, count, threads, colour, border, simd):
        pictures = [noise(5 + i, 40 - 3 * i, 3, seed=i) for i in range(count)]
        matrices = np.array([turned(10 * i, 0.7, i, 2) for i in range(count)]).reshape(count, 2, 3)
        options = {"border": border, "normalise": colour and Normalise([1, 2, 3], [4, 5, 6], colour)}
        faces = warp_faces(pictures, matrices, (11, 5), threads=threads, simd=simd, **options)
        expected = warp_faces_numpy(pictures, matrices, (11, 5), **options)
        assert faces.dtype == expected.dtype
        assert faces.shape == ((count, 3, 5, 11) if colour else (count, 5, 11, 3))
        np.testing.assert_array_equal(faces, expected)


BOTH = pytest.mark.parametrize("warp", [warp_faces, warp_faces_numpy])


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_native_has_the_twins_bits_for_generated_input(data):
    number = st.floats(-60, 60) | st.sampled_from([0.0, 0.5, 1.0, -1.0, 1e-12, 1e12])
    rows, columns = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    picture = data.draw(arrays.arrays(np.uint8, (rows, columns, 3)))
    matrices = data.draw(arrays.arrays(np.float64, (2, 2, 3), elements=number))
    size = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    border = data.draw(st.sampled_from(BORDERS))
    np.testing.assert_array_equal(
        warp_faces(picture, matrices, size, border=border, simd=data.draw(st.sampled_from(AVAILABLE))),
        warp_faces_numpy(picture, matrices, size, border=border),
    )


@BOTH
@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
@pytest.mark.parametrize("border", BORDERS)
def test_identity_returns_the_picture(picture, border, warp):
    size = picture.shape[1], picture.shape[0]
    np.testing.assert_array_equal(warp(picture, IDENTITY, size, border=border)[0], picture)


DYADIC = {  # binary fractions, for which float64 is exact too, ties included
    "identity": IDENTITY,
    "doubled": [[0.5, 0, 0], [0, 0.5, 0]],
    "between_four": [[1, 0, 0.5], [0, 1, 0.5]],
    "over_the_left_edge": [[1, 0, -0.5], [0, 1, 0]],
    "rotated": [[0.375, -0.625, 2.25], [0.625, 0.375, -1.5]],
    "skewed": [[-0.75, 0.125, 4.5], [0.25, 1.75, -3.125]],
    "halved": [[2, 0, -1], [0, 2, -1]],
    "transposed": [[0, 1, 0], [1, 0, 0]],
    "outside": [[1, 0, -9], [0, 1, 0]],
}


def exact(picture: np.ndarray, matrix: list[list[float]], size: tuple[int, int], border: str) -> np.ndarray:
    """Bilinear interpolation in rational numbers, rounded half up, pixel by pixel."""
    rows, columns, _ = picture.shape
    (a, b, c), (d, e, f) = [[Fraction(v) for v in row] for row in matrix]
    half = Fraction(1, 2)

    def at(i: int, j: int, channel: int) -> int:
        if border == "black" and not (0 <= i < rows and 0 <= j < columns):
            return 0
        return int(picture[min(max(i, 0), rows - 1), min(max(j, 0), columns - 1), channel])

    face = np.zeros((size[1], size[0], 3), int)
    for (y, x, channel), _ in np.ndenumerate(face):
        u = a * (x + half) + b * (y + half) + c - half
        v = d * (x + half) + e * (y + half) + f - half
        j, i = math.floor(u), math.floor(v)
        weights = [(i, j, (1 - v + i) * (1 - u + j)), (i, j + 1, (1 - v + i) * (u - j)),
                   (i + 1, j, (v - i) * (1 - u + j)), (i + 1, j + 1, (v - i) * (u - j))]  # fmt: skip
        value = sum(weight * at(ti, tj, channel) for ti, tj, weight in weights)
        face[y, x, channel] = math.floor(value + half)
    return face


@BOTH
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("matrix", DYADIC.values(), ids=DYADIC)
@pytest.mark.parametrize("shape", [(4, 5), (1, 1), (1, 6), (5, 1)], ids=str)
def test_values_are_the_exact_interpolation_rounded_half_up(shape, matrix, border, warp):
    picture = noise(*shape, 3, seed=5)
    face = warp(picture, matrix, (7, 6), border=border)[0]
    np.testing.assert_array_equal(face, exact(picture, matrix, (7, 6), border))


@BOTH
def test_a_tie_rounds_up(warp):
    picture = np.array([[[0, 1, 254], [1, 2, 255]]], np.uint8)
    assert warp(picture, [[1, 0, 0.5], [0, 1, 0]], (1, 1))[0].tolist() == [[[1, 2, 255]]]


@BOTH
def test_black_blends_across_the_last_half_pixel_and_replicate_does_not(warp):
    picture = np.full((1, 1, 3), 200, np.uint8)
    quarter_out = [[1, 0, -0.25], [0, 1, 0]]
    assert warp(picture, quarter_out, (3, 1))[0, 0, :, 0].tolist() == [150, 50, 0]
    assert warp(picture, quarter_out, (3, 1), border="replicate")[0, 0, :, 0].tolist() == [200] * 3


@BOTH
@pytest.mark.parametrize(("border", "flag"), [("black", cv2.BORDER_CONSTANT), ("replicate", cv2.BORDER_REPLICATE)])
@pytest.mark.parametrize("name", ["rotated", "reflection", "sheared", "half_outside", "upside_down"])
def test_agrees_with_opencv_on_a_smooth_picture(name, border, flag, warp):
    picture = cv2.GaussianBlur(noise(23, 31, 3), (0, 0), 4, borderType=cv2.BORDER_REPLICATE)
    matrix = np.array(MATRICES[name], float)
    index = matrix.copy()  # OpenCV puts a pixel's centre at its index
    index[:, 2] += matrix[:, :2].sum(axis=1) / 2 - 0.5
    expected = cv2.warpAffine(picture, index, (33, 21), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=flag)
    assert np.abs(warp(picture, matrix, (33, 21), border=border)[0].astype(int) - expected).max() <= 3


@BOTH
def test_one_picture_for_all_faces_equals_the_picture_repeated(warp):
    matrices = [turned(9 * i, 1, i) for i in range(4)]
    picture = PICTURES["reversed_channels"]
    once = warp(picture, matrices, (8, 8))
    np.testing.assert_array_equal(once, warp([picture] * 4, matrices, (8, 8)))
    np.testing.assert_array_equal(once, warp(np.stack([picture] * 4), matrices, (8, 8)))
    np.testing.assert_array_equal(once[2:3], warp(picture, matrices[2], (8, 8)))


@BOTH
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_matrices_of_another_number_type_are_taken_by_value(dtype, warp):
    matrix = np.array([[1, 0, 2], [0, 1, -1]])
    expected = warp(PICTURES["odd"], matrix.astype(float), (9, 9))
    np.testing.assert_array_equal(warp(PICTURES["odd"], matrix.astype(dtype), (9, 9)), expected)


@BOTH
@pytest.mark.parametrize("colour", ["RGB", "BGR"])
@pytest.mark.parametrize(
    ("mean", "std"), [([127.5] * 3, [128.0] * 3), ([123.675, 116.28, 103.53], [58.395, 57.12, -57.375])]
)
def test_fused_planes_are_the_normalised_uint8_faces(mean, std, colour, warp):
    matrices = [turned(15, 0.9, 3, 1), turned(200, 1, 30, 20)]
    faces = warp(PICTURES["odd"], matrices, (11, 13))
    fused = warp(PICTURES["odd"], matrices, (11, 13), normalise=Normalise(mean, std, colour))
    planes = faces.astype(np.float64).transpose(0, 3, 1, 2)
    if colour == "BGR":
        planes = planes[:, ::-1]
    expected = (planes - np.reshape(mean, (1, 3, 1, 1))) / np.reshape(std, (1, 3, 1, 1))
    assert fused.dtype == np.float32
    np.testing.assert_array_equal(fused, expected.astype(np.float32))
    np.testing.assert_array_equal(Normalise(mean, std, colour)(faces), fused)


GREY = noise(4, 4, 3)
WRONG = {
    "float_picture": (GREY.astype(np.float32), IDENTITY, (2, 2), "black", "uint8"),
    "wide_picture": (GREY.astype(np.uint16), IDENTITY, (2, 2), "black", "uint8"),
    "grey_picture": ([GREY[..., 0]], IDENTITY, (2, 2), "black", r"\(H, W, 3\)"),
    "rgba_picture": (noise(4, 4, 4), IDENTITY, (2, 2), "black", r"\(H, W, 3\)"),
    "empty_picture": (GREY[:0], IDENTITY, (2, 2), "black", r"H, W > 0"),
    "second_picture_wrong": ([GREY, GREY[:, :0]], [IDENTITY] * 2, (2, 2), "black", r"H, W > 0"),
    "square_matrix": (GREY, np.eye(3), (2, 2), "black", r"\(N, 2, 3\)"),
    "flat_matrix": (GREY, np.zeros(6), (2, 2), "black", r"\(N, 2, 3\)"),
    "nan_matrix": (GREY, [[1, 0, np.nan], [0, 1, 0]], (2, 2), "black", "finite"),
    "infinite_matrix": (GREY, [[1, 0, 0], [0, np.inf, 0]], (2, 2), "black", "finite"),
    "too_few_pictures": ([GREY], [IDENTITY] * 2, (2, 2), "black", "1 pictures but 2 matrices"),
    "too_many_pictures": ([GREY] * 3, [IDENTITY], (2, 2), "black", "3 pictures but 1 matrices"),
    "no_matrices": ([GREY], np.zeros((0, 2, 3)), (2, 2), "black", "1 pictures but 0 matrices"),
    "zero_width": (GREY, IDENTITY, (0, 2), "black", "positive"),
    "negative_height": (GREY, IDENTITY, (2, -1), "black", "positive"),
    "unknown_border": (GREY, IDENTITY, (2, 2), "reflect", "black or replicate"),
}


@BOTH
@pytest.mark.parametrize(("pictures", "matrices", "size", "border", "message"), WRONG.values(), ids=WRONG)
def test_unusable_input_is_an_input_error(pictures, matrices, size, border, message, warp):
    with pytest.raises(InputError, match=message):
        warp(pictures, matrices, size, border=border)


def test_unknown_instruction_set_is_an_error():
    with pytest.raises(ValueError, match="scalar, avx2, avx512"):
        warp_faces(GREY, IDENTITY, (2, 2), simd="sse9")


@pytest.mark.parametrize(
    ("mean", "std", "colour"),
    [
        ([1, 2], [1, 1, 1], "RGB"),
        ([1, 2, 3], [1, 1, 1, 1], "RGB"),
        ([1, 2, 3], [1, 0, 1], "RGB"),
        ([1, np.nan, 3], [1, 1, 1], "RGB"),
        ([1, 2, 3], [1, np.inf, 1], "RGB"),
        ([1, 2, 3], [1, 1, 1], "GBR"),
    ],
)
def test_unusable_normalisation_is_an_input_error(mean, std, colour):
    with pytest.raises(InputError):
        Normalise(mean, std, colour)
