"""Structural dissimilarity, value and gradient (docs/protocol.md §2: `tf.image.ssim` with its defaults).

D = (1 − SSIM) / 2, SSIM the mean over valid 11×11 windows (σ 1.5) and channels of

    l · cs,   l = (2 μa μs + c1) / (μa² + μs² + c1),   cs = (2 σas + c2) / (σa² + σs² + c2).

With the perturbation d = a − s that is (1 − A)(1 − B), A = μd² / (μa² + μs² + c1), B = σd² / (σa² + σs² + c2): no
difference of nearly equal numbers, so float32 keeps its digits where cloaks are small, and what only the source decides
is computed once.
"""

from __future__ import annotations

import warnings
from dataclasses import fields
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from facecure.cloaks.steps.gaussian import along, valid, valid_transposed, weights
from facecure.errors import InputError
from facecure.kernels import DssimSource, dssim_planes
from facecure.kernels.cloak_steps_cuda import DssimSums, dssim_planes_cuda
from facecure.kernels.device import refusal
from facecure.kernels.dssim import C1, C2, CENTRE
from facecure.kernels.fawkes import denominator
from facecure.types import F32, F64

WINDOW = weights(11, 1.5)


def native_device(values: Tensor) -> Literal["cpu", "cuda"] | None:
    """Return whose native kernels take these values: float32 on the CPU, or on a CUDA device that the extension uses.

    Warns where it does not use theirs: torch then computes what the kernels would.
    """
    if values.dtype != torch.float32 or values.device.type not in ("cpu", "cuda"):
        return None
    if values.device.type == "cpu":
        return "cpu"
    if reason := refusal(values.device.index):
        warnings.warn(f"cloaks run without their CUDA kernels on {values.device}: {reason}", stacklevel=2)
        return None
    return "cuda"


def arrays(job: Any) -> Any:
    """Return a dataclass with its tensors as numpy arrays, which share their memory."""
    values = (getattr(job, field.name) for field in fields(job))
    return type(job)(*(value.numpy() if isinstance(value, Tensor) else value for value in values))


