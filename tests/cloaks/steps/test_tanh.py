"""Where a modifier takes a source: the definition in float64, and its derivative, also at black and white."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facecure.cloaks.steps.tanh import bend  # noqa: E402

SPAN = 2 - 1e-6
LEVELS = np.arange(256.0)
MODIFIERS = [0.0, 1e-6, -1e-3, 0.1, -0.7, 3.0, -8.0, 14.0]


def defined(sources: np.ndarray, modifier: float) -> np.ndarray:
    return (np.tanh(np.arctanh((sources / 255 - 0.5) * SPAN) + modifier) / SPAN + 0.5) * 255


@pytest.mark.parametrize("modifier", MODIFIERS)
def test_value_and_derivative_equal_the_definition(modifier):
    sources = torch.from_numpy(LEVELS)
    beyond, slope = bend(sources - 128, torch.full_like(sources, modifier))
    np.testing.assert_allclose(beyond, defined(LEVELS, modifier) - LEVELS, rtol=1e-6, atol=1e-6)
    step = 1e-4
    rise = (defined(LEVELS, modifier + step) - defined(LEVELS, modifier - step)) / (2 * step)
    np.testing.assert_allclose(slope, rise, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("modifier", MODIFIERS)
def test_float32_keeps_the_digits_of_small_changes(modifier):
    sources = torch.from_numpy(LEVELS)
    expected = bend(sources - 128, torch.full_like(sources, np.float32(modifier)))
    found = bend(sources.float() - 128, torch.full_like(sources, modifier).float())
    for ours, exact in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, exact, rtol=4e-6, atol=5e-4 * (abs(modifier) > 1))


def test_nothing_leaves_the_range():
    sources = torch.tensor([0.0, 1.0, 128.0, 254.0, 255.0])
    for modifier in (-1e6, 1e6):
        beyond, slope = bend(sources - 128, torch.full_like(sources, modifier))
        assert ((sources + beyond >= -1e-3) & (sources + beyond <= 255 + 1e-3)).all()
        assert (slope.abs() < 1e-3).all()


@pytest.mark.parametrize("shape", [(0,), (1,), (2, 3, 5, 7)], ids=str)
def test_any_shape(shape):
    assert bend(torch.zeros(shape), torch.ones(shape))[0].shape == shape
