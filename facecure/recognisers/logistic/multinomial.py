"""Multinomial logistic regression for many training sets that share most rows.

minimise  Σᵢ −log softmax(W xᵢ)[yᵢ] + ½ Σ penalty·W²,  the intercept (last column of x and W) not penalised: what
scikit-learn's LogisticRegression minimises at C = 1 (its User Guide, "Logistic regression"). Newton's method, its
systems solved by preconditioned conjugate gradients (Nocedal & Wright, Numerical Optimization, §7.1). Losses and
gradients are float64. Hessian products are float32: that costs precision of a step, which the next one makes good, and
none of the result.

Weights are float64 (K, U, D+1): classes, problems, columns, so that one matrix product serves all problems.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from facecure.recognisers.logistic.blocks import Blocks, Inverses, inverses

STEPS = 60  # of Newton's method; five are usual
_PRODUCTS = 100  # of the Hessian in one step; ten are usual
_ALONE = 0.3  # gradient norm to which one class is fitted before all are


@dataclass(frozen=True, slots=True)
class Problems:
    """U training sets out of N shared rows.

    `features` float64 (N, D+1), the last column 1; `single` the same in float32; `classes` int64 (N,); `counts` float64
    (U, N), 1 where a row is trained on, else 0; `penalty` float64 (U, D+1), 0 for the intercept. `rest` float64 (U, N)
    are logits of one more class, numbered K, whose weights stay as they are.
    """

    features: Tensor
    single: Tensor
    classes: Tensor
    counts: Tensor
    penalty: Tensor
    rest: Tensor | None = None

    def keep(self, which: Tensor) -> Problems:
        """Return some of the problems, by bool (U,)."""
        rest = None if self.rest is None else self.rest[which]
        return replace(self, counts=self.counts[which], penalty=self.penalty[which], rest=rest)


class Point(NamedTuple):
    """Where problems stand: weights, loss (U,), gradient of the weights' shape, how many steps led here, int64 (U,).

    `chances` float32 (K, U, N) are the classes' probabilities, 0 in rows not counted; `residual` (U,) the norm of their
    difference from the labels.
    """

    weights: Tensor
    loss: Tensor
    gradient: Tensor
    steps: Tensor
    chances: Tensor
    residual: Tensor

    def keep(self, which: Tensor) -> Point:
        """Return some of the problems, by bool (U,)."""
        return Point(*(part[:, which] if part.ndim == 3 else part[which] for part in self))


def evaluate(problems: Problems, weights: Tensor, steps: Tensor) -> Point:
    """Return loss and gradient at `weights`."""
    label = problems.classes, slice(None), torch.arange(len(problems.classes))
    logits = _logits(weights, problems.features)
    if problems.rest is not None:
        logits = torch.cat([logits, problems.rest[None]])
    logits -= logits.amax(0)
    loss = -logits[label].T
    total = logits.exp_().sum(0)
    loss = ((loss + total.log()) * problems.counts).sum(1)
    logits *= problems.counts / total
    chances = logits[: len(weights)].to(torch.float32)
    logits[label] -= problems.counts.T
    residual = torch.linalg.vector_norm(logits, dim=(0, 2))
    pull = weights * problems.penalty
    gradient = _pulled(logits[: len(weights)], problems.features).add_(pull)
    return Point(weights, loss + 0.5 * _dot(weights, pull), gradient, steps, chances, residual)


def minimise(
    problems: Problems, start: Tensor, blocks: Blocks | None, settled: Callable[[Problems, Point, Tensor], Tensor]
) -> Tensor:
    """Return weights near each problem's minimum: where `settled` says that they are near enough, or steps are used up.

    `settled` is given the problems under way, where they stand and their numbers, int64 (U,), and returns bool (U,).
    Without `blocks` a single problem has its own, new at each step.
    """
    number, found = torch.arange(start.shape[1]), torch.empty_like(start)
    point = evaluate(problems, start, torch.zeros_like(number))
    while len(number):
        done = settled(problems, point, number) | (point.steps >= STEPS)
        if done.any():
            found[:, number[done]] = point.weights[:, done]
            number, under_way = number[~done], ~done
            problems, point = problems.keep(under_way), point.keep(under_way)
            blocks = None if blocks is None else blocks.keep(under_way)
        if len(number):
            point = _step(problems, point, blocks or Blocks(inverses_at(problems, point), number, None))
    return found


def inverses_at(problems: Problems, point: Point) -> Inverses:
    """Return the inverses of a single problem's blocks."""
    most = max(16, 2 * -(-len(problems.classes) // len(point.weights)))  # a class's own rows, and as many rivals
    return inverses(problems.single, point.chances[:, 0], problems.penalty[:1], most)


def fit_alone(problems: Problems, start: Tensor, shared: Inverses, label: Tensor, first: int) -> tuple[Tensor, Blocks]:
    """Return weights in which class `label` int64 (U,) of each problem is fitted to its rows, and blocks that fit them.

    `start` (K, D+1) and `shared` are the common problem's; rows from `first` on are those that class is trained on. It
    is what moves most: after it, all classes are so near their minimum that Newton's method is at its best.
    """
    logits = start @ problems.features.T
    others = torch.arange(len(start)) != label[:, None]
    alone = replace(
        problems,
        classes=(torch.arange(len(problems.features)) < first).long(),
        rest=torch.stack([torch.logsumexp(logits[some], 0) for some in others]),
    )
    blocks = Blocks(None, torch.zeros_like(label), shared.of(label))
    chances = torch.empty(problems.counts.shape)

    def settled(under_way: Problems, point: Point, number: Tensor) -> Tensor:
        chances[number] = point.chances[0]
        near: Tensor = torch.linalg.vector_norm(point.gradient[0], dim=1) <= _ALONE
        return near

    found = minimise(alone, start[label][None], blocks, settled)
    weights = start[:, None].repeat(1, len(label), 1)
    weights[label, torch.arange(len(label))] = found[0]
    own = inverses(problems.single, chances, problems.penalty, shared.factor.shape[1])
    return weights - weights.mean(0), Blocks(shared, label, own)


def _step(problems: Problems, point: Point, blocks: Blocks) -> Point:
    """Return the next point: Newton's direction, halved until the loss falls (Nocedal & Wright, §3.1)."""
    direction = _direction(problems, point, blocks).to(torch.float64)
    if problems.rest is None:
        direction -= direction.mean(0)  # where all classes move alike nothing changes but the penalty
    slope, length = _dot(point.gradient, direction), torch.ones_like(point.loss)
    while True:
        tried = evaluate(problems, point.weights + length[:, None] * direction, point.steps + 1)
        # near the minimum losses differ by their rounding alone
        far = tried.loss > point.loss + 1e-4 * length * slope + 1e-12 * point.loss.abs()
        if not far.any():
            return tried
        length = torch.where(far, length / 2, length)


def _direction(problems: Problems, point: Point, blocks: Blocks) -> Tensor:
    """Return Newton's direction, float32, by preconditioned conjugate gradients (Nocedal & Wright, algorithm 5.3)."""
    chances, penalty = point.chances, problems.penalty.to(torch.float32)
    residual = -point.gradient.to(torch.float32)
    norm = _dot(residual, residual).sqrt()
    enough = norm * norm.clamp(0.01, 0.3)  # the nearer, the better Newton's model of the loss; float32 has its limits
    found, step = torch.zeros_like(residual), torch.zeros_like(residual)
    before = torch.ones_like(norm)
    for _ in range(_PRODUCTS):
        better = blocks(residual)
        if problems.rest is None:
            better -= better.mean(0)
        product = _dot(residual, better)
        step = torch.addcmul(better, step, (product / before).nan_to_num(0, 0, 0)[:, None])
        spread = _logits(step, problems.single).mul_(chances)
        spread.addcmul_(chances, spread.sum(0), value=-1)
        curved = _pulled(spread, problems.single).addcmul_(step, penalty)
        length = (product / _dot(step, curved)).nan_to_num(0, 0, 0)[:, None]  # a problem at rest has 0/0
        found.addcmul_(step, length)
        residual.addcmul_(curved, length, value=-1)
        if (_dot(residual, residual).sqrt() <= enough).all():
            break
        before = product
    return found


def _logits(weights: Tensor, features: Tensor) -> Tensor:
    """Return (K, U, N)."""
    return (weights.flatten(0, 1) @ features.T).view(*weights.shape[:2], -1)


def _pulled(rows: Tensor, features: Tensor) -> Tensor:
    """Return the sum of features, weighted per class and problem: (K, U, D+1) from (K, U, N)."""
    return (rows.flatten(0, 1) @ features).view(*rows.shape[:2], -1)


def _dot(one: Tensor, other: Tensor) -> Tensor:
    """Return inner products of weights, (U,)."""
    found: Tensor = torch.linalg.vecdot(one, other).sum(0)
    return found
