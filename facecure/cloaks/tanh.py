"""Pictures without bounds: Fawkes optimises in tanh space (specification §4, Parametrisation)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from facecure.types import F64

_C = 2 - 1e-6  # so that 0 and 255 stay finite


def to_tanh(pictures: Tensor) -> Tensor:
    """Return arctanh((x / 255 − ½) · c) of grey levels 0…255."""
    return torch.arctanh((pictures / 255 - 0.5) * _C)


def from_tanh(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return the grey levels (tanh(z) / c + ½) · 255 and their derivative with respect to z."""
    bent = torch.tanh(points)
    return (bent / _C + 0.5) * 255, (1 - bent.square()) * (255 / _C)


def to_tanh_numpy(pictures: F64) -> F64:
    """Return what `to_tanh` returns, in float64."""
    points: F64 = np.arctanh((pictures / 255 - 0.5) * _C)
    return points


def from_tanh_numpy(points: F64) -> tuple[F64, F64]:
    """Return what `from_tanh` returns, in float64."""
    return (np.tanh(points) / _C + 0.5) * 255, 255 / _C / np.cosh(points) ** 2
