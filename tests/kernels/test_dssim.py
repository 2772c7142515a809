"""Native DSSIM has the twin's values and the same bits for every instruction set, thread count and neighbour."""

from __future__ import annotations

import numpy as np
import pytest

from facecure.kernels import DssimSource, dssim_planes, dssim_planes_numpy

from .conftest import BITS, made, window


@pytest.mark.parametrize("simd", BITS)
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
@pytest.mark.parametrize("simd", BITS)
def test_bits_depend_on_neither_instructions_nor_threads_nor_neighbours(simd, threads):
    source, d = made(7, 45, 70)
    value, gradient = dssim_planes(d, source, threads=1, simd="scalar")
    again, slope = dssim_planes(d, source, threads=threads, simd=simd)
    np.testing.assert_array_equal(again, value)
    np.testing.assert_array_equal(slope, gradient)
    part = DssimSource(source.centred[3:4], source.centred_mean[3:4], source.contrast[3:4], window())
    alone, one = dssim_planes(d[3:4], part, threads=threads, simd=simd)
    assert alone[0] == value[3]
    np.testing.assert_array_equal(one[0], gradient[3])


@pytest.mark.parametrize("simd", BITS)
@pytest.mark.parametrize("shape", [(1, 41, 30), (1, 64, 17), (3, 97, 33), (5, 150, 20)], ids=str)
def test_bits_do_not_depend_on_the_bands_that_planes_are_split_into(shape, simd):
    source, d = made(*shape)
    value, gradient = dssim_planes(d, source, threads=1, simd="scalar")
    for threads in (1, 2, 3, 7, 64):
        again, slope = dssim_planes(d, source, threads=threads, simd=simd)
        np.testing.assert_array_equal(again, value)
        np.testing.assert_array_equal(slope, gradient)


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
