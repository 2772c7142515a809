"""The one loop that all cloaks share: objective, acceptance, update; each with a record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facecure.cloaks.cloak import Cloak, Objective, S, Sources
from facecure.kernels.device import refusal
from facecure.types import F32, Bool


@dataclass(frozen=True, slots=True)
class Record:
    """Iteration number, from 1, and its values per picture, float32 (N,); `weight` is v1.0's const_diff."""

    iteration: int
    loss: F32
    feature: F32
    visible: F32
    accepted: Bool
    weight: F32 | None = None


def cloaked(cloak: Cloak[Any], sources: Sources, each: Callable[[Record], object] = lambda record: None) -> Tensor:
    """Return the cloaked pictures, float32 (N, 3, H, W) RGB 0…255; `each` is handed every iteration's record."""
    state = cloak.start(sources)
    for record in run(cloak, state):
        each(record)
    return cloak.finish(state)


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
            objective, better = captured.replay()
        else:
            graphs[phase] = None
            objective, better = iterate(cloak, state)
        state.iteration += 1
        columns = [objective.loss, objective.feature, objective.visible, better, *([] if weight is None else [weight])]
        values = _on_host(torch.stack([column.to(objective.loss) for column in columns]))  # one copy, one wait
        loss, feature, visible, accepted, *rest = values
        yield Record(state.iteration, loss, feature, visible, accepted.astype(bool), *rest)


def iterate(cloak: Cloak[S], state: S) -> tuple[Objective, Tensor]:
    """Return what the networks say of the state's pictures and which are better; move on to the next."""
    objective = cloak.objective(state)
    better = cloak.accept(state, objective)
    cloak.update(state, objective, better)
    return objective, better


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
            self._values = iterate(cloak, state)  # nothing runs yet

    def replay(self) -> tuple[Objective, Tensor]:
        """Run it; return its values, which the next replay overwrites."""
        self._graph.replay()
        return self._values


def _on_host(values: Tensor) -> F32:
    """Return values as a float32 array of their own."""
    return np.array(values.detach().cpu().numpy(), dtype=np.float32)
