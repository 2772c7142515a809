"""The loop that trains, and the classifier of the released code: an extractor under a dense layer, all trainable."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from facecure.errors import FacecureError


class Diverged(FacecureError):
    """The loss of a training step is not a number."""


class Classifier(nn.Module):
    """An extractor's network under a dense layer whose values, after a softmax, are probabilities of classes.

    The dense layer begins as Keras' Dense does: Glorot's uniform weights, zero biases.
    """

    def __init__(self, network: nn.Module, embedding_size: int, classes: int, seed: int) -> None:
        super().__init__()
        self.network = network.requires_grad_(True)
        with torch.random.fork_rng(devices=[]):  # nobody else's draws move
            torch.manual_seed(seed)
            self.head = nn.Linear(embedding_size, classes)
            nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, faces: Tensor) -> Tensor:
        """Return logits (N, classes) of normalised faces."""
        embeddings = self.network(faces)
        return self.head(embeddings.reshape(len(embeddings), -1))  # type: ignore[no-any-return]


def adadelta(model: nn.Module) -> Optimizer:
    """Return Adadelta as Keras 2.3 has it by default: rate 1.0, ρ 0.95, ε 1e-7 (docs/protocol.md §3, Q14)."""
    return torch.optim.Adadelta(model.parameters(), lr=1.0, rho=0.95, eps=1e-7)


def train(
    optimiser: Optimizer,
    loss: Callable[[int], Tensor],
    steps: range,
    progress: Callable[[int], None] = lambda step: None,
) -> float:
    """Return the mean loss of `steps`, after each of which the optimiser has moved what it optimises.

    `loss` maps a step to its loss, a scalar with gradients; `progress` is told how many steps are done. Raises
    `Diverged` where a loss is no finite number: nothing that follows would mean anything.
    """
    total = 0.0
    for step in steps:
        optimiser.zero_grad(set_to_none=True)
        value = loss(step)
        total += float(value.detach())
        if not abs(total) < float("inf"):
            raise Diverged(f"the loss of step {step} is {float(value.detach())}; train with a smaller rate")
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        progress(step + 1)
    return total / len(steps) if len(steps) else 0.0
