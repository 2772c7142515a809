"""A forward pass on a GPU over fixed buffers, captured as a CUDA graph. Never run yet; see README."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from facecure.types import F32

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_WARM_UPS = 3  # before the capture: libraries choose kernels and set their workspaces up in the first passes


class CudaPass:
    """One pass of `compute`, faces to rows, on a stream of its own; `block` is where the host puts the faces.

    Two of them overlap: while one computes, the other's faces are prepared and copied.
    """

    def __init__(self, compute: Callable[[Tensor], Tensor], shape: tuple[int, ...], device: torch.device) -> None:
        import torch

        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pinned = torch.zeros(shape, pin_memory=True)  # from other memory the copy would wait for the device
        self.block: F32 = self._pinned.numpy()
        with torch.cuda.device(device), torch.cuda.stream(self._stream):
            self._faces = torch.zeros(shape, device=device)
            for _ in range(_WARM_UPS):
                compute(self._faces)
            self._stream.synchronize()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=self._stream):
                self._rows = compute(self._faces)
        self._found = torch.empty(self._rows.shape, pin_memory=True)

    def start(self) -> Callable[[], F32]:
        """Return what waits for the rows of the faces in `block`, float32, valid until the next start."""
        import torch

        with torch.cuda.stream(self._stream):
            self._faces.copy_(self._pinned, non_blocking=True)
            self._graph.replay()
            self._found.copy_(self._rows, non_blocking=True)
        return self._wait

    def _wait(self) -> F32:
        self._stream.synchronize()
        return np.asarray(self._found.numpy())
