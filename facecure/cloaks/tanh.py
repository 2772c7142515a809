"""Pictures without bounds: Fawkes optimises in tanh space (specification §4, Parametrisation)."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from facecure.kernels.dssim import CENTRE
from facecure.kernels.fawkes import SPAN


def _float32(*values: float) -> list[float]:
    """Return values as float32 holds them: constants of the native kernels."""
    return [float(np.float32(value)) for value in values]


_LEVEL, _SPAN, _TINY = _float32(1 / 255, SPAN, 2 - SPAN)
_SCALE = float(np.float32(255) / np.float32(_SPAN))
# Lambert's continued fraction of tanh to its seventh term, numerator and denominator by powers of x²
_ABOVE = [float(np.float32(k) / np.float32(135135)) for k in (17325, 378, 1)]
_BELOW = [float(np.float32(k) / np.float32(135135)) for k in (62370, 3150, 28)]


def bend(centred: Tensor, modifier: Tensor) -> tuple[Tensor, Tensor]:
    """Return where a modifier takes sources 0…255, given less 128, in grey levels from them, and the derivative.

    With τ = (s / 255 − ½) · span that is (tanh(artanh τ + m) − τ) · 255 / span. By the addition theorem the difference
    is tanh m · (1 − τ²) / (1 + τ tanh m): a small change keeps its digits, and 0 and 255 their slope. Beyond ±16 a
    modifier changes nothing. The operations, in their order, are those of csrc/fawkes_value.h, for the same bits on the
    CPU: tanh from that of m / 8, within 1e-7.
    """
    half = (centred + (CENTRE - 127.5)) * _LEVEL
    below = (255 - CENTRE - centred) * (2 * _LEVEL) + half * _TINY  # 1 − τ
    above = (centred + CENTRE) * (2 * _LEVEL) - half * _TINY  # 1 + τ
    x = modifier.clamp(-16, 16) / 8
    x2 = x * x
    n = x * (1 + x2 * (_ABOVE[0] + x2 * (_ABOVE[1] + x2 * _ABOVE[2])))
    q = 1 + x2 * (_BELOW[0] + x2 * (_BELOW[1] + x2 * _BELOW[2]))
    up, down = q + n, q - n
    for _ in range(3):
        up, down = up * up, down * down
    q2, n2 = q * q + n * n, 2 * (n * q)
    q4, n4 = q2 * q2 + n2 * n2, 2 * (n2 * q2)
    n8 = 2 * (n4 * q4)
    whole = 2 / (up * above + down * below)  # up : down : n8 = 1 + tanh m : 1 − tanh m : tanh m
    part = above * below * whole * _SCALE
    return n8 * part, up * down * whole * part
