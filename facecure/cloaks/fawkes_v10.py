"""Fawkes v1.0 (docs/protocol.md §5): away from oneself, within a visible budget, without a target."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from facecure.cloaks.cloak import Objective, Sources
from facecure.cloaks.fawkes import Fawkes, FawkesState, Mode, summed
from facecure.cloaks.frame import Frame, centred
from facecure.cloaks.steps.adadelta import EPSILON_KERAS
from facecure.cloaks.steps.fawkes_step import each, fawkes_step
from facecure.cloaks.surrogate import common_view, lengths, unit
from facecure.kernels import FawkesMove
from facecure.types import F64

_BOUND = 15.0  # grey levels
_BORDER = 30  # pixels by which the square cut out of a photo is larger than the face's box
_START = 1e-4
_KICK = 0.01
_CEILING = 129.0  # of const_diff, and 1 / 129 its floor
_ENOUGH, _TOO_MUCH = 0.9, 1.1  # shares of the threshold
_WEAK, _LAST_BUDGET = 0.3, 0.015  # when the last picture is put out instead of the best

# the table of HEAD = PyPI 1.0.4 from 3 May 2021 on, then the states before it
MODES = {
    "low": Mode(0.004, 40, 25),
    "mid": Mode(0.012, 75, 20),
    "high": Mode(0.017, 150, 15),
    "low-2021-03-07": Mode(0.005, 25, 25),
    "mid-2021-03-07": Mode(0.01, 50, 20),
    "high-2021-03-07": Mode(0.015, 100, 15),
    "low-2021-04-21": Mode(0.0045, 25, 25),
    "mid-2021-04-21": Mode(0.012, 50, 20),
    "high-2021-04-21": Mode(0.017, 150, 15),
    "low-2021-04-30": Mode(0.005, 30, 25),
    "mid-2021-04-30": Mode(0.012, 75, 20),
}


@dataclass(slots=True)
class V10State(FawkesState):
    """A batch under way: `weight` is const_diff, `side` the controller's state, `last` the newest objective.

    `side` is 1 after too little visible change, −1 after too much, 0 between; the best pictures are black at the start.
    """

    weight: Tensor
    side: Tensor
    last: Objective | None = None


def shift(embeddings: Tensor, references: Tensor) -> Tensor:
    """Return ‖e/‖e‖ − r‖² / ‖r‖ (N,): §5, step 2."""
    distance: Tensor = (unit(embeddings) - references).square().sum(1) / lengths(references)
    return distance


class FawkesV10(Fawkes[V10State]):
    """The untargeted cloak. The weight of visible change beyond the threshold is that of the tool's command line."""

    modes = MODES
    usual_penalty = 1e6

    def start(self, sources: Sources) -> V10State:
        """Return the state before the first iteration: a little noise, by each picture's seed."""
        source = sources.pictures
        ones = source.new_ones(len(source))
        seen = zip(self.surrogates, sources.grids, strict=True)
        modifier = sources.noise(_START, source)
        view = common_view(self.surrogates, sources.grids, source)
        return V10State(
            iteration=0,
            grids=sources.grids,
            references=[unit(s.embed(source, grid)) for s, grid in seen],
            step=fawkes_step(
                source, modifier, torch.zeros_like(source), bound=_BOUND, epsilon=EPSILON_KERAS, view=view
            ),
            best=torch.zeros_like(ones),
            weight=ones.clone(),
            side=ones.clone(),
        )

    def objective(self, state: V10State) -> Objective:
        """Return penalty · max(D − threshold, 0)² − weight · Σ shift, and the gradient of Σ shift."""
        step = state.step
        feature, by_feature = summed(self.surrogates, state, shift)
        penalty, _ = self.mode.penalty(step.visible, self.penalty)
        return Objective(penalty - state.weight * feature, feature, step.visible.clone(), [by_feature])

    def accept(self, state: V10State, objective: Objective) -> Tensor:
        """Prefer pictures within 1.1 of the threshold that move further than the best so far."""
        better = (objective.visible <= _TOO_MUCH * self.mode.threshold) & (objective.feature > state.best)
        state.best.copy_(torch.where(better, objective.feature, state.best))
        state.last = objective
        return better

    def update(self, state: V10State, objective: Objective, better: Tensor) -> None:
        """Take an Adadelta step; after the first one a kick in tanh space leaves the flat start; adapt the weights.

        The last pictures stay: what would come after them is never judged.
        """
        if state.iteration == self.iterations - 1:
            state.step.keep(better)
        else:
            first = state.iteration == 0
            state.step(
                FawkesMove(
                    objective.gradients[0],
                    dssim_weight=self.mode.penalty(objective.visible, self.penalty)[1],
                    feature_weight=-state.weight,
                    better=better,
                    rate=self.mode.rate,
                    kick=_KICK if first else 0.0,
                    # Q10: the kick makes a new variable, whose accumulators start at zero
                    forget=first and self.options.released,
                    frozen=self.options.released,  # Q9
                )
            )
        self._adapt(state, objective)

    def _adapt(self, state: V10State, objective: Objective) -> None:
        """Double or halve const_diff while the change stays too faint or too visible, else set it to 1."""
        low = (objective.visible <= _ENOUGH * self.mode.threshold) & (state.weight <= _CEILING)
        high = ~low & (objective.visible >= _TOO_MUCH * self.mode.threshold) & (state.weight >= 1 / _CEILING)
        one = torch.ones_like(state.weight)
        up = torch.where(state.side == -1, one, 2 * state.weight)
        down = torch.where(state.side == 1, one, state.weight / 2)
        state.weight.copy_(torch.where(low, up, torch.where(high, down, one)))
        state.side.copy_(low.to(one) - high.to(one))

    def phase(self, state: V10State) -> str:
        """Return "first", with its kick, "last", which stays, or "between"."""
        return {0: "first", self.iterations - 1: "last"}.get(state.iteration, "between")

    def weight(self, state: V10State) -> Tensor:
        """Return const_diff (N,)."""
        return state.weight.clone()

    def finish(self, state: V10State) -> Tensor:
        """Return the best pictures, or the last one where that is weak and the last within a fixed budget."""
        assert state.last is not None
        last = state.last
        instead = (state.best < _WEAK) & (last.visible < _LAST_BUDGET) & (last.feature > state.best)
        return torch.where(each(instead), state.step.pictures, state.step.best).clamp(0, 255)

    @classmethod
    def suffix(cls, mode: str) -> str:
        """Return `_cloaked`, or `_{mode}_cloaked` for the states of April 2021."""
        return f"_{mode.split('-')[0]}_cloaked" if "2021-04" in mode else "_cloaked"

    @classmethod
    def frame(cls, photo: tuple[int, int], box: F64, several: bool) -> Frame:
        """Return the box in the middle of a square 30 pixels larger, of the box's mean colour (§5, Merging).

        The tool's detector was MTCNN; a box of another one frames alike.
        """
        return centred(photo, box, _BORDER)
