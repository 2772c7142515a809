"""The loop's first steps equal a float64 twin in numpy: softmax, cross-entropy, backward pass and Adadelta by hand."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from facecure.training.fine_tuning import Classifier, Diverged, adadelta, train  # noqa: E402

X = np.random.default_rng(0).normal(size=(12, 5))
Y = np.array([0, 1, 2] * 4)


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4))


class Twin:
    """The same two-layer network with a dense head, in plain numpy."""

    def __init__(self, model: Classifier) -> None:
        self.values = [p.detach().double().numpy().copy() for p in model.parameters()]
        self.squares = [np.zeros_like(v) for v in self.values]
        self.moves = [np.zeros_like(v) for v in self.values]

    def step(self, x, y, rate=1.0, rho=0.95, epsilon=1e-7) -> float:
        w1, b1, w2, b2, w3, b3 = self.values
        hidden = np.tanh(x @ w1.T + b1)
        embedding = hidden @ w2.T + b2
        logits = embedding @ w3.T + b3
        shifted = np.exp(logits - logits.max(1, keepdims=True))
        probability = shifted / shifted.sum(1, keepdims=True)
        loss = -np.log(probability[np.arange(len(y)), y]).mean()
        d = probability.copy()
        d[np.arange(len(y)), y] -= 1
        d /= len(y)
        e = d @ w3
        h = (e @ w2) * (1 - hidden**2)
        gradients = [h.T @ x, h.sum(0), e.T @ hidden, e.sum(0), d.T @ embedding, d.sum(0)]
        for i, g in enumerate(gradients):  # docs/protocol.md §3
            self.squares[i] = rho * self.squares[i] + (1 - rho) * g**2
            u = g * np.sqrt(self.moves[i] + epsilon) / np.sqrt(self.squares[i] + epsilon)
            self.values[i] = self.values[i] - rate * u
            self.moves[i] = rho * self.moves[i] + (1 - rho) * u**2
        return float(loss)


def test_first_steps_equal_the_numpy_twin():
    model = Classifier(network(), 4, 3, seed=2).double()
    twin = Twin(model)
    rows = [np.random.default_rng(s).integers(0, 12, 6) for s in range(25)]
    expected = [twin.step(X[r], Y[r]) for r in rows]
    x, y = torch.from_numpy(X), torch.from_numpy(Y)
    found = []

    def loss(step):
        value = functional.cross_entropy(model(x[rows[step]]), y[rows[step]])
        found.append(float(value.detach()))
        return value

    optimiser = adadelta(model)
    assert train(optimiser, loss, range(10)) == pytest.approx(np.mean(expected[:10]), rel=1e-12)
    assert train(optimiser, loss, range(10, 25)) == pytest.approx(np.mean(expected[10:]), rel=1e-12)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    for here, there in zip(model.parameters(), twin.values, strict=True):
        np.testing.assert_allclose(here.detach().numpy(), there, rtol=1e-11, atol=1e-13)


def test_adadelta_gives_the_golden_trace_at_rate_one():
    """Keras' trace (docs/protocol.md §3) is at rate 15; moves are proportional to the rate."""
    value = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimiser, seen = adadelta(nn.ParameterList([value])), []
    for gradient in (1e-3, 1e-3, -2e-3, 0.0, 5e-4):
        value.grad = torch.full((1,), gradient, dtype=torch.float64)
        optimiser.step()
        seen.append(15 * value.item())
    np.testing.assert_allclose(seen, [-0.012247449, -0.024572169, -0.005099350, -0.005099350, -0.011075334], rtol=2e-7)


def test_the_head_begins_as_keras_dense_does():
    model, same = Classifier(network(), 4, 300, seed=3), Classifier(network(), 4, 300, seed=3)
    torch.testing.assert_close(model.head.weight, same.head.weight, rtol=0, atol=0)
    assert not model.head.bias.any()
    bound = np.sqrt(6 / (4 + 300))  # Glorot and Bengio 2010, equation 16
    assert model.head.weight.abs().max() <= bound
    assert model.head.weight.abs().max() > 0.99 * bound
    assert all(parameter.requires_grad for parameter in model.parameters())
    made = network()
    state = torch.random.get_rng_state()
    Classifier(made, 4, 3, seed=4)
    assert torch.equal(torch.random.get_rng_state(), state)  # nobody else's draws move


def test_progress_counts_steps_and_no_step_has_no_loss():
    model, seen = Classifier(network(), 4, 3, seed=2), []
    x, y = torch.from_numpy(X).float(), torch.from_numpy(Y)
    train(adadelta(model), lambda step: functional.cross_entropy(model(x), y), range(3, 6), seen.append)
    assert seen == [4, 5, 6]
    assert train(adadelta(model), lambda step: pytest.fail("no step was asked for"), range(4, 4)) == 0.0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_training(value):
    weight = nn.Parameter(torch.ones(1))
    optimiser = torch.optim.SGD([weight], lr=0.0)
    with pytest.raises(Diverged, match=rf"step 2 is {value}"):
        train(optimiser, lambda step: (weight * (value if step == 2 else 1.0)).sum(), range(5))
