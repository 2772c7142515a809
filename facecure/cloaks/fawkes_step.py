"""The half of a Fawkes iteration that is not the extractors': tanh space, DSSIM, Adadelta, and the best kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from facecure.cloaks.adadelta import Adadelta
from facecure.cloaks.dssim import Dssim
from facecure.cloaks.tanh import bend
from facecure.kernels import FawkesMove, FawkesPlanes
from facecure.kernels import fawkes_step as native_step
from facecure.types import F32


@dataclass(frozen=True, slots=True)
class Move:
    """How a batch moves on from the pictures that were judged.

    `by_feature` (N, 3, H, W) is the feature distance's gradient at them; the loss counts it by `feature_weight` and
    DSSIM's by `dssim_weight`, both (N,); where `better`, bool (N,), the picture is kept. `rate` is Adadelta's; `kick`
    is added along the gradient's sign; `forget` zeroes the accumulators afterwards; `frozen`: beyond the bound not even
    a gradient that leads back passes (Q9).
    """

    by_feature: Tensor
    dssim_weight: Tensor
    feature_weight: Tensor
    better: Tensor
    rate: float
    kick: float = 0.0
    forget: bool = False
    frozen: bool = False


class PlainStep:
    """The step in torch, for any device and dtype: what the native one is measured against.

    `modifier` (N, 3, H, W) in tanh space leads from `source` to `pictures`, both 0…255, by at most `bound` grey levels;
    `visible` (N,) is their DSSIM, `best` what was kept.
    """

    def __init__(self, source: Tensor, modifier: Tensor, best: Tensor, *, bound: float, epsilon: float) -> None:
        self.source, self.modifier, self.best, self.bound = source, modifier, best, bound
        self.optimiser = Adadelta.of(modifier, epsilon)
        self._dssim = Dssim(source)
        self.place(modifier)

    def place(self, modifier: Tensor) -> None:
        """Put the modifier where it is told."""
        self.modifier = modifier
        self._beyond, self._slope = bend(self.source, modifier)
        perturbation = self._beyond.clamp(-self.bound, self.bound)
        self.pictures = self.source + perturbation
        self.visible, self._by_dssim = self._dssim.in_torch(perturbation)

    def gradient(self, move: Move) -> Tensor:
        """Return the loss's gradient (N, 3, H, W) with respect to the modifier."""
        gradient = each(move.dssim_weight) * self._by_dssim + each(move.feature_weight) * move.by_feature
        kept = self._beyond.abs() <= self.bound
        if not move.frozen:
            kept |= self._beyond * gradient > 0
        return gradient * kept * self._slope

    def keep(self, better: Tensor) -> None:
        """Keep the pictures judged last as the best where told."""
        self.best = torch.where(each(better), self.pictures, self.best)

    def __call__(self, move: Move) -> None:
        """Move on."""
        self.keep(move.better)
        gradient = self.gradient(move)
        self.optimiser.step(self.modifier, gradient, move.rate)
        self.modifier -= move.kick * gradient.sign()
        if move.forget:
            self.optimiser.reset()
        self.place(self.modifier)


class NativeStep:
    """The step in one native pass (`kernels.fawkes_step`), for float32 on the CPU; attributes as in `PlainStep`."""

    def __init__(self, source: Tensor, modifier: Tensor, best: Tensor, *, bound: float, epsilon: float) -> None:
        self.modifier, self.best = (v.clone(memory_format=torch.contiguous_format) for v in (modifier, best))
        self.source, self.pictures = source, torch.empty(source.shape)
        self._bound, self._epsilon = bound, epsilon
        native = Dssim(source).native
        assert native is not None
        self._dssim = native
        zeros = [np.zeros(self._dssim.centred.shape, np.float32) for _ in range(3)]
        self._planes = FawkesPlanes(
            _planes(self.modifier), zeros[0], zeros[1], zeros[2], _planes(self.pictures), _planes(self.best)
        )
        self._step(None)

    def place(self, modifier: Tensor) -> None:
        """Put the modifier where it is told."""
        self.modifier.copy_(modifier)
        self._step(None)

    def keep(self, better: Tensor) -> None:
        """Keep the pictures judged last as the best where told."""
        self.best[better] = self.pictures[better]

    def __call__(self, move: Move) -> None:
        """Move on."""
        self._step(
            FawkesMove(
                _planes(move.by_feature), move.dssim_weight.numpy(), move.feature_weight.numpy(), move.better.numpy(),
                move.rate, self._epsilon, move.kick, move.forget, move.frozen,
            )
        )  # fmt: skip

    def _step(self, move: FawkesMove | None) -> None:
        visible = native_step(self._planes, self._dssim, move, self._bound, threads=torch.get_num_threads())
        self.visible = torch.from_numpy(visible.astype(np.float32))


def fawkes_step(
    source: Tensor, modifier: Tensor, best: Tensor, *, bound: float, epsilon: float
) -> PlainStep | NativeStep:
    """Return the step for where the tensors are: native for float32 on the CPU, else in torch."""
    native = source.device.type == "cpu" and source.dtype == torch.float32
    return (NativeStep if native else PlainStep)(source, modifier, best, bound=bound, epsilon=epsilon)


def each(values: Tensor) -> Tensor:
    """Return (N,) values as (N, 1, 1, 1)."""
    return values[:, None, None, None]


def _planes(pictures: Tensor) -> F32:
    """Return pictures (N, 3, H, W) as planes (3 N, H, W), the same memory where contiguous."""
    planes: F32 = pictures.detach().flatten(0, 1).numpy()
    return planes
