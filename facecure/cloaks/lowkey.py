"""LowKey (docs/protocol.md §6): away from oneself for several extractors, plain and smoothed, by fifty sign steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from facecure.cloaks.loop import Objective, Sources, noise
from facecure.cloaks.lpips import Lpips, squared
from facecure.cloaks.steps.lowkey_step import PENALTY, STEP, NativeStep, PlainStep, lowkey_step
from facecure.cloaks.surrogate import Surrogate, common_view, lengths, unit
from facecure.errors import InputError
from facecure.kernels import Views
from facecure.types import ProtocolName

_START, _ITERATIONS = 0.005, 50


@dataclass(slots=True)
class LowKeyState:
    """A batch under way: `step` holds the pictures in 0…1, `references` are clean embeddings, `clean` LPIPS' own."""

    iteration: int
    step: PlainStep | NativeStep
    grids: Sequence[Tensor | None]
    references: Sequence[Tensor]
    clean: Sequence[Tensor]


def spread(embeddings: Tensor, references: Tensor) -> Tensor:
    """Return mean over dimensions of (e/‖e‖ − r)², over ‖r‖ (N,): §6, Objective."""
    found: Tensor = (unit(embeddings) - references).square().mean(1) / lengths(references)
    return found


class LowKey:
    """The sign-step cloak.

    Of surrogates that share an architecture `distinct=False` uses the last one for each of them, as the released code
    does, whose networks overwrite each other's weights (Q6): its ArcFace files never count. `warp` is the released
    variant for whole photos: pictures of any size, seen through `Sources.grids`. `lpips` None leaves the perceptual
    term out. `first_only` penalises the first picture of a batch alone, as a reproduction of the study does (Q15).
    """

    size: int | None
    iterations = _ITERATIONS

    def __init__(
        self,
        surrogates: Sequence[Surrogate],
        protocol: ProtocolName = "corrected",
        *,
        lpips: Lpips | None,
        distinct: bool = False,
        warp: bool = False,
        first_only: bool = False,
    ) -> None:
        self.name = "lowkey" + ("-4" if distinct else "") + ("-warp" if warp else "")
        self.surrogates, self.protocol, self.lpips = surrogates, protocol, lpips
        self.size, self.warp, self.first_only = None if warp else 112, warp, first_only
        used = [s if distinct else [t for t in surrogates if t.architecture == s.architecture][-1] for s in surrogates]
        # equal members are computed once and count as often as they occur
        self._shares = [sum(t is s for t in used) / len(used) for s in surrogates]

    def start(self, sources: Sources) -> LowKeyState:
        """Return the state before the first iteration: noise by each picture's seed."""
        if self.warp and any(grid is None for grid in sources.grids):
            raise InputError(f"{self.name} goes through alignment: every surrogate's spec needs face mode 'align'")
        pictures = sources.pictures / 255
        views = zip(self.surrogates, sources.grids, strict=True)
        return LowKeyState(
            iteration=0,
            step=lowkey_step(pictures + noise(sources.seeds, pictures, _START), self._views(sources)),
            grids=sources.grids,
            references=[unit(s.embed(pictures, grid, mirror=True, white=1)) for s, grid in views],
            clean=[self.lpips.embed(pictures, grid, white=1) for grid in self._seen(sources.grids)]
            if self.lpips
            else [],
        )

    def _views(self, sources: Sources) -> Views:
        """Return how the step is to show pictures: as the networks take them where all take them alike."""
        used = [number for number, share in enumerate(self._shares) if share]
        models, grids = [self.surrogates[n] for n in used], [sources.grids[n] for n in used]
        view = common_view(models, grids, sources.pictures, white=1)
        return Views() if view is None else Views(view.mean, view.std, view.channels, mirrored=True)

    def _seen(self, grids: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Return how LPIPS sees a picture: whole and, with `warp`, also as the first surrogate does."""
        return [None, grids[0]] if self.warp else [None]

    def objective(self, state: LowKeyState) -> Objective:
        """Return 0.05 · LPIPS − mean spread over surrogates, plain and smoothed, and both gradients."""
        step = state.step
        feature, by_view = step.pictures.new_zeros(len(step.pictures)), torch.zeros_like(step.views)
        for surrogate, share, reference, grid in zip(
            self.surrogates, self._shares, state.references, state.grids, strict=True
        ):
            if share == 0:
                continue
            if step.kind.mirrored:
                value, gradient = surrogate.loss_and_grad_of_views(step.views, reference, spread, mirrored=True)
            else:
                both = [surrogate.loss_and_grad(v, reference, spread, grid, mirror=True, white=1) for v in step.views]
                value, gradient = (torch.stack(parts) for parts in zip(*both, strict=True))
            feature.add_(value.sum(0), alpha=share / 2)
            by_view.add_(gradient, alpha=share / 2)
        visible, by_visible = self._visible(state, step.pictures)
        return Objective(PENALTY * visible - feature, feature, visible, [by_view, by_visible])

    def _visible(self, state: LowKeyState, pictures: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = pictures.new_zeros(len(pictures)), torch.zeros_like(pictures)
        if self.lpips is None:
            return value, gradient
        counted = slice(0, 1) if self.first_only else slice(None)
        views = self._seen(state.grids)
        for grid, clean in zip(views, state.clean, strict=True):
            part = None if grid is None else grid[counted]
            found, by = self.lpips.loss_and_grad(pictures[counted], clean[counted], squared, part, white=1)
            value[counted] += found / len(views)
            gradient[counted] += by / len(views)
        return value, gradient

    def accept(self, state: LowKeyState, found: Objective) -> Tensor:
        """Return True: the last picture is the one that counts."""
        return torch.ones_like(found.feature, dtype=torch.bool)

    def update(self, state: LowKeyState, found: Objective, better: Tensor) -> None:
        """Step every value by 0.0025 of the range."""
        state.step(*found.gradients)

    def phase(self, state: LowKeyState) -> str:
        """Return the same always: all iterations are alike."""
        return "any"

    def weight(self, state: LowKeyState) -> None:
        """Return None: nothing is adapted."""

    def finish(self, state: LowKeyState) -> Tensor:
        """Return the last pictures."""
        return 255 * state.step.pictures.clamp(0, 1)

    def parameters(self) -> dict[str, Any]:
        """Return members' shares, LPIPS and protocol."""
        return {
            "iterations": self.iterations,
            "step": STEP,
            "shares": {s.name: share for s, share in zip(self.surrogates, self._shares, strict=True)},
            "lpips": None if self.lpips is None else self.lpips.what,
            "first_only": self.first_only,
            "protocol": self.protocol,
        }
