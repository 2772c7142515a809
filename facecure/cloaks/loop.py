"""The one loop that all cloaks share: objective, acceptance, update; each with a record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from facecure.cloaks.surrogate import Surrogate
from facecure.kernels.device import refusal
from facecure.types import F32, Bool, ProtocolName


@dataclass(frozen=True, slots=True)
class Sources:
    """What a batch is cloaked from.

    `pictures` float32 (N, 3, H, W) RGB 0…255 are the clean faces in the tool's own size; `grids`, one per surrogate,
    where its input lies in them (`Surrogate.grid`), or None where it sees the whole face; `seeds` one per picture;
    `targets`, where a cloak has any, other people's faces of the same shape, and `target_grids` theirs.
    """

    pictures: Tensor
    grids: Sequence[Tensor | None]
    seeds: Sequence[int]
    targets: Tensor | None = None
    target_grids: Sequence[Tensor | None] = ()


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


@dataclass(frozen=True, slots=True)
class Record:
    """Iteration number, from 1, and its values per picture, float32 (N,); `weight` is v1.0's const_diff."""

    iteration: int
    loss: F32
    feature: F32
    visible: F32
    accepted: Bool
    weight: F32 | None = None


class State(Protocol):
    """What a cloak carries from one iteration to the next: `iteration` done so far, the rest its own.

    Tensors are changed in place: a CUDA graph knows them by their address.
    """

    iteration: int


S = TypeVar("S", bound=State)


class Cloak(Protocol[S]):
    """One cloak with its parameters. `run` drives it."""

    name: str
    size: int | None  # side of the square face it works on; None: the picture as it is
    iterations: int
    surrogates: Sequence[Surrogate]
    protocol: ProtocolName

    def start(self, sources: Sources) -> S:
        """Return the state before the first iteration."""

    def objective(self, state: S) -> Objective:
        """Return values and gradients at the state's pictures, which stay."""

    def accept(self, state: S, found: Objective) -> Tensor:
        """Take note of the values; return bool (N,): is this the best picture so far?"""

    def update(self, state: S, found: Objective, better: Tensor) -> None:
        """Keep what is better and move on to the next pictures, `state.iteration` being the number before this one."""

    def phase(self, state: S) -> object:
        """Return what decides, beside the state's tensors, which operations the next iteration has."""

    def weight(self, state: S) -> Tensor | None:
        """Return a copy of the per-picture weight (N,) that the next objective uses, where the cloak adapts one."""

    def finish(self, state: S) -> Tensor:
        """Return the cloaked pictures, float32 (N, 3, H, W) RGB 0…255."""

    def parameters(self) -> dict[str, Any]:
        """Return everything that decides the result besides pictures, seeds and surrogates, as JSON values."""


def run(cloak: Cloak[S], state: S, iterations: int | None = None) -> Iterator[Record]:
    """Yield a record per iteration, changing the state, until the cloak's last iteration or `iterations` more.

    On a CUDA device an iteration whose phase was seen before is captured as a graph, and replayed from then on.
    """
    last = cloak.iterations if iterations is None else state.iteration + iterations
    graphs: dict[object, Iteration | None] = {}
    captures = can_be_captured(cloak)
    while state.iteration < last:
        weight, phase = cloak.weight(state), cloak.phase(state)
        if captures and phase in graphs:
            captured = graphs[phase] or Iteration(cloak, state)
            graphs[phase] = captured
            found, better = captured.replay()
        else:
            graphs[phase] = None
            found, better = iterate(cloak, state)
        state.iteration += 1
        columns = [found.loss, found.feature, found.visible, better, *([] if weight is None else [weight])]
        values = numpy(torch.stack([column.to(found.loss) for column in columns]))  # one copy, one wait
        loss, feature, visible, accepted, *rest = values
        yield Record(state.iteration, loss, feature, visible, accepted.astype(bool), *rest)


def iterate(cloak: Cloak[S], state: S) -> tuple[Objective, Tensor]:
    """Return what the networks say of the state's pictures and which are better; move on to the next."""
    found = cloak.objective(state)
    better = cloak.accept(state, found)
    cloak.update(state, found, better)
    return found, better


def can_be_captured(cloak: Cloak[Any]) -> bool:
    """Return whether a cloak's iterations stay on a CUDA device from end to end: only the native steps do."""
    device = cloak.surrogates[0].device
    return device.type == "cuda" and not refusal(device.index)


class Iteration:
    """An iteration of one phase as a CUDA graph: networks, step and controller, without a word to the host."""

    def __init__(self, cloak: Cloak[S], state: S) -> None:
        self._graph, device = torch.cuda.CUDAGraph(), cloak.surrogates[0].device
        # torch's own stream for captures is of whatever device was current at its first
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        with torch.cuda.device(device), torch.cuda.graph(self._graph, stream=stream):
            self._found = iterate(cloak, state)  # nothing runs yet

    def replay(self) -> tuple[Objective, Tensor]:
        """Run it; return its values, which the next replay overwrites."""
        self._graph.replay()
        return self._found


def numpy(values: Tensor) -> F32:
    """Return values as a float32 array of their own."""
    return np.array(values.detach().cpu().numpy(), dtype=np.float32)


def noise(seeds: Sequence[int], like: Tensor, width: float) -> Tensor:
    """Return uniform values in ±width, shaped as `like` (N, …): each picture's drawn by its own seed."""
    drawn = [np.random.default_rng(seed).uniform(-width, width, like.shape[1:]) for seed in seeds]
    return like.new_tensor(np.array(drawn, np.float32).reshape(like.shape))
