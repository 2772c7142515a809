"""What both versions of Fawkes share: modes, the visible budget, and distances summed over surrogates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from facecure.cloaks.cloak import Cloak
from facecure.cloaks.options import CloakOptions
from facecure.cloaks.steps.fawkes_step import NativeStep, PlainStep
from facecure.cloaks.surrogate import Distance, Surrogate


@dataclass(frozen=True, slots=True)
class Mode:
    """DSSIM threshold, iterations, and Adadelta's rate at the start."""

    threshold: float
    iterations: int
    rate: float

    def penalty(self, visible: Tensor, weight: float) -> tuple[Tensor, Tensor]:
        """Return weight · max(D − threshold, 0)² (N,) and its derivative with respect to D."""
        excess = (visible - self.threshold).clamp(min=0)
        return weight * excess.square(), 2 * weight * excess


@dataclass(slots=True)
class FawkesState:
    """A batch under way: `step` holds its modifiers, pictures and the best of them, `best` their feature distances.

    `references` are the embeddings that distances are measured to, one tensor per surrogate, seen through `grids`.
    """

    iteration: int
    grids: Sequence[Tensor | None]
    references: Sequence[Tensor]
    step: PlainStep | NativeStep
    best: Tensor


F = TypeVar("F", bound=FawkesState)


class Fawkes(Cloak[F]):
    """What both versions state alike: modes, and the weight of visible change beyond the threshold."""

    stretches = True
    usual_penalty: ClassVar[float]
    mode: Mode

    def __init__(self, surrogates: Sequence[Surrogate], mode: Mode, options: CloakOptions = CloakOptions()) -> None:
        super().__init__(surrogates, mode, options)
        self.iterations = mode.iterations
        self.penalty = self.usual_penalty if options.penalty is None else options.penalty

    def parameters(self) -> dict[str, Any]:
        """Return threshold, iterations, rate, penalty and protocol."""
        own = {"threshold": self.mode.threshold, "rate": self.mode.rate, "penalty": self.penalty}
        return super().parameters() | own


def summed(surrogates: Sequence[Surrogate], state: FawkesState, distance: Distance) -> tuple[Tensor, Tensor]:
    """Return the sum over surrogates of the distance (N,), and of its gradient with respect to pictures as shown."""
    pictures, shown = state.step.pictures, state.step.shown
    total, slope = pictures.new_zeros(len(pictures)), torch.zeros_like(pictures)
    for surrogate, reference, grid in zip(surrogates, state.references, state.grids, strict=True):
        if shown is None:
            value, gradient = surrogate.loss_and_grad(pictures, reference, distance, grid)
        else:
            both = surrogate.loss_and_grad_of_views(shown[None], reference, distance, mirrored=False)
            value, gradient = both[0][0], both[1][0]
        total += value
        slope += gradient
    return total, slope
