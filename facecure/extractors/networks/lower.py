"""A network in a lower precision between float32 faces and float32 embeddings."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Lower(nn.Module):
    """A copy of a network whose parameters and sums are of `dtype`."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self._network, self._dtype = copy.deepcopy(network).to(dtype), dtype

    def forward(self, faces: Tensor) -> Tensor:
        """Return raw embeddings, float32."""
        return self._network(faces.to(self._dtype)).float()  # type: ignore[no-any-return]
