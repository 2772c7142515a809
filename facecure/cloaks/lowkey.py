"""LowKey (docs/protocol.md §6): away from oneself for several extractors, plain and smoothed, by fifty sign steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from facecure.cloaks.cloak import Cloak, Objective, Sources
from facecure.cloaks.lpips import squared
from facecure.cloaks.options import CloakOptions
from facecure.cloaks.steps.lowkey_step import PENALTY, STEP, NativeStep, PlainStep, lowkey_step
from facecure.cloaks.surrogate import Surrogate, common_view, lengths, unit
from facecure.errors import InputError
from facecure.kernels import Views

_START = 0.005  # of the range


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
    distance: Tensor = (unit(embeddings) - references).square().mean(1) / lengths(references)
    return distance


class LowKey(Cloak[LowKeyState]):
    """The sign-step cloak, of faces.

    Of surrogates that share an architecture the last one counts for each of them, as in the released code, whose
    networks overwrite each other's weights (Q6): its ArcFace files never count. A `reference_batch` penalises the first
    picture of a batch alone, as a reproduction of the study does (Q15).
    """

    wants_lpips = True
    for_photos = "lowkey-warp"
    iterations = 50
    distinct: ClassVar[bool] = False  # every surrogate counts, also those that share an architecture
    warp: ClassVar[bool] = False  # the face is seen through `Sources.grids` alone

    def __init__(
        self, surrogates: Sequence[Surrogate], mode: None = None, options: CloakOptions = CloakOptions()
    ) -> None:
        super().__init__(surrogates, mode, options)
        if options.lpips is None or (isinstance(options.lpips, str) and options.lpips != "none"):
            raise InputError(
                "LowKey weighs visibility by LPIPS: name its weights as lpips, such as lpips-alex (fetched with "
                "facecure models fetch lpips-alex) or alex=BACKBONE,HEADS, or leave the term out with lpips none",
                parameter="lpips",
            )
        self.lpips = None if isinstance(options.lpips, str) else options.lpips
        self.first_only = options.reference_batch is not None
        counted = [s if self.distinct else _last_of_its_kind(s, surrogates) for s in surrogates]
        # equal members are computed once and count as often as they occur
        self._shares = [sum(t is s for t in counted) / len(counted) for s in surrogates]

    def start(self, sources: Sources) -> LowKeyState:
        """Return the state before the first iteration: noise by each picture's seed."""
        if self.warp and any(grid is None for grid in sources.grids):
            raise InputError(
                "LowKey's -warp variants go through alignment: every surrogate's spec needs face mode 'align'"
            )
        pictures = sources.pictures / 255
        views = zip(self.surrogates, sources.grids, strict=True)
        return LowKeyState(
            iteration=0,
            step=lowkey_step(pictures + sources.noise(_START, pictures), self._views(sources)),
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
            distance, by = self.lpips.loss_and_grad(pictures[counted], clean[counted], squared, part, white=1)
            value[counted] += distance / len(views)
            gradient[counted] += by / len(views)
        return value, gradient

    def update(self, state: LowKeyState, objective: Objective, better: Tensor) -> None:
        """Step every value by 0.0025 of the range."""
        state.step(*objective.gradients)

    def phase(self, state: LowKeyState) -> str:
        """Return the same always: all iterations are alike."""
        return "any"

    def finish(self, state: LowKeyState) -> Tensor:
        """Return the last pictures."""
        return 255 * state.step.pictures.clamp(0, 1)

    def parameters(self) -> dict[str, Any]:
        """Return iterations, step, members' shares, LPIPS and protocol."""
        return super().parameters() | {
            "step": STEP,
            "shares": {s.name: share for s, share in zip(self.surrogates, self._shares, strict=True)},
            "lpips": None if self.lpips is None else self.lpips.what,
            "first_only": self.first_only,
        }

    @classmethod
    def suffix(cls, mode: str) -> str:
        """Return `_attacked`."""
        return "_attacked"


class LowKey4(LowKey):
    """LowKey with all surrogates, also those that share an architecture: what its paper means."""

    for_photos = "lowkey-4-warp"
    distinct = True


class LowKeyWarp(LowKey):
    """The released variant for whole photos: pictures of any size, in which surrogates see the face aligned."""

    size = None
    for_photos = ""
    warp = True


class LowKey4Warp(LowKeyWarp):
    """The variant for whole photos with all surrogates."""

    distinct = True


def _last_of_its_kind(surrogate: Surrogate, surrogates: Sequence[Surrogate]) -> Surrogate:
    return [other for other in surrogates if other.architecture == surrogate.architecture][-1]
