"""MTCNN's three networks (arXiv 1604.02878, figure 2) under facenet-pytorch's parameter names."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# per stage: convolutions as width, kernel, side of the pooling after them (0: none); then the dense layer's two sides
_CONVOLUTIONS = (
    ((10, 3, 2), (16, 3, 0), (32, 3, 0)),
    ((28, 3, 3), (48, 3, 3), (64, 2, 0)),
    ((32, 3, 3), (64, 3, 3), (64, 3, 2), (128, 2, 0)),
)
_DENSE = (None, (576, 128), (1152, 256))
_OUTPUTS = ((2, 4), (2, 4), (2, 4, 10))  # no face or face; the box's four moves; five landmarks' x, then y


class Stage(nn.Module):
    """Windows (N, 3, H, W), −1…1 RGB, to moves (N, 4, …), in the last stage landmarks (N, 10), and shares (N, 2, …).

    The first stage, number 0, takes pictures of any size and has one output per place.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        before = 3
        self._pools: list[int] = []
        for place, (width, kernel, pool) in enumerate(_CONVOLUTIONS[number], 1):
            self.add_module(f"conv{place}", nn.Conv2d(before, width, kernel))
            self.add_module(f"prelu{place}", nn.PReLU(width))
            self._pools.append(pool)
            before = width
        self._dense = len(self._pools) + 1
        sides = _DENSE[number]
        if sides:
            self.add_module(f"dense{self._dense}", nn.Linear(*sides))
            self.add_module(f"prelu{self._dense}", nn.PReLU(sides[1]))
        self._heads = []
        for head, width in enumerate(_OUTPUTS[number], 1):
            made = nn.Linear(sides[1], width) if sides else nn.Conv2d(before, width, 1)
            self._heads.append(f"dense{self._dense + 1}_{head}" if sides else f"conv{self._dense}_{head}")
            self.add_module(self._heads[-1], made)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs, the shares last."""
        for place, pool in enumerate(self._pools, 1):
            x = self._prelu(place, self.get_submodule(f"conv{place}")(x))
            if pool:
                x = nn.functional.max_pool2d(x, pool, 2, ceil_mode=True)
        if self._heads[0].startswith("dense"):
            flat = x.permute(0, 3, 2, 1).flatten(1)  # columns, rows, channels, as in Caffe's ancestor
            x = self._prelu(self._dense, self.get_submodule(f"dense{self._dense}")(flat))
        shares, *others = (self.get_submodule(head)(x) for head in self._heads)
        return *others, torch.softmax(shares, 1)

    def _prelu(self, place: int, x: Tensor) -> Tensor:
        return self.get_submodule(f"prelu{place}")(x)  # type: ignore[no-any-return]
