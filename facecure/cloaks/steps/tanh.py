"""Pictures without bounds: Fawkes optimises in tanh space (docs/protocol.md §4, Parametrisation)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from facecure.kernels.dssim import CENTRE
from facecure.kernels.fawkes import SPAN


def _float32(*values: float) -> list[float]:
    """Return values as float32 holds them: constants of the native kernels."""
    return [float(np.float32(value)) for value in values]


_SCALE, _BY_SCALE, _TINY, _TO_WHOLE, _BY_WHOLE, _ABOVE, _BELOW = _float32(
    255 / SPAN, SPAN / 255, 5e-7, 2 / np.log(2), np.log(2) / 2, 1 / 15, 0.4
)


def bend(centred: Tensor, modifier: Tensor) -> tuple[Tensor, Tensor]:
    """Return where a modifier takes sources 0…255, given less 128, in grey levels from them, and the derivative.

    With τ = (s / 255 − ½) · span that is (tanh(artanh τ + m) − τ) · 255 / span. By the addition theorem the difference
    is tanh m · (1 − τ²) / (1 + τ tanh m): a small change keeps its digits, and 0 and 255 their slope. Beyond ±16 a
    modifier changes nothing. The operations, in their order, are those of csrc/fawkes_step/value.h, for the same bits
    on the CPU: e^2m = 2^k (q + n) / (q − n), where n / q is Padé's tanh of m − k ln 2 / 2, within 2e-8.
    """
    above = (centred + CENTRE) * _BY_SCALE + _TINY  # 1 + τ
    below = (255 - CENTRE - centred) * _BY_SCALE + _TINY  # 1 − τ
    x = modifier.clamp(-16, 16)
    k = (x * _TO_WHOLE).round()
    r = x - k * _BY_WHOLE
    r2 = r * r
    n, q, power = r * (1 + r2 * _ABOVE), 1 + r2 * _BELOW, torch.ldexp(torch.ones_like(k), k)
    up, down = q + n, q - n
    half = (power * 0.5 - 0.5) * up + n  # power up : down : half = 1 + tanh m : 1 − tanh m : tanh m
    whole = 2 / (power * above * up + down * below)
    part = above * below * _SCALE * whole
    return half * part, power * up * down * whole * part
