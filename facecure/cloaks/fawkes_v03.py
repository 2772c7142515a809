"""Fawkes v0.3 (docs/protocol.md §4): towards somebody else, within a visible budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facecure.cloaks.cloak import Objective, Sources
from facecure.cloaks.fawkes import Fawkes, FawkesState, Mode, summed
from facecure.cloaks.frame import Frame, box_in
from facecure.cloaks.steps.adadelta import EPSILON_TF1
from facecure.cloaks.steps.fawkes_step import fawkes_step
from facecure.cloaks.surrogate import common_view, lengths
from facecure.errors import InputError
from facecure.kernels import FawkesMove
from facecure.types import F64

_START = 1e-6
_GREY = 127.5  # what pads a short batch: 0 in tanh space
_OVER = 1.1  # share of the threshold that `corrected` allows, as v1.0 does
_DECAY = 0.8
_MARGIN, _SEVERAL = 0.7, 1.5  # share of a face's box around it; less where there are several faces

MODES = {
    "min": Mode(0.002, 20, 40),
    "low": Mode(0.003, 50, 35),
    "mid": Mode(0.005, 200, 20),
    "high": Mode(0.008, 500, 10),
    "ultra": Mode(0.01, 1000, 8),
}


@dataclass(slots=True)
class V03State(FawkesState):
    """A batch under way: `references` are goals, `least` is the DSSIM of the best."""

    least: Tensor


def remaining(embeddings: Tensor, goals: Tensor) -> Tensor:
    """Return ‖goal − e‖ / ‖goal‖ (N,): §4, Objective."""
    return lengths(goals - embeddings) / lengths(goals)


class FawkesV03(Fawkes[V03State]):
    """The targeted cloak. Visible change beyond the threshold weighs 1e6 at tag v0.3, 1e9 after it (Q2).

    A `reference_batch` of N pads the batch with grey pictures to N and takes the target direction from its means, as
    the released code does (Q5); without it every picture has its own.
    """

    size = 224
    modes = MODES
    aims = True
    usual_penalty = 1e9

    def start(self, sources: Sources) -> V03State:
        """Return the state before the first iteration."""
        if sources.targets is None:
            raise InputError("fawkes-v0.3 aims at other people's faces: hand them over as targets", parameter="targets")
        source = sources.pictures
        modifier = torch.full_like(source, _START)
        view = common_view(self.surrogates, sources.grids, source)
        beyond = source.new_full((len(source),), torch.inf)
        return V03State(
            iteration=0,
            grids=sources.grids,
            references=self._goals(sources, sources.targets),
            step=fawkes_step(source, modifier, source, bound=torch.inf, epsilon=EPSILON_TF1, view=view),
            best=beyond,
            least=beyond.clone(),
        )

    def _goals(self, sources: Sources, targets: Tensor) -> list[Tensor]:
        """Return φ(s) + 2 (mean φ(t) − mean φ(s)) per surrogate; each picture's own means without a reference batch."""
        goals, source, reference_batch = [], sources.pictures, self.options.reference_batch
        target_grids = sources.target_grids or [None] * len(self.surrogates)
        for surrogate, grid, target_grid in zip(self.surrogates, sources.grids, target_grids, strict=True):
            own, aim = surrogate.embed(source, grid), surrogate.embed(targets, target_grid)
            if reference_batch is None:
                goals.append(2 * aim - own)
                continue
            if len(own) > reference_batch:
                raise InputError(f"{len(own)} pictures do not fit a reference batch of {reference_batch}")
            padding = reference_batch - len(own)
            grey = surrogate.embed(torch.full_like(source[:1], _GREY))
            means = [torch.cat([part, grey.expand(padding, -1)]).mean(dim=0) for part in (aim, own)]
            goals.append(own + 2 * (means[0] - means[1]))
        return goals

    def objective(self, state: V03State) -> Objective:
        """Return penalty · max(D − threshold, 0)² + Σ remaining, and the gradient of the latter."""
        step = state.step
        feature, by_feature = summed(self.surrogates, state, remaining)
        penalty, _ = self.mode.penalty(step.visible, self.penalty)
        return Objective(penalty + feature, feature, step.visible.clone(), [by_feature])

    def accept(self, state: V03State, objective: Objective) -> Tensor:
        """Prefer what is nearest to the goal, whatever its DSSIM (Q7); `corrected`: within 1.1 of the threshold.

        The released code judges a picture after each update, which is before the next one: the start never counts.
        """
        if state.iteration == 0:
            return torch.zeros_like(objective.feature, dtype=torch.bool)
        better = (objective.feature > 0) & (objective.feature < state.best)
        if not self.options.released:
            budget = _OVER * self.mode.threshold
            within = objective.visible <= budget
            # nothing within the budget yet: the least visible counts
            better = torch.where(state.least <= budget, better & within, within | (objective.visible < state.least))
        state.best.copy_(torch.where(better, objective.feature, state.best))
        state.least.copy_(torch.where(better, objective.visible, state.least))
        return better

    def update(self, state: V03State, objective: Objective, better: Tensor) -> None:
        """Take an Adadelta step."""
        _, by_visible = self.mode.penalty(objective.visible, self.penalty)
        state.step(
            FawkesMove(objective.gradients[0], by_visible, torch.ones_like(by_visible), better, self.rate(state))
        )

    def rate(self, state: V03State) -> float:
        """Return Adadelta's rate for the next step: a fifth lower after each whole third of the iterations."""
        decays = max(0, state.iteration - 1) // max(1, self.iterations // 3)
        return float(self.mode.rate * _DECAY**decays)

    def phase(self, state: V03State) -> tuple[bool, float]:
        """Return whether this is the start, which never counts, and the rate."""
        return state.iteration == 0, self.rate(state)

    def finish(self, state: V03State) -> Tensor:
        """Return the best pictures, the one after the last update included."""
        state.step.keep(self.accept(state, self.objective(state)))
        return state.step.best.clamp(0, 255)

    def parameters(self) -> dict[str, Any]:
        """Return those of both versions, and the reference batch."""
        return super().parameters() | {"reference_batch": self.options.reference_batch}

    @classmethod
    def suffix(cls, mode: str) -> str:
        """Return `_{mode}_cloaked`."""
        return f"_{mode}_cloaked"

    @classmethod
    def frame(cls, photo: tuple[int, int], box: F64, several: bool) -> Frame:
        """Return the box widened by a margin, padded to a square at the right and the bottom (§4, Merging).

        The tool's detector was MTCNN; a box of another one frames alike.
        """
        extra = (box[2:] - box[:2]) * (_MARGIN / _SEVERAL if several else _MARGIN) / 2
        left, top, right, bottom = box_in(photo, np.concatenate([box[:2] - extra, box[2:] + extra]))
        return Frame(left, top, right, bottom, max(bottom - top, right - left), 0, 0, "black")
