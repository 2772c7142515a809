"""dlib's face recognition ResNet of 29 convolutions (2017, examples/dnn_face_recognition_ex.cpp) from its `.dat`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facecure.extractors.networks.network import Network

# width, whether it halves the picture; from the input to the output
_BLOCKS = (
    *[(32, False)] * 3, (64, True), *[(64, False)] * 3, (128, True), *[(128, False)] * 2,
    (256, True), *[(256, False)] * 2, (256, True),
)  # fmt: skip


class _Affine(nn.Module):
    """A factor and a summand per channel: what became of a batch norm after training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled and shifted channels."""
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class _Sum(nn.Module):
    """The sum of two tensors of different sides and widths: what is missing counts as zero (dlib's `add_prev`)."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the sum, each side the larger of the two."""
        sides = [max(a, b) for a, b in zip(x.shape[1:], y.shape[1:], strict=True)]
        return _grown(x, sides) + _grown(y, sides)


def _grown(x: Tensor, sides: list[int]) -> Tensor:
    channels, rows, columns = (wanted - have for wanted, have in zip(sides, x.shape[1:], strict=True))
    return nn.functional.pad(x, (0, columns, 0, rows, 0, channels))


class _Block(nn.Module):
    """Two convolutions beside the input, which is averaged over 2×2 where the first of them halves."""

    def __init__(self, before: int, width: int, halves: bool) -> None:
        super().__init__()
        stride, padding = (2, 0) if halves else (1, 1)
        self.con0, self.affine0 = nn.Conv2d(before, width, 3, stride, padding), _Affine(width)
        self.con1, self.affine1 = nn.Conv2d(width, width, 3, padding=1), _Affine(width)
        self.shortcut: nn.Module = nn.AvgPool2d(2) if halves else nn.Identity()
        self.sum = _Sum()

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        y = self.affine1(self.con1(self.affine0(self.con0(x)).relu()))
        return self.sum(y, self.shortcut(x)).relu()  # type: ignore[no-any-return]


class DlibResNet(Network):
    """Faces (N, 3, 150, 150), (RGB − (122.782, 117.001, 104.298)) / 256, to raw embeddings (N, 128).

    The mean stands in the file too, as `mean`, so that it is checked; the spec applies it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.con0, self.affine0, self.pool = nn.Conv2d(3, 32, 7, 2), _Affine(32), nn.MaxPool2d(3, 2)
        widths = [32, *(width for width, _ in _BLOCKS)]
        self.blocks = nn.Sequential(
            *(_Block(before, width, halves) for before, (width, halves) in zip(widths[:-1], _BLOCKS, strict=True))
        )
        self.fc = nn.Linear(256, 128, bias=False)
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, faces: Tensor) -> Tensor:
        """Return the raw embeddings."""
        x = self.blocks(self.pool(self.affine0(self.con0(faces)).relu()))
        return self.fc(x.mean((2, 3)))  # type: ignore[no-any-return]

    def official(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of the `.dat` file, which counts layers from the input, under this network's names."""
        found: dict[str, Tensor] = {}
        for key, value in tensors.items():
            layer, _, kind = key.partition(".")
            number = int("".join(filter(str.isdigit, layer)) or 0)
            if key == "input.mean":
                found["mean"] = value
            elif layer == "fc0":
                found["fc.weight"] = value.T  # dlib has inputs, outputs
            elif layer in ("con0", "affine0"):
                found[key] = value
            elif layer.startswith(("con", "affine")):
                block, place = divmod(number - 1, 2)
                found[f"blocks.{block}.{layer.rstrip('0123456789')}{place}.{kind}"] = value
            else:
                found[key] = value
        return found
