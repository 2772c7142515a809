"""DSSIM of perturbations and its gradient in one pass over the rows, and its twin; used by `cloaks.dssim`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from facecure import _core
from facecure.threads import thread_count
from facecure.types import F32, F64

C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
CENTRE = 128  # taken off the source: variances do not depend on it, rounding does


A = TypeVar("A")  # numpy arrays, or torch tensors on a device


@dataclass(frozen=True)
class DssimSource(Generic[A]):
    """What only the source decides, float32: `centred` (P, H, W) is s − 128, the rest has a value per window.

    `centred_mean` is its weighted mean, `contrast` 2 σs² + c2; `weights` (11,) is the window.
    """

    centred: A
    centred_mean: A
    contrast: A
    weights: A


def dssim_planes(
    perturbation: F32, source: DssimSource[F32], *, threads: int = 0, simd: str | None = None
) -> tuple[F64, F32]:
    """Return D (P,) of each plane source + perturbation, and its gradient float32 (P, H, W).

    `perturbation` float32 (P, H, W), in grey levels, H and W at least 11. D and the formulas: see `cloaks.dssim`. The
    same bits for every instruction set and thread count. Raises `ValueError` where shapes do not fit.
    """
    value, gradient = _core.dssim_planes(
        perturbation=perturbation, source=source, threads=thread_count(threads), simd=simd
    )
    windows = max(1, source.contrast.shape[1] * source.contrast.shape[2])
    gradient /= np.float32(2 * windows)
    return value / (2 * windows), gradient


def dssim_planes_numpy(perturbation: F32 | F64, source: DssimSource[F32]) -> tuple[F64, F64]:
    """Return what `dssim_planes` returns, in float64: every window laid out."""
    window = np.outer(source.weights, source.weights).astype(np.float64)
    d, s = perturbation.astype(np.float64), source.centred.astype(np.float64)

    def mean(values: F64) -> F64:
        windows = np.lib.stride_tricks.sliding_window_view(values, window.shape, axis=(1, 2))
        means: F64 = np.einsum("pyxij,ij->pyx", windows, window)
        return means

    mean_d = mean(d)
    covariance = mean(s * d) - source.centred_mean * mean_d
    variance = mean(d * d) - mean_d**2
    mean_s = source.centred_mean.astype(np.float64) + CENTRE
    luminance = (mean_s + mean_d) ** 2 + mean_s**2 + C1
    contrast = source.contrast + 2 * covariance + variance
    a, b = mean_d**2 / luminance, variance / contrast
    by_variance, by_covariance = (1 - a) * (1 - b) / contrast, -2 * (1 - a) * b / contrast
    by_mean = 2 * (1 - b) * (mean_d - a * (mean_s + mean_d)) / luminance
    by_mean -= 2 * mean_d * by_variance + source.centred_mean * by_covariance
    gradient = np.zeros_like(d)
    rows, columns = mean_d.shape[1:]
    for i, j in np.ndindex(window.shape):
        part = (slice(None), slice(i, i + rows), slice(j, j + columns))
        gradient[part] += window[i, j] * (by_mean + 2 * d[part] * by_variance + s[part] * by_covariance)
    windows = rows * columns
    return (a + b - a * b).sum(axis=(1, 2)) / (2 * windows), gradient / (2 * windows)
