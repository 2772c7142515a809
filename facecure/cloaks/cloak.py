"""The base class of all cloaks: four hooks, the facts about the cloak, and a default for everything else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from facecure.cloaks.frame import Frame, centred
from facecure.cloaks.options import CloakOptions
from facecure.cloaks.surrogate import Surrogate
from facecure.errors import InputError
from facecure.types import F64


@dataclass(frozen=True, slots=True)
class Sources:
    """What a batch is cloaked from.

    `pictures` float32 (N, 3, H, W) RGB 0…255 are the clean faces in the cloak's own size; `grids`, one per surrogate,
    where its input lies in them (`Surrogate.grid`), or None where it sees the whole face; `seeds` one per picture;
    `targets`, for a cloak that aims, other people's faces of the same shape, and `target_grids` theirs.
    """

    pictures: Tensor
    grids: Sequence[Tensor | None]
    seeds: Sequence[int]
    targets: Tensor | None = None
    target_grids: Sequence[Tensor | None] = ()

    def noise(self, width: float, like: Tensor) -> Tensor:
        """Return uniform values in ±width, shaped as `like` (N, …): each picture's drawn by its own seed."""
        drawn = [np.random.default_rng(seed).uniform(-width, width, like.shape[1:]) for seed in self.seeds]
        return like.new_tensor(np.array(drawn, np.float32).reshape(like.shape))


@dataclass(slots=True)
class Objective:
    """What the networks say of the pictures of one iteration: values (N,), and gradients with respect to pictures.

    `feature` is the cloak's own distance of embeddings, `visible` the change one sees: DSSIM, or LPIPS for LowKey.
    `gradients` (N, 3, H, W) are the cloak's own, for its `update`.
    """

    loss: Tensor
    feature: Tensor
    visible: Tensor
    gradients: Sequence[Tensor]


class State(Protocol):
    """What a cloak carries from one iteration to the next: `iteration` done so far, the rest its own.

    Tensors are changed in place: a CUDA graph knows them by their address.
    """

    iteration: int


S = TypeVar("S", bound=State)


class Cloak(ABC, Generic[S]):
    """One cloak against its surrogates. `loop.run` drives it: start, then objective, accept, update; at last finish.

    A new one defines `start`, `objective`, `update`, `finish` and `iterations`, states the facts that differ, and gets
    a line in `registry.CLOAKS`. Pictures of a batch must not influence each other.
    """

    size: ClassVar[int | None] = 112  # side of the square face it works on; None: the picture as it is
    modes: ClassVar[Mapping[str, Any]] = {}  # by name, for a cloak that is called NAME:MODE
    aims: ClassVar[bool] = False  # at other people's faces, `Sources.targets`
    stretches: ClassVar[bool] = False  # does the released code stretch the contrast of faces (Q3)?
    wants_lpips: ClassVar[bool] = False  # opened, as `CloakOptions.lpips`
    usual_penalty: ClassVar[float | None] = None  # where `CloakOptions.penalty` asks for none; None: it takes none
    for_photos: ClassVar[str] = ""  # the cloak for whole photos in the place of this one, which is for faces alone

    iterations: int

    def __init__(
        self, surrogates: Sequence[Surrogate], mode: Any = None, options: CloakOptions = CloakOptions()
    ) -> None:
        """`mode` is one of the values of `modes`, or another one of their kind."""
        if not surrogates:
            raise InputError("a cloak is made against extractors: name at least one surrogate")
        self.surrogates, self.mode, self.options = surrogates, mode, options

    @abstractmethod
    def start(self, sources: Sources) -> S:
        """Return the state before the first iteration."""

    @abstractmethod
    def objective(self, state: S) -> Objective:
        """Return values and gradients at the state's pictures, which stay."""

    @abstractmethod
    def update(self, state: S, objective: Objective, better: Tensor) -> None:
        """Keep what is better and move on to the next pictures, `state.iteration` being the number before this one."""

    @abstractmethod
    def finish(self, state: S) -> Tensor:
        """Return the cloaked pictures, float32 (N, 3, H, W) RGB 0…255."""

    def accept(self, state: S, objective: Objective) -> Tensor:
        """Take note of the values; return bool (N,): is this the best picture so far? Here always the last one."""
        return torch.ones_like(objective.feature, dtype=torch.bool)

    def phase(self, state: S) -> object:
        """Return what decides, beside the state's tensors, which operations the next iteration has.

        On a GPU iterations of an equal phase replay one CUDA graph. Here each is a phase of its own, which is always
        right and never fast.
        """
        return state.iteration

    def weight(self, state: S) -> Tensor | None:
        """Return a copy of the per-picture weight (N,) that the next objective uses, where the cloak adapts one."""
        return None

    def parameters(self) -> dict[str, Any]:
        """Return everything that decides the result besides pictures, seeds and surrogates, as JSON values."""
        return {"iterations": self.iterations, "protocol": self.options.protocol}

    @classmethod
    def suffix(cls, mode: str) -> str:
        """Return what is appended to a picture's stem: one of the suffixes that `pictures.pairing` takes off again."""
        return "_cloaked"

    @classmethod
    def frame(cls, photo: tuple[int, int], box: F64, several: bool) -> Frame:
        """Return what is cut out of a photo (width, height) for a detected box (left, top, right, bottom).

        `several` says whether other faces are cut out of it too.
        """
        return centred(photo, box)
