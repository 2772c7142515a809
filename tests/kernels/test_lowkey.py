"""The native LowKey step is the twin's, with the same bits for every instruction set, thread count and neighbour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import correlate1d

from facecure.kernels import LowKeyMove, LowKeyPlanes, Views, lowkey_step, lowkey_step_numpy

from .conftest import BITS

STEP = 0.0025
KINDS = {
    "plain": Views(),
    "mirrored": Views(mirrored=True),
    "normalised": Views([0.5, 0.4, 0.3], [0.5, 0.25, 2.0], [2, 1, 0], mirrored=True),
}
SHAPES = [(1, 4, 4), (1, 5, 40), (7, 23, 12), (2, 33, 17), (1, 64, 6)]


def window() -> np.ndarray:
    weights = np.exp(-np.square(np.arange(7) - 3) / (2 * 3.0**2))
    return (weights / weights.sum()).astype(np.float32)


def started(count: int, height: int, width: int, kind: Views, scale: float = 1e-3):
    """Return pictures, views to be written, and gradients."""
    rng = np.random.default_rng([count, height, width])
    shape = (count, 3, height, width)
    pictures = rng.uniform(0, 1, shape).astype(np.float32)
    by_view = (scale * rng.normal(0, 1, (kind.count, *shape))).astype(np.float32)
    by_visible = (scale * rng.normal(0, 9, shape)).astype(np.float32)
    return pictures, np.zeros_like(by_view), by_view, by_visible


def planes_of(pictures, views, kind: Views) -> LowKeyPlanes:
    return LowKeyPlanes(pictures, views, window(), kind)


def moving(by_view, by_visible) -> LowKeyMove:
    return LowKeyMove(by_view, by_visible, visible_weight=0.05, step=STEP)


@pytest.mark.parametrize("simd", BITS)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("scale", [1e-20, 1e-3, 1e20])
def test_a_step_is_the_twins(shape, kind, scale, simd):
    pictures, views, by_view, by_visible = started(*shape, kind, scale)
    twin, seen = pictures.astype(np.float64), np.zeros(views.shape)
    move = moving(by_view, by_visible)
    gradient = lowkey_step_numpy(planes_of(twin, seen, kind), move)
    lowkey_step(planes_of(pictures, views, kind), move, simd=simd)
    certain = np.abs(gradient) > 1e-5 * np.abs(gradient).max()  # elsewhere rounding decides on the sign
    assert certain.mean() > 0.9
    np.testing.assert_allclose(pictures[certain], twin[certain], atol=1e-6)
    # views are those of the pictures as they now are
    lowkey_step_numpy(planes_of(pictures.astype(np.float64), seen, kind), None)
    np.testing.assert_allclose(views, seen, atol=2e-6 / min(kind.std))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_without_gradients_nothing_moves(kind):
    pictures, views, by_view, _ = started(2, 20, 21, kind)
    before = pictures.copy()
    lowkey_step(planes_of(pictures, views, kind), None)
    np.testing.assert_array_equal(pictures, before)
    assert views.any()
    lowkey_step(planes_of(pictures, views, kind), moving(np.zeros_like(by_view), None))
    np.testing.assert_array_equal(pictures, before)


def test_smoothing_is_that_of_scipy():
    kind = KINDS["plain"]
    pictures, views, _, _ = started(2, 19, 26, kind)
    lowkey_step(planes_of(pictures, views, kind), None)
    expected = pictures.astype(np.float64)
    for axis in (2, 3):
        expected = correlate1d(expected, window().astype(np.float64), axis=axis, mode="mirror")
    np.testing.assert_allclose(views[1], expected, atol=1e-6)
    np.testing.assert_array_equal(views[0], pictures)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("simd", BITS)
def test_bits_depend_on_neither_instructions_nor_threads_nor_neighbours(simd, threads):
    kind = KINDS["normalised"]
    pictures, views, by_view, by_visible = started(7, 45, 70, kind)
    again, other = pictures.copy(), views.copy()
    alone, one = pictures[4:5].copy(), np.ascontiguousarray(views[:, 4:5])
    move = moving(by_view, by_visible)
    lowkey_step(planes_of(pictures, views, kind), move, threads=1, simd="scalar")
    lowkey_step(planes_of(again, other, kind), move, threads=threads, simd=simd)
    np.testing.assert_array_equal(again, pictures)
    np.testing.assert_array_equal(other, views)
    part = moving(by_view[:, 4:5], by_visible[4:5])
    lowkey_step(planes_of(alone, one, kind), part, threads=threads, simd=simd)
    np.testing.assert_array_equal(alone[0], pictures[4])
    np.testing.assert_array_equal(one[:, 0], views[:, 4])


@pytest.mark.parametrize("simd", BITS)
def test_bits_do_not_depend_on_the_bands_that_planes_are_split_into(simd):
    kind = KINDS["normalised"]
    pictures, views, by_view, by_visible = started(1, 200, 19, kind)
    move = moving(by_view, by_visible)
    once, seen = pictures.copy(), views.copy()
    lowkey_step(planes_of(once, seen, kind), move, threads=1, simd="scalar")
    for threads in (2, 4, 7, 64):
        again, other = pictures.copy(), views.copy()
        lowkey_step(planes_of(again, other, kind), move, threads=threads, simd=simd)
        np.testing.assert_array_equal(again, once)
        np.testing.assert_array_equal(other, seen)


def test_no_pictures():
    kind = KINDS["mirrored"]
    pictures, views, by_view, by_visible = started(0, 20, 20, kind)
    lowkey_step(planes_of(pictures, views, kind), moving(by_view, by_visible))
    assert views.shape == (4, 0, 3, 20, 20)


def test_what_does_not_fit_is_refused():
    kind = KINDS["mirrored"]
    pictures, views, by_view, by_visible = started(2, 20, 24, kind)
    good, move = planes_of(pictures, views, kind), moving(by_view, by_visible)
    for planes, given, message in (
        (replace(good, views=views[:2]), move, r"views must be \(4, 2, 3, 20, 24\), not \(2, 2, 3, 20, 24\)"),
        (good, replace(move, by_view=by_view[:, :1]), r"by_view must be \(4, 2, 3, 20, 24\), not \(4, 1, "),
        (good, replace(move, by_visible=by_visible[:, :2]), r"by_visible must be \(2, 3, 20, 24\), not \(2, 2, "),
        (replace(good, pictures=pictures[0]), move, r"pictures must be \(N, 3, H, W\)"),
        (replace(good, kind=replace(kind, channels=(0, 0, 1))), move, "channels"),
        (replace(good, window=window()[:5]), move, r"window must be \(7,\), not \(5,\)"),
        (planes_of(np.zeros((1, 3, 3, 9), np.float32), np.zeros((4, 1, 3, 3, 9), np.float32), kind), None, "> 3"),
    ):
        with pytest.raises(ValueError, match=message):
            lowkey_step(planes, given)
    frozen = pictures.copy()
    frozen.flags.writeable = False
    for bad in (pictures.astype(np.float64), frozen):  # a copy would be changed instead
        with pytest.raises(TypeError, match="pictures must be an array of float32, contiguous and writeable"):
            lowkey_step(replace(good, pictures=bad), move)
    with pytest.raises(TypeError, match="step cannot be 'far'"):
        lowkey_step(good, replace(move, step="far"))
