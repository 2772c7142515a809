"""Fawkes v0.3 (docs/protocol.md §4): towards somebody else, within a visible budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from facecure.cloaks.fawkes import FawkesState, Mode, summed
from facecure.cloaks.loop import Objective, Sources
from facecure.cloaks.steps.adadelta import EPSILON_TF1
from facecure.cloaks.steps.fawkes_step import fawkes_step
from facecure.cloaks.surrogate import Surrogate, common_view, lengths
from facecure.errors import InputError
from facecure.kernels import FawkesMove
from facecure.types import ProtocolName

_START = 1e-6
_GREY = 127.5  # what pads a short batch: 0 in tanh space
_OVER = 1.1  # share of the threshold that `corrected` allows, as v1.0 does
_DECAY = 0.8

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


class FawkesV03:
    """The targeted cloak. `penalty` weighs visible change beyond the threshold: 1e6 at tag v0.3, 1e9 after it (Q2).

    `reference_batch` N pads the batch with grey pictures to N and takes the target direction from its means, as the
    released code does (Q5); without it every picture has its own.
    """

    size: int | None = 224

    def __init__(
        self,
        surrogates: Sequence[Surrogate],
        mode: Mode,
        protocol: ProtocolName = "corrected",
        *,
        penalty: float = 1e9,
        reference_batch: int | None = None,
    ) -> None:
        self.name, self.surrogates, self.mode, self.protocol = "fawkes-v0.3", surrogates, mode, protocol
        self.iterations, self.penalty, self.reference_batch = mode.iterations, penalty, reference_batch

    def start(self, sources: Sources) -> V03State:
        """Return the state before the first iteration."""
        if sources.targets is None:
            raise InputError("fawkes-v0.3 aims at other people's faces: name a folder of them with --targets DIR")
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
        goals, source = [], sources.pictures
        target_grids = sources.target_grids or [None] * len(self.surrogates)
        for surrogate, grid, target_grid in zip(self.surrogates, sources.grids, target_grids, strict=True):
            own, aim = surrogate.embed(source, grid), surrogate.embed(targets, target_grid)
            if self.reference_batch is None:
                goals.append(2 * aim - own)
                continue
            if len(own) > self.reference_batch:
                raise InputError(f"{len(own)} pictures do not fit a reference batch of {self.reference_batch}")
            padding = self.reference_batch - len(own)
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

    def accept(self, state: V03State, found: Objective) -> Tensor:
        """Prefer what is nearest to the goal, whatever its DSSIM (Q7); `corrected`: within 1.1 of the threshold.

        The released code judges a picture after each update, which is before the next one: the start never counts.
        """
        if state.iteration == 0:
            return torch.zeros_like(found.feature, dtype=torch.bool)
        better = (found.feature > 0) & (found.feature < state.best)
        if self.protocol == "corrected":
            budget = _OVER * self.mode.threshold
            within = found.visible <= budget
            # nothing within the budget yet: the least visible counts
            better = torch.where(state.least <= budget, better & within, within | (found.visible < state.least))
        state.best.copy_(torch.where(better, found.feature, state.best))
        state.least.copy_(torch.where(better, found.visible, state.least))
        return better

    def update(self, state: V03State, found: Objective, better: Tensor) -> None:
        """Take an Adadelta step."""
        _, by_visible = self.mode.penalty(found.visible, self.penalty)
        state.step(FawkesMove(found.gradients[0], by_visible, torch.ones_like(by_visible), better, self.rate(state)))

    def rate(self, state: V03State) -> float:
        """Return Adadelta's rate for the next step: a fifth lower after each whole third of the iterations."""
        decays = max(0, state.iteration - 1) // max(1, self.iterations // 3)
        return float(self.mode.rate * _DECAY**decays)

    def phase(self, state: V03State) -> tuple[bool, float]:
        """Return whether this is the start, which never counts, and the rate."""
        return state.iteration == 0, self.rate(state)

    def weight(self, state: V03State) -> None:
        """Return None: nothing is adapted."""

    def finish(self, state: V03State) -> Tensor:
        """Return the best pictures, the one after the last update included."""
        state.step.keep(self.accept(state, self.objective(state)))
        return state.step.best.clamp(0, 255)

    def parameters(self) -> dict[str, Any]:
        """Return threshold, iterations, rate, penalty, reference batch and protocol."""
        mode = self.mode
        return {
            "threshold": mode.threshold, "iterations": mode.iterations, "rate": mode.rate, "penalty": self.penalty,
            "reference_batch": self.reference_batch, "protocol": self.protocol,
        }  # fmt: skip
