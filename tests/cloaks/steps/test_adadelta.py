"""Adadelta follows its float64 twin, which follows the values of docs/protocol.md §3."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facecure.cloaks.steps.adadelta import EPSILON_KERAS, EPSILON_TF1, Adadelta, adadelta_numpy  # noqa: E402

GRADIENTS = np.array([1e-3, 1e-3, -2e-3, 0, 5e-4])


@pytest.mark.parametrize(
    ("epsilon", "rate", "expected"),
    [
        (EPSILON_TF1, 10, [-0.004082483, -0.008212164, -0.002300094, -0.002300094, -0.004201444]),
        (EPSILON_KERAS, 15, [-0.012247449, -0.024572169, -0.005099350, -0.005099350, -0.011075334]),
    ],
)
def test_traces_of_the_protocol(epsilon, rate, expected):
    np.testing.assert_allclose(adadelta_numpy(np.zeros(()), GRADIENTS, rate, epsilon), expected, atol=1e-9)


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5, 7)], ids=str)
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e6])
def test_steps_follow_the_twin(shape, scale):
    rng = np.random.default_rng(0)
    gradients, start = scale * rng.normal(size=(12, *shape)), rng.normal(size=shape)
    expected = adadelta_numpy(start, gradients, 3.0, EPSILON_KERAS)
    variable = torch.from_numpy(start.copy())
    state = Adadelta.of(variable, EPSILON_KERAS)
    for gradient, after in zip(gradients, expected, strict=True):
        state.step(variable, torch.from_numpy(gradient), 3.0)
        np.testing.assert_allclose(variable, after, rtol=1e-9, atol=1e-12)


def test_reset_starts_over():
    variable, gradient = torch.zeros(4), torch.ones(4)
    state = Adadelta.of(variable, EPSILON_TF1)
    state.step(variable, gradient, 1.0)
    first = variable.clone()
    state.reset()
    state.step(variable, gradient, 1.0)
    assert torch.equal(variable, 2 * first)
