"""Tanh space: the float64 twin's values, its derivative, and the way back for every grey level."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facecure.cloaks.tanh import from_tanh, from_tanh_numpy, to_tanh, to_tanh_numpy  # noqa: E402

LEVELS = np.arange(256.0)


def test_every_level_comes_back():
    np.testing.assert_allclose(from_tanh(to_tanh(torch.from_numpy(LEVELS).float()))[0], LEVELS, atol=1e-4)
    np.testing.assert_allclose(from_tanh_numpy(to_tanh_numpy(LEVELS))[0], LEVELS, atol=1e-9)


def test_the_way_there_equals_the_twin():
    found = to_tanh(torch.from_numpy(LEVELS).float()).numpy()
    # float32 near ±1: arctanh magnifies rounding at the ends, where 0 and 255 are
    np.testing.assert_allclose(found[1:-1], to_tanh_numpy(LEVELS)[1:-1], rtol=2e-5, atol=1e-6)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("shape", [(0,), (1,), (2, 3, 5, 7)], ids=str)
def test_value_and_derivative_equal_the_twin(shape):
    points = np.random.default_rng(0).normal(0, 2, shape)
    value, slope = from_tanh(torch.from_numpy(points))
    expected, derivative = from_tanh_numpy(points)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_allclose(slope, derivative, rtol=1e-9)
    step = 1e-6
    rise = (from_tanh_numpy(points + step)[0] - from_tanh_numpy(points - step)[0]) / (2 * step)
    np.testing.assert_allclose(derivative, rise, rtol=1e-6, atol=1e-6)


def test_nothing_leaves_the_range():
    value, slope = from_tanh(torch.tensor([-1e6, 1e6]))
    assert value[0] >= -1e-3
    assert value[1] <= 255 + 1e-3
    assert torch.equal(slope, torch.zeros(2))
