"""Weights that depend on name and shape alone, so that a reference and ours can be given the same without a file."""

from __future__ import annotations

import zlib
from math import prod

import numpy as np


def filled(name: str, shape: tuple[int, ...], *, inputs_first: bool = False) -> np.ndarray:
    """Return float32 values that keep activations of moderate size; `inputs_first` as in Keras."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if len(shape) >= 2:
        fan_in = prod(shape[:-1]) if inputs_first else prod(shape[1:])
        return rng.standard_normal(shape, np.float32) * np.float32(fan_in**-0.5)
    if name.endswith(("bias", "beta", "running_mean", "moving_mean")):
        return rng.standard_normal(shape, np.float32) * np.float32(0.1)
    return np.asarray(0.5 + rng.random(shape, np.float32), np.float32)  # scales, slopes and variances


def picture(height: int, width: int) -> np.ndarray:
    """Return two normalised faces, float32 (2, 3, H, W)."""
    return np.random.default_rng(0).standard_normal((2, 3, height, width), np.float32)
