"""How far logits of a multinomial logistic regression are from its minimum's at most: what makes decisions certain."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from facecure.recognisers.logistic.multinomial import Point, Problems

_MOVE = 0.5  # ω below
_norm = torch.linalg.vector_norm


@dataclass(frozen=True, slots=True)
class Bound:
    """How far the difference of two logits can be from the minimum's, for U problems.

    It is √2 · `radius` · (‖x‖ + `offset`) for a row x, standardised by a problem's own `mean` and `scale`, (U, D).
    `exhausted` is true where no step can lower the gradient, since what is left of it is rounding.
    """

    radius: Tensor
    offset: Tensor
    mean: Tensor
    scale: Tensor
    exhausted: Tensor

    def reach(self, features: Tensor) -> Tensor:
        """Return float64 (U, n), for rows float64 (n, D+1)."""
        return math.sqrt(2) * self.radius[:, None] * (_norms(features, self.mean, self.scale) + self.offset[:, None])


def bound(problems: Problems, point: Point) -> Bound:
    """Return how far `point` can be from the minimum.

    Let ΔW and d be the way of weights and intercepts to the minimum, E² = Σ penalty·ΔW², eᵢ = ΔWxᵢ + d how row i's
    logits change, Lᵢ = diag(pᵢ) − pᵢpᵢᵀ, L = ΣLᵢ, g the gradient by weights, divided by √penalty, h that by intercepts.

    On the part of the way on which no two logits of a trained row move by more than ω against each other, chances'
    products p_j p_k keep e^(−2ω) of themselves at least, so the Hessian's mean along it is at least that of penalty and
    φ·L, φ = (1 − e^(−2ω)) / 2ω. The loss is convex, so the gradient's product with the way rises to 0 at the minimum:
        Q² = E² + φ Σ eᵢᵀLᵢeᵢ ≤ ‖g‖E + ‖h‖‖d‖.
    d sums to 0 over classes, as ΔW does, so ‖d‖² ≤ dᵀLd / λ₂, λ₂ the second eigenvalue of L, a graph's Laplacian. As
    2·diag Lᵢ − Lᵢ is diagonally dominant, Σ (ΔWxᵢ)ᵀLᵢΔWxᵢ ≤ σ²E², σ² = 2 max Σᵢ pᵢₖ(1 − pᵢₖ)‖xᵢ‖² over classes k. So
    with d = eᵢ − ΔWxᵢ and Cauchy's inequality
        √λ₂ ‖d‖ ≤ √(Σ eᵢᵀLᵢeᵢ) + σE ≤ √(1/φ + σ²) Q,  or ‖d‖ ≤ κQ with κ = √((1/φ + σ²) / λ₂),  and Q ≤ ‖g‖ + κ‖h‖.
    Two logits of a row x move by √2(‖x‖E + ‖d‖) ≤ √2 Q(‖x‖ + κ) against each other. Where that is less than ω for every
    trained row, the part is the whole way. The gradient's rounding is added to its norm: of n terms' sum, √n roundings
    (Higham & Mary 2019, "A new approach to probabilistic rounding error analysis"), tens of times what is observed.
    """
    x, counts, trained = problems.features[:, :-1], problems.counts, problems.counts.sum(1)
    scale = problems.penalty[:, :-1].sqrt()
    mean = counts @ x / trained[:, None]
    norms = counts * _norms(problems.features, mean, scale)
    intercepts = point.gradient[..., -1]
    weights = (point.gradient[..., :-1] - intercepts[..., None] * mean) / scale

    chances = point.chances.transpose(0, 1)
    together = (chances @ chances.mT).to(torch.float64)  # no term is negative, so float32 keeps every edge's digits
    together.diagonal(dim1=1, dim2=2).zero_()
    connected = torch.linalg.eigvalsh(torch.diag_embed(together.sum(2)) - together)[:, 1].clamp(min=0)
    variance = point.chances * (1 - point.chances)
    spread = 2 * torch.einsum("kun,un->ku", variance, norms.square().to(torch.float32)).amax(0).to(torch.float64)
    kept = (1 - math.exp(-2 * _MOVE)) / (2 * _MOVE)
    offset = 1.01 * ((1 / kept + spread) / connected).sqrt()  # a hundredth is far more than float32 rounds

    # the gradient sums N terms, and each has its logit's error, of D+1 terms, twice
    logit = _norm(point.weights, dim=2).amax(0) * _norm(problems.features, dim=1).amax()
    roundings = len(x) ** 0.5 + 2 * problems.features.shape[1] ** 0.5 * logit
    unit = torch.finfo(torch.float64).eps / 2 * point.residual * roundings
    weights_unit, intercepts_unit = unit * (counts @ x.square() / scale.square()).sum(1).sqrt(), unit * trained.sqrt()
    weights_norm, intercepts_norm = _norm(weights, dim=(0, 2)), _norm(intercepts, dim=0)
    radius = weights_norm + weights_unit + offset * (intercepts_norm + intercepts_unit)
    valid = math.sqrt(2) * radius * (norms.amax(1) + offset) < _MOVE
    exhausted = (weights_norm <= weights_unit) & (intercepts_norm <= intercepts_unit)
    return Bound(torch.where(valid, radius, torch.inf), offset, mean, scale, exhausted)


def _norms(features: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Return float64 (U, n): norms of rows, standardised by each problem's mean and scale."""
    x, weight = features[:, :-1], scale.square().reciprocal()
    squares = weight @ x.square().T - 2 * (mean * weight) @ x.T + (mean.square() * weight).sum(1, keepdim=True)
    return squares.clamp(min=0).sqrt()
