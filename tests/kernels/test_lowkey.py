"""The native LowKey step is the twin's, with the same bits for every instruction set, thread count and neighbour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import correlate1d

from facecure.kernels import Views, lowkey_step, lowkey_step_numpy

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


@pytest.mark.parametrize("simd", BITS)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("scale", [1e-20, 1e-3, 1e20])
def test_a_step_is_the_twins(shape, kind, scale, simd):
    pictures, views, by_view, by_visible = started(*shape, kind, scale)
    twin, seen = pictures.astype(np.float64), np.zeros(views.shape)
    options = {"visible_weight": 0.05, "step": STEP}
    gradient = lowkey_step_numpy(twin, seen, by_view, by_visible, kind, window(), **options)
    lowkey_step(pictures, views, by_view, by_visible, kind, window(), **options, simd=simd)
    certain = np.abs(gradient) > 1e-5 * np.abs(gradient).max()  # elsewhere rounding decides on the sign
    assert certain.mean() > 0.9
    np.testing.assert_allclose(pictures[certain], twin[certain], atol=1e-6)
    # views are those of the pictures as they now are
    lowkey_step_numpy(pictures.astype(np.float64), seen, None, None, kind, window())
    np.testing.assert_allclose(views, seen, atol=2e-6 / min(kind.std))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_without_gradients_nothing_moves(kind):
    pictures, views, by_view, _ = started(2, 20, 21, kind)
    before = pictures.copy()
    lowkey_step(pictures, views, None, None, kind, window(), step=STEP)
    np.testing.assert_array_equal(pictures, before)
    assert views.any()
    lowkey_step(pictures, views, np.zeros_like(by_view), None, kind, window(), step=STEP)
    np.testing.assert_array_equal(pictures, before)


def test_smoothing_is_that_of_scipy():
    kind = KINDS["plain"]
    pictures, views, _, _ = started(2, 19, 26, kind)
    lowkey_step(pictures, views, None, None, kind, window())
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
    options = {"visible_weight": 0.05, "step": STEP}
    lowkey_step(pictures, views, by_view, by_visible, kind, window(), **options, threads=1, simd="scalar")
    lowkey_step(again, other, by_view, by_visible, kind, window(), **options, threads=threads, simd=simd)
    np.testing.assert_array_equal(again, pictures)
    np.testing.assert_array_equal(other, views)
    lowkey_step(alone, one, by_view[:, 4:5], by_visible[4:5], kind, window(), **options, threads=threads, simd=simd)
    np.testing.assert_array_equal(alone[0], pictures[4])
    np.testing.assert_array_equal(one[:, 0], views[:, 4])


@pytest.mark.parametrize("simd", BITS)
def test_bits_do_not_depend_on_the_bands_that_planes_are_split_into(simd):
    kind = KINDS["normalised"]
    pictures, views, by_view, by_visible = started(1, 200, 19, kind)
    options = {"visible_weight": 0.05, "step": STEP}
    once, seen = pictures.copy(), views.copy()
    lowkey_step(once, seen, by_view, by_visible, kind, window(), **options, threads=1, simd="scalar")
    for threads in (2, 4, 7, 64):
        again, other = pictures.copy(), views.copy()
        lowkey_step(again, other, by_view, by_visible, kind, window(), **options, threads=threads, simd=simd)
        np.testing.assert_array_equal(again, once)
        np.testing.assert_array_equal(other, seen)


def test_no_pictures():
    kind = KINDS["mirrored"]
    pictures, views, by_view, by_visible = started(0, 20, 20, kind)
    lowkey_step(pictures, views, by_view, by_visible, kind, window(), step=STEP)
    assert views.shape == (4, 0, 3, 20, 20)


def test_what_does_not_fit_is_refused():
    kind = KINDS["mirrored"]
    pictures, views, by_view, by_visible = started(2, 20, 24, kind)
    for bad in ((pictures, views[:2], by_view, by_visible), (pictures, views, by_view[:, :1], by_visible),
                (pictures, views, by_view, by_visible[:, :2]), (pictures[0], views, by_view, by_visible)):  # fmt: skip
        with pytest.raises(ValueError, match="must be"):
            lowkey_step(*bad, kind, window())
    with pytest.raises(ValueError, match="channels"):
        lowkey_step(pictures, views, by_view, by_visible, replace(kind, channels=(0, 0, 1)), window())
    small = np.zeros((1, 3, 3, 9), np.float32), np.zeros((4, 1, 3, 3, 9), np.float32)
    with pytest.raises(ValueError, match="> 3"):
        lowkey_step(*small, None, None, kind, window())
    with pytest.raises(TypeError):  # a copy would be changed instead
        lowkey_step(pictures.astype(np.float64), views, by_view, by_visible, kind, window())
