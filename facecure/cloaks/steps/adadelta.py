"""Adadelta (arXiv 1212.5701) as TensorFlow 1 (ε 1e-8) and Keras (ε 1e-7) run it; docs/protocol.md §3."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from facecure.types import F64

RHO = 0.95
EPSILON_TF1, EPSILON_KERAS = 1e-8, 1e-7


@dataclass(slots=True)
class Adadelta:
    """Accumulators of one variable: `squares` of gradients and `steps` of updates, both zero at the start."""

    squares: Tensor
    steps: Tensor
    epsilon: float
    rho: float = RHO

    @classmethod
    def of(cls, variable: Tensor, epsilon: float, rho: float = RHO) -> Adadelta:
        """Return fresh accumulators for a variable."""
        return cls(torch.zeros_like(variable), torch.zeros_like(variable), epsilon, rho)

    @property
    def _rest(self) -> float:
        return float(1 - self.squares.new_tensor(self.rho))  # in the accumulators' own precision

    def step(self, variable: Tensor, gradient: Tensor, rate: float) -> None:
        """Move the variable one step down the gradient, in place."""
        # every product is rounded by itself, as in csrc/fawkes_step/value.h, for the same bits on the CPU
        self.squares.mul_(self.rho).add_((gradient * gradient).mul_(self._rest))
        # torch's float32 root is a unit off in one case of five; from float64 it is right
        root = ((self.steps + self.epsilon) / (self.squares + self.epsilon)).double().sqrt_().to(variable)
        step = gradient * root
        variable.sub_(step * rate)
        self.steps.mul_(self.rho).add_((step * step).mul_(self._rest))

    def reset(self) -> None:
        """Set the accumulators back to zero."""
        self.squares.zero_()
        self.steps.zero_()


def adadelta_numpy(variable: F64, gradients: F64, rate: float, epsilon: float, rho: float = RHO) -> F64:
    """Return float64 (T, …): the variable after each of the T gradients (T, …), from fresh accumulators."""
    squares, steps, found = np.zeros_like(variable), np.zeros_like(variable), []
    for gradient in gradients:
        squares = rho * squares + (1 - rho) * gradient**2
        step = gradient * np.sqrt(steps + epsilon) / np.sqrt(squares + epsilon)
        variable = variable - rate * step
        steps = rho * steps + (1 - rho) * step**2
        found.append(variable)
    return np.array(found)
