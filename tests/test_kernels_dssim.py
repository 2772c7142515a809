"""Native DSSIM has the twin's values and the same bits for every instruction set, thread count and neighbour."""

from __future__ import annotations

import numpy as np
import pytest

from facecure import _core
from facecure.kernels import DssimSource, dssim_planes, dssim_planes_numpy

SIMD = ["scalar", "avx2", "avx512"]
AVAILABLE = SIMD[: SIMD.index(_core.build_info()["simd"]) + 1]


def window() -> np.ndarray:
    weights = np.exp(-np.square(np.arange(11) - 5) / (2 * 1.5**2))
    return (weights / weights.sum()).astype(np.float32)


def made(planes: int, height: int, width: int, kind: str = "noise") -> tuple[DssimSource, np.ndarray]:
    rng = np.random.default_rng([planes, height, width])
    s = {
        "noise": rng.integers(0, 256, (planes, height, width)).astype(np.float64),
        "black": np.zeros((planes, height, width)),
        "white": np.full((planes, height, width), 255.0),
    }[kind]
    weights = np.outer(window(), window()).astype(np.float64)

    def mean(values):
        if not planes:
            return np.empty((0, height - 10, width - 10))
        windows = np.lib.stride_tricks.sliding_window_view(values, (11, 11), axis=(1, 2))
        return np.einsum("pyxij,ij->pyx", windows, weights)

    centred = s - 128
    variance = mean(centred**2) - mean(centred) ** 2
    maps = centred, mean(centred), mean(centred) + 128, 2 * variance + 58.5225
    source = DssimSource(*(m.astype(np.float32) for m in maps), window())
    return source, rng.normal(0, 6, s.shape).astype(np.float32)


@pytest.mark.parametrize("simd", AVAILABLE)
@pytest.mark.parametrize("shape", [(1, 11, 11), (1, 11, 40), (7, 23, 12), (3, 40, 33), (2, 64, 17)], ids=str)
@pytest.mark.parametrize("kind", ["noise", "black", "white"])
@pytest.mark.parametrize("strength", [1e-3, 1.0, 40.0])
def test_values_and_gradients_are_the_twins(shape, kind, strength, simd):
    source, d = made(*shape, kind)
    value, gradient = dssim_planes(strength * d, source, simd=simd)
    expected, slope = dssim_planes_numpy(strength * d, source)
    np.testing.assert_allclose(value, expected, rtol=2e-4, atol=1e-10)
    assert np.linalg.norm(gradient - slope) <= 2e-4 * np.linalg.norm(slope)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("simd", AVAILABLE)
def test_bits_depend_on_neither_instructions_nor_threads_nor_neighbours(simd, threads):
    source, d = made(7, 30, 29)
    value, gradient = dssim_planes(d, source, threads=1, simd="scalar")
    again, slope = dssim_planes(d, source, threads=threads, simd=simd)
    np.testing.assert_array_equal(again, value)
    np.testing.assert_array_equal(slope, gradient)
    part = DssimSource(source.centred[3:4], source.centred_mean[3:4], source.mean[3:4], source.contrast[3:4], window())
    alone, one = dssim_planes(d[3:4], part, threads=threads, simd=simd)
    assert alone[0] == value[3]
    np.testing.assert_array_equal(one[0], gradient[3])


def test_no_planes_and_strided_input():
    source, d = made(0, 20, 20)
    value, gradient = dssim_planes(d, source)
    assert value.shape == (0,)
    assert gradient.shape == (0, 20, 20)
    source, d = made(2, 20, 24)
    wide = np.zeros((2, 20, 48), np.float32)
    wide[:, :, ::2] = d
    np.testing.assert_array_equal(dssim_planes(wide[:, :, ::2], source)[1], dssim_planes(d, source)[1])


def test_shapes_that_do_not_fit_are_refused():
    source, d = made(2, 20, 24)
    for bad in (d[:1], d[:, :10], d[:, :, :-1], d[0]):
        with pytest.raises(ValueError, match=r"must|planes"):
            dssim_planes(bad, source)
    with pytest.raises(ValueError, match="simd"):
        dssim_planes(d, source, simd="sse9")
