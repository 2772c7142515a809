"""The half of a Fawkes iteration that is not the extractors', and its twin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np

from facecure import _core
from facecure.kernels.dssim import CENTRE, A, DssimSource, dssim_planes_numpy
from facecure.threads import thread_count
from facecure.types import F32, F64

RHO = 0.95  # of Adadelta, docs/protocol.md §3
SPAN = 2 - 1e-6  # grey levels are tanh z / SPAN + ½ of white, so that 0 and 255 stay finite (§4)


@dataclass(frozen=True)
class View:
    """How extractors take pictures: plane j of a view shows channel `channels[j]` as (x − mean[j]) / std[j]."""

    mean: Sequence[float] = (0.0, 0.0, 0.0)
    std: Sequence[float] = (1.0, 1.0, 1.0)
    channels: Sequence[int] = (0, 1, 2)


@dataclass(frozen=True)
class FawkesPlanes(Generic[A]):
    """What a step changes in place, each float32 (3 N, H, W), contiguous, the three planes of a picture together.

    `modifier` is in tanh space, `squares` and `steps` are Adadelta's accumulators; `by_dssim` is the gradient of DSSIM
    at `pictures`, the ones to be judged next, times twice the number of windows; `best` are the ones kept so far;
    `shown`, where given, are the pictures as `view` tells.
    """

    modifier: A
    squares: A
    steps: A
    by_dssim: A
    pictures: A
    best: A
    shown: A | None = None
    view: View = View()  # frozen


@dataclass(frozen=True)
class FawkesMove(Generic[A]):
    """How pictures that have been judged move on.

    `by_feature` float32 (3 N, H, W) is the feature distance's gradient with respect to the pictures as they are shown;
    `dssim_weight` and `feature_weight`, float32 (N,), are what DSSIM's and its gradient count; where `better`, bool
    (N,), the picture is kept as the best. `rate` is Adadelta's; `kick` is added along the gradient's
    sign; `forget` zeroes the accumulators afterwards; `frozen`: beyond the bound not even a gradient that leads back
    passes (Q9).
    """

    by_feature: A
    dssim_weight: A
    feature_weight: A
    better: Any
    rate: float
    kick: float = 0.0
    forget: bool = False
    frozen: bool = False


def fawkes_step(
    planes: FawkesPlanes[F32],
    source: DssimSource[F32],
    move: FawkesMove[F32] | None,
    bound: float,
    epsilon: float,
    *,
    threads: int = 0,
    simd: str | None = None,
) -> F64:
    """Return D (N,) of the next pictures, after moving on; `planes` are changed in place.

    Without a `move` the pictures are those of the modifier as it is. `bound` is that of the perturbation in grey
    levels, `inf` for none; `epsilon` is Adadelta's. The same bits for every instruction set, thread count and
    neighbour. Raises `ValueError` where shapes do not fit, `TypeError` where a plane is not contiguous float32.
    """
    value = _core.fawkes_step(
        planes=planes, source=source, move=move, bound=bound, epsilon=epsilon, threads=thread_count(threads), simd=simd
    )
    of_pictures: F64 = value.reshape(-1, 3).sum(axis=1) / denominator(source.centred.shape)
    return of_pictures


def denominator(shape: Sequence[int]) -> int:
    """Return twice the number of windows in a picture (…, H, W): what planes' values and gradients are divided by."""
    return 6 * int(shape[-2] - 10) * int(shape[-1] - 10)


def fawkes_step_numpy(
    planes: FawkesPlanes[F32], source: DssimSource[F32], move: FawkesMove[F32] | None, bound: float, epsilon: float
) -> F64:
    """Return what `fawkes_step` returns, in float64 through tanh space itself; `planes` may be float64."""
    centred = source.centred.astype(np.float64)
    levels = centred + CENTRE
    mean, std = (np.reshape(values, (3, 1, 1)) for values in (planes.view.mean, planes.view.std))
    slots = np.argsort(planes.view.channels)

    def raw(modifier: F64) -> tuple[F64, F64]:
        point = np.arctanh((levels / 255 - 0.5) * SPAN) + np.clip(modifier, -16, 16)
        return (np.tanh(point) / SPAN + 0.5) * 255 - levels, 255 / SPAN / np.cosh(point) ** 2

    if move is not None:
        better = np.repeat(move.better, 3)
        planes.best[better] = planes.pictures[better]
        beyond, slope = raw(planes.modifier.astype(np.float64))
        visible, feature = (
            np.repeat(w.astype(np.float64), 3)[:, None, None] for w in (move.dssim_weight, move.feature_weight)
        )
        by_feature = np.asarray(move.by_feature, np.float64)
        if planes.shown is not None:
            by_feature = (by_feature.reshape(-1, 3, *levels.shape[1:]) / std)[:, slots].reshape(levels.shape)
        gradient = visible * (planes.by_dssim / denominator(source.centred.shape)) + feature * by_feature
        kept = np.abs(beyond) <= bound
        if not move.frozen:
            kept |= beyond * gradient > 0
        gradient = np.where(kept, gradient * slope, 0)
        planes.squares[:] = RHO * planes.squares + (1 - RHO) * gradient**2
        step = gradient * np.sqrt((planes.steps + epsilon) / (planes.squares + epsilon))
        planes.modifier[:] = planes.modifier - move.rate * step - move.kick * np.sign(gradient)
        planes.steps[:] = RHO * planes.steps + (1 - RHO) * step**2
        if move.forget:
            planes.squares[:] = planes.steps[:] = 0
    perturbation = np.clip(raw(planes.modifier.astype(np.float64))[0], -bound, bound)
    planes.pictures[:] = levels + perturbation
    if planes.shown is not None:
        view = (planes.pictures.reshape(-1, 3, *levels.shape[1:])[:, list(planes.view.channels)] - mean) / std
        planes.shown[:] = view.reshape(levels.shape)
    value, by_dssim = dssim_planes_numpy(perturbation, source)
    planes.by_dssim[:] = by_dssim * denominator(source.centred.shape) / 3
    of_pictures: F64 = value.reshape(-1, 3).mean(axis=1)
    return of_pictures
