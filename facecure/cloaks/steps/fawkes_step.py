"""The half of a Fawkes iteration that is not the extractors': tanh space, DSSIM, Adadelta, and the best kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from facecure.cloaks.steps.adadelta import Adadelta
from facecure.cloaks.steps.dssim import Dssim, arrays, native_device
from facecure.cloaks.steps.tanh import bend
from facecure.kernels import FawkesMove, FawkesPlanes, View
from facecure.kernels import fawkes_step as native_step
from facecure.kernels.cloak_steps_cuda import DssimSums, fawkes_step_cuda
from facecure.kernels.dssim import CENTRE
from facecure.kernels.fawkes import denominator


class PlainStep:
    """The step in torch, for any device and dtype: what the native one is measured against, bit for bit on the CPU.

    `modifier` (N, 3, H, W) in tanh space leads from `source` to `pictures`, both 0…255, by at most `bound` grey levels;
    `shown` are the same as `view` tells, None without one; `visible` (N,) is their DSSIM, `best` what was kept. Of a
    `FawkesMove` the planes are (N, 3, H, W) here.
    """

    def __init__(
        self, source: Tensor, modifier: Tensor, best: Tensor, *, bound: float, epsilon: float, view: View | None = None
    ) -> None:
        self.source, self.modifier, self.best, self.bound = source, modifier, best, bound
        self.optimiser = Adadelta.of(modifier, epsilon)
        self._dssim, self._view = Dssim(source), view
        self.shown: Tensor | None = None
        if view is not None:
            self._mean, self._std = (source.new_tensor(values).reshape(3, 1, 1) for values in (view.mean, view.std))
        self.place(modifier)

    def place(self, modifier: Tensor) -> None:
        """Put the modifier where it is told."""
        self.modifier = modifier
        self._beyond, self._slope = bend(self._dssim.centred, modifier)
        perturbation = self._beyond.clamp(-self.bound, self.bound)
        self.pictures = self._dssim.centred + CENTRE + perturbation
        total, self._by_dssim = self._dssim.sums(perturbation)
        self.visible = (total / denominator(modifier.shape)).to(modifier)
        if self._view is not None:
            self.shown = (self.pictures[:, list(self._view.channels)] - self._mean) / self._std

    def gradient(self, move: FawkesMove[Tensor]) -> Tensor:
        """Return the loss's gradient (N, 3, H, W) with respect to the modifier."""
        by_visible = each(move.dssim_weight / denominator(self.modifier.shape)) * self._by_dssim
        by_feature = each(move.feature_weight) * move.by_feature
        if self._view is not None:
            by_feature = (each(move.feature_weight) / self._std) * move.by_feature
            by_feature = by_feature[:, np.argsort(self._view.channels).tolist()]
        gradient = by_visible + by_feature
        kept = self._beyond.abs() <= self.bound
        if not move.frozen:
            kept |= self._beyond * gradient > 0
        return torch.where(kept, gradient * self._slope, 0)

    def keep(self, better: Tensor) -> None:
        """Keep the pictures judged last as the best where told."""
        self.best = torch.where(each(better), self.pictures, self.best)

    def __call__(self, move: FawkesMove[Tensor]) -> None:
        """Move on."""
        self.keep(move.better)
        gradient = self.gradient(move)
        self.optimiser.step(self.modifier, gradient, move.rate)
        self.modifier -= gradient.sign() * move.kick
        if move.forget:
            self.optimiser.reset()
        self.place(self.modifier)


class NativeStep:
    """The step in one native pass, for float32: `kernels.fawkes_step`, or its CUDA twin on the current stream.

    Attributes as in `PlainStep`.
    """

    def __init__(
        self, source: Tensor, modifier: Tensor, best: Tensor, *, bound: float, epsilon: float, view: View | None = None
    ) -> None:
        self.source, self._bound, self._epsilon = source, bound, epsilon
        self._on_cuda = native_device(source) == "cuda"
        self.modifier, self.best = (v.clone(memory_format=torch.contiguous_format) for v in (modifier, best))
        self.pictures, self.visible = source.new_empty(source.shape), source.new_empty(len(source))
        self._dssim = Dssim(source).planes()
        shape = self._dssim.centred.shape
        squares, steps, by_dssim = (source.new_zeros(shape) for _ in range(3))
        modified, pictures, kept = (v.view(shape) for v in (self.modifier, self.pictures, self.best))
        self.shown = None if view is None else torch.empty_like(self.pictures)
        seen = None if self.shown is None else self.shown.view(shape)
        self._planes = FawkesPlanes(modified, squares, steps, by_dssim, pictures, kept, seen, view or View())
        if self._on_cuda:
            self._sums = DssimSums(self._dssim.centred)
        else:
            self._arrays = arrays(self._planes), arrays(self._dssim)
        self._step(None)

    def place(self, modifier: Tensor) -> None:
        """Put the modifier where it is told."""
        self.modifier.copy_(modifier)
        self._step(None)

    def keep(self, better: Tensor) -> None:
        """Keep the pictures judged last as the best where told."""
        self.best.copy_(torch.where(each(better), self.pictures, self.best))

    def __call__(self, move: FawkesMove[Tensor]) -> None:
        """Move on."""
        by_feature = move.by_feature.contiguous().view(self._dssim.centred.shape)
        self._step(replace(move, by_feature=by_feature))

    def _step(self, move: FawkesMove[Tensor] | None) -> None:
        if self._on_cuda:
            self.visible.copy_(
                fawkes_step_cuda(self._planes, self._dssim, move, self._bound, self._epsilon, self._sums)
            )
            return
        given = None if move is None else arrays(move)
        visible = native_step(*self._arrays, given, self._bound, self._epsilon, threads=torch.get_num_threads())
        self.visible.copy_(torch.from_numpy(visible))


def fawkes_step(
    source: Tensor, modifier: Tensor, best: Tensor, *, bound: float, epsilon: float, view: View | None
) -> PlainStep | NativeStep:
    """Return the step for where the tensors are, native if it can be."""
    kind = PlainStep if native_device(source) is None else NativeStep
    return kind(source, modifier, best, bound=bound, epsilon=epsilon, view=view)


def each(values: Tensor) -> Tensor:
    """Return (N,) values as (N, 1, 1, 1)."""
    return values[:, None, None, None]
