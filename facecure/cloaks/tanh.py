"""Pictures without bounds: Fawkes optimises in tanh space (specification §4, Parametrisation)."""

from __future__ import annotations

from torch import Tensor

from facecure.kernels.fawkes import SPAN


def bend(sources: Tensor, modifier: Tensor) -> tuple[Tensor, Tensor]:
    """Return where a modifier takes sources 0…255, in grey levels from them, and the derivative.

    With τ = (s / 255 − ½) · span that is (tanh(artanh τ + m) − τ) · 255 / span. By the addition theorem the difference
    is sinh m · (1 − τ²) / (cosh m + τ sinh m): a small change keeps its digits, and 0 and 255 their slope. Beyond ±16
    a modifier changes nothing.
    """
    half = (sources - 127.5) / 255
    below = 2 * ((255 - sources) / 255) + (2 - SPAN) * half  # 1 − τ
    above = 2 * (sources / 255) - (2 - SPAN) * half  # 1 + τ
    limited = modifier.clamp(-16, 16)
    whole = 2 / (limited.exp() * above + (-limited).exp() * below)
    part = above * below * whole * (255 / SPAN)
    return limited.sinh() * part, whole * part
