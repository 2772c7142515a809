"""A preconditioner for multinomial logistic regression: the inverses of its Hessian's blocks of single classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Inverses(NamedTuple):
    """Inverses diag(scale) − factorᵀ·factor of B symmetric matrices: float32 (B, D+1) and (B, m, D+1)."""

    scale: Tensor
    factor: Tensor

    def of(self, which: Tensor) -> Inverses:
        """Return some of them, by bool (B,) or by number."""
        return Inverses(self.scale[which], self.factor[which])

    def times(self, rows: Tensor) -> Tensor:
        """Return their products with rows (B, n, D+1)."""
        return rows * self.scale[:, None] - torch.bmm(torch.bmm(rows, self.factor.mT), self.factor)


@dataclass(frozen=True, slots=True)
class Blocks:
    """The preconditioner of U problems.

    `shared` inverses, one per class, serve all problems but for class `label` int64 (U,) of each, which has its `own`.
    """

    shared: Inverses | None
    label: Tensor
    own: Inverses | None

    def keep(self, which: Tensor) -> Blocks:
        """Return that of some problems, by bool (U,)."""
        return Blocks(self.shared, self.label[which], None if self.own is None else self.own.of(which))

    def __call__(self, residual: Tensor) -> Tensor:
        """Return the preconditioned residual, float32 (K, U, D+1)."""
        found = residual.clone() if self.shared is None else self.shared.times(residual)
        if self.own is not None:
            at = self.label, torch.arange(len(self.label))
            found[at] = self.own.times(residual[at][:, None])[:, 0]
        return found


def inverses(features: Tensor, chances: Tensor, penalty: Tensor, most: int) -> Inverses:
    """Return approximate inverses of penalty + Σ p(1 − p)·xxᵀ for B classes.

    `features` float32 (N, D+1) are the rows x, `chances` float32 (B, N) the classes' p, `penalty` (B or 1, D+1). The
    `most` rows of largest p(1 − p) count in full and the others with their diagonal; the inverse is Woodbury's.
    """
    variance = chances * (1 - chances)
    largest, rows = variance.topk(min(most, len(features)), dim=1)
    diagonal = penalty.to(torch.float32) + variance.scatter(1, rows, 0) @ features.square()
    diagonal[:, -1] += 1e-3  # the intercept may have nothing else
    scale = diagonal.reciprocal()
    full = features[rows] * largest.sqrt()[..., None]
    scaled = full * scale[:, None]
    inner = torch.baddbmm(torch.eye(full.shape[1]), scaled, full.mT)
    return Inverses(scale, torch.linalg.solve_triangular(torch.linalg.cholesky(inner), scaled, upper=False))
