"""What both versions of Fawkes share: modes, the visible budget, and distances summed over surrogates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from facecure.cloaks.adadelta import Adadelta
from facecure.cloaks.dssim import Dssim
from facecure.cloaks.surrogate import Distance, Surrogate


@dataclass(frozen=True, slots=True)
class Mode:
    """DSSIM threshold, iterations, and Adadelta's rate at the start."""

    threshold: float
    iterations: int
    rate: float

    def penalty(self, visible: Tensor, weight: float) -> tuple[Tensor, Tensor]:
        """Return weight · max(D − threshold, 0)² (N,) and its derivative with respect to D, for a picture's gradient.

        The derivative has the shape (N, 1, 1, 1).
        """
        excess = (visible - self.threshold).clamp(min=0)
        return weight * excess.square(), each(2 * weight * excess)


@dataclass(slots=True)
class FawkesState:
    """A batch under way: `variable` is the modifier in tanh space, where `point` is the `source`.

    `references` are the embeddings that distances are measured to, one tensor per surrogate, seen through `grids`;
    `best` is the best accepted feature distance and `pictures` where it was reached.
    """

    iteration: int
    variable: Tensor
    source: Tensor
    point: Tensor
    grids: Sequence[Tensor | None]
    references: Sequence[Tensor]
    dssim: Dssim
    optimiser: Adadelta
    best: Tensor
    pictures: Tensor


def summed(
    surrogates: Sequence[Surrogate],
    pictures: Tensor,
    references: Sequence[Tensor],
    grids: Sequence[Tensor | None],
    distance: Distance,
) -> tuple[Tensor, Tensor]:
    """Return the sum over surrogates of the distance (N,) and of its gradient (N, 3, H, W)."""
    total, slope = pictures.new_zeros(len(pictures)), torch.zeros_like(pictures)
    for surrogate, reference, grid in zip(surrogates, references, grids, strict=True):
        value, gradient = surrogate.loss_and_grad(pictures, reference, distance, grid)
        total += value
        slope += gradient
    return total, slope


def each(values: Tensor) -> Tensor:
    """Return (N,) values as (N, 1, 1, 1)."""
    return values[:, None, None, None]