class Dssim:
    """DSSIM from fixed sources, (N, 3, H, W) RGB 0…255, H and W at least 11.

    `centred` are the sources less 128. float32 runs natively where `native_device` says so, anything else in torch.
    """

    def __init__(self, sources: Tensor) -> None:
        if min(sources.shape[-2:]) < len(WINDOW):
            raise InputError(f"DSSIM needs pictures of at least 11×11 pixels, not {tuple(sources.shape[-2:])}")
        centred = sources.double() - CENTRE
        mean = valid(centred, WINDOW)
        variance = valid(centred.square(), WINDOW) - mean.square()
        self.centred, self._centred_mean = centred.to(sources), mean.to(sources)
        self._contrast = (2 * variance + C2).to(sources)
        self._native = native_device(sources)

    def planes(self) -> DssimSource[Tensor]:
        """Return what the native kernels know of the sources, on their device."""
        maps = [m.flatten(0, 1).contiguous() for m in (self.centred, self._centred_mean, self._contrast)]
        return DssimSource(maps[0], maps[1], maps[2], maps[0].new_tensor(WINDOW))

    @cached_property
    def _on_cpu(self) -> DssimSource[F32]:
        found: DssimSource[F32] = arrays(self.planes())
        return found

    @cached_property
    def _on_cuda(self) -> tuple[DssimSource[Tensor], DssimSums]:
        source = self.planes()
        return source, DssimSums(source.centred)

    def __call__(self, perturbations: Tensor) -> tuple[Tensor, Tensor]:
        """Return D (N,) of the pictures source + perturbation and its gradient (N, 3, H, W).

        `perturbations` (N, 3, H, W) are differences in grey levels.
        """
        if self._native is None:
            return self.in_torch(perturbations)
        planes = perturbations.detach().flatten(0, 1).contiguous()
        if self._native == "cuda":
            value, gradient = dssim_planes_cuda(planes, *self._on_cuda)
        else:
            values, gradients = dssim_planes(planes.numpy(), self._on_cpu, threads=torch.get_num_threads())
            value, gradient = torch.from_numpy(values), torch.from_numpy(gradients)
        return value.reshape(-1, 3).mean(dim=1).float(), gradient.reshape(perturbations.shape) / 3

    def in_torch(self, perturbations: Tensor) -> tuple[Tensor, Tensor]:
        """Return what a call returns, in torch whatever the device."""
        total, gradient = self.sums(perturbations)
        below = denominator(perturbations.shape)
        return (total / below).to(perturbations), gradient / below

    def sums(self, perturbations: Tensor) -> tuple[Tensor, Tensor]:
        """Return Σ A + B − AB over a picture's windows, float64 (N,), and the gradient of that (N, 3, H, W).

        The operations, in their order, are those of the native kernels, for the same bits on the CPU.
        """
        d, s = perturbations, self.centred
        mean_d, mean_sd, mean_dd = (along(along(v, WINDOW, -2), WINDOW, -1) for v in (d, d * s, d * d))
        covariance = mean_sd - self._centred_mean * mean_d
        variance = mean_dd - mean_d * mean_d
        mean = self._centred_mean + CENTRE
        mean_a = mean + mean_d
        luminance = mean_a * mean_a + mean * mean + C1
        contrast = self._contrast + 2 * covariance + variance
        both = 1 / (luminance * contrast)
        per_luminance, per_contrast = both * contrast, both * luminance
        a, b = mean_d * mean_d * per_luminance, variance * per_contrast
        # dA = (2 μd − 2 A μa) / luminance · dμd;  dB = ((1 − B) dσd² − 2 B dσsd) / contrast
        by_variance = (1 - a) * (1 - b) * per_contrast
        by_covariance = -2 * (1 - a) * b * per_contrast
        by_mean = 2 * (1 - b) * (mean_d - a * mean_a) * per_luminance - 2 * mean_d * by_variance
        by_mean -= self._centred_mean * by_covariance
        spread = [valid_transposed(values, WINDOW) for values in (by_mean, by_variance, by_covariance)]
        gradient = spread[0] + 2 * d * spread[1] + s * spread[2]
        return (a + b - a * b).double().sum(dim=(1, 2, 3)), gradient


def dssim_numpy(pictures: F64, sources: F64) -> tuple[F64, F64]:
    """Return D (N,) and its gradient with respect to `pictures`, both (N, 3, H, W) in float64, by the formulas above.

    The definition: windows are laid out, nothing is rearranged.
    """
    window = np.outer(WINDOW, WINDOW)

    def mean(values: F64) -> F64:
        windows = np.lib.stride_tricks.sliding_window_view(values, window.shape, axis=(2, 3))
        means: F64 = np.einsum("nchwij,ij->nchw", windows, window)
        return means

    a, s = pictures, sources
    mean_a, mean_s = mean(a), mean(s)
    square_a, square_s, product = mean(a * a), mean(s * s), mean(a * s)
    below_l = mean_a**2 + mean_s**2 + C1
    below_c = square_a + square_s - mean_a**2 - mean_s**2 + C2
    luminance = (2 * mean_a * mean_s + C1) / below_l
    contrast = (2 * (product - mean_a * mean_s) + C2) / below_c
    count = luminance[0].size
    # d(l·cs): through μa, E[a²] and E[as]
    by_mean = contrast * (2 * mean_s - 2 * mean_a * luminance) / below_l
    by_mean += luminance * (-2 * mean_s + 2 * mean_a * contrast) / below_c
    by_square, by_product = -luminance * contrast / below_c, 2 * luminance / below_c
    gradient = np.zeros_like(a)
    rows, columns = luminance.shape[2:]
    for i in range(len(WINDOW)):
        for j in range(len(WINDOW)):
            part = (slice(None), slice(None), slice(i, i + rows), slice(j, j + columns))
            gradient[part] += window[i, j] * (by_mean + 2 * a[part] * by_square + s[part] * by_product)
    return (1 - (luminance * contrast).mean(axis=(1, 2, 3))) / 2, -gradient / (2 * count)
