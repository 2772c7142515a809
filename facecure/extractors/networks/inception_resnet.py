"""Inception-ResNet-v1 (arXiv 1602.07261, §3.2, in FaceNet's form) as facenet-pytorch and DeepFace publish it."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from facecure.extractors.networks.keras.names import batch_norm, convolution, dense
from facecure.extractors.networks.network import Network

_EPSILON = 1e-3  # of TensorFlow's batch norm


class _Unit(nn.Module):
    """Convolution, batch norm and ReLU."""

    def __init__(
        self, before: int, after: int, kernel: int | tuple[int, int], stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(after, _EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Return the unit's output."""
        return self.bn(self.conv(x)).relu()  # type: ignore[no-any-return]


class _Branches(nn.Module):
    """Branches side by side, joined over channels."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        for number, branch in enumerate(branches):
            self.add_module(f"branch{number}", branch)

    def forward(self, x: Tensor) -> Tensor:
        """Return the branches' outputs, joined."""
        return torch.cat([getattr(self, name)(x) for name in self._modules if name.startswith("branch")], 1)


class _Residual(_Branches):
    """Branches whose projection is added, scaled, to the input."""

    def __init__(self, width: int, joined: int, scale: float, *branches: nn.Module, rectified: bool = True) -> None:
        super().__init__(*branches)
        self.conv2d = nn.Conv2d(joined, width, 1)
        self._scale, self._rectified = scale, rectified

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        y: Tensor = self.conv2d(super().forward(x)) * self._scale + x
        return y.relu() if self._rectified else y


def _block35() -> _Residual:
    return _Residual(
        256, 96, 0.17,
        _Unit(256, 32, 1),
        nn.Sequential(_Unit(256, 32, 1), _Unit(32, 32, 3, padding=1)),
        nn.Sequential(_Unit(256, 32, 1), _Unit(32, 32, 3, padding=1), _Unit(32, 32, 3, padding=1)),
    )  # fmt: skip


def _cross(width: int, narrow: int, length: int, scale: float, *, rectified: bool = True) -> _Residual:
    """Return the block of one point and one cross-shaped branch, `length` long."""
    half = length // 2
    arms = (_Unit(narrow, narrow, (1, length), 1, (0, half)), _Unit(narrow, narrow, (length, 1), 1, (half, 0)))
    return _Residual(
        width, 2 * narrow, scale, _Unit(width, narrow, 1), nn.Sequential(_Unit(width, narrow, 1), *arms),
        rectified=rectified,
    )  # fmt: skip


def _mixed_6a() -> _Branches:
    return _Branches(
        _Unit(256, 384, 3, 2),
        nn.Sequential(_Unit(256, 192, 1), _Unit(192, 192, 3, padding=1), _Unit(192, 256, 3, 2)),
        nn.MaxPool2d(3, 2),
    )


def _mixed_7a() -> _Branches:
    return _Branches(
        nn.Sequential(_Unit(896, 256, 1), _Unit(256, 384, 3, 2)),
        nn.Sequential(_Unit(896, 256, 1), _Unit(256, 256, 3, 2)),
        nn.Sequential(_Unit(896, 256, 1), _Unit(256, 256, 3, padding=1), _Unit(256, 256, 3, 2)),
        nn.MaxPool2d(3, 2),
    )


class InceptionResNetV1(Network):
    """Faces (N, 3, 160, 160), (x − 127.5) / 128 RGB, to unit embeddings (N, 512), as in facenet-pytorch."""

    anchor = "conv2d_1a.conv.weight"
    beyond = r"(module\.)?logits\.(weight|bias)"
    size = 512

    def __init__(self) -> None:
        super().__init__()
        self.conv2d_1a = _Unit(3, 32, 3, 2)
        self.conv2d_2a = _Unit(32, 32, 3)
        self.conv2d_2b = _Unit(32, 64, 3, padding=1)
        self.maxpool_3a = nn.MaxPool2d(3, 2)
        self.conv2d_3b = _Unit(64, 80, 1)
        self.conv2d_4a = _Unit(80, 192, 3)
        self.conv2d_4b = _Unit(192, 256, 3, 2)
        self.repeat_1 = nn.Sequential(*(_block35() for _ in range(5)))
        self.mixed_6a = _mixed_6a()
        self.repeat_2 = nn.Sequential(*(_cross(896, 128, 7, 0.1) for _ in range(10)))
        self.mixed_7a = _mixed_7a()
        self.repeat_3 = nn.Sequential(*(_cross(1792, 192, 3, 0.2) for _ in range(5)))
        self.block8 = _cross(1792, 192, 3, 1.0, rectified=False)
        self.avgpool_1a = nn.AdaptiveAvgPool2d(1)
        self.last_linear = nn.Linear(1792, self.size, bias=False)
        self.last_bn = nn.BatchNorm1d(self.size, _EPSILON)

    def forward(self, faces: Tensor) -> Tensor:
        """Return the embeddings."""
        return nn.functional.normalize(self._raw(faces))

    def _raw(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x.flatten(1) if layer is self.last_linear else x)
        return x


class InceptionResNetV1Keras(InceptionResNetV1):
    """The same with raw embeddings, from DeepFace's `facenet_weights.h5` (128) and its Keras names.

    Its cross-shaped blocks call their second branch after the block's own number in DeepFace's code and `Branch_1` in
    older ports; nothing else tells the two apart.
    """

    size = 128

    def forward(self, faces: Tensor) -> Tensor:
        """Return the raw embeddings (N, 128)."""
        return self._raw(faces)

    def official(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return Keras' tensors under this network's names."""
        found: dict[str, Tensor] = {}
        for key, value in tensors.items():
            layer, _, kind = key.partition(":")
            name = _from_keras(layer)
            if name is None:
                found[key] = value
            elif layer == "Bottleneck":
                found |= dense(name, kind, value)
            elif layer.endswith("_BatchNorm"):
                found |= batch_norm(name, kind, value)
            else:
                found |= convolution(name, kind, value)
        # DeepFace's batch norms have no scale
        return {f"{key[:-4]}weight": torch.ones_like(v) for key, v in found.items() if _is_shift(key)} | found


def _is_shift(key: str) -> bool:
    return key.endswith((".bn.bias", "last_bn.bias"))


class InceptionResNetV1Keras512(InceptionResNetV1Keras):
    """DeepFace's `facenet512_weights.h5`: raw embeddings (N, 512)."""

    size = 512


_REPEATS = {"Block35": "repeat_1", "Block17": "repeat_2", "Block8": "repeat_3"}
_POSITIONS = {
    "Mixed_6a": {"0_1a": "branch0", "1_0a": "branch1.0", "1_0b": "branch1.1", "1_1a": "branch1.2"},
    "Mixed_7a": {
        "0_0a": "branch0.0", "0_1a": "branch0.1", "1_0a": "branch1.0", "1_1a": "branch1.1",
        "2_0a": "branch2.0", "2_0b": "branch2.1", "2_1a": "branch2.2",
    },
}  # fmt: skip


def _from_keras(layer: str) -> str | None:
    """Return the module that a Keras layer becomes, None for one that is not known."""
    if layer in ("Bottleneck", "Bottleneck_BatchNorm"):
        return "last_linear" if layer == "Bottleneck" else "last_bn"
    part = ".bn" if layer.endswith("_BatchNorm") else ".conv"
    layer = layer.removesuffix("_BatchNorm")
    if found := re.fullmatch(r"Conv2d_(\d[ab])_\dx\d", layer):
        return f"conv2d_{found[1]}{part}"
    if found := re.fullmatch(r"(Mixed_[67]a)_Branch_(\d)_Conv2d_(\d[ab])_\dx\d", layer):
        position = _POSITIONS[found[1]].get(f"{found[2]}_{found[3]}")
        return position and f"{found[1].lower()}.{position}{part}"
    if not (found := re.fullmatch(r"(Block35|Block17|Block8)_(\d+)_(.*)", layer)):
        return None
    kind, number, rest = found[1], int(found[2]) - 1, found[3]
    block = "block8" if (kind, number) == ("Block8", 5) else f"{_REPEATS[kind]}.{number}"
    if rest == "Conv2d_1x1":
        return f"{block}.conv2d"
    if rest == "Branch_0_Conv2d_1x1":
        return f"{block}.branch0{part}"
    if not (found := re.fullmatch(r"Branch_(\d+)_Conv2d_0([abc])_\dx\d", rest)):
        return None
    branch = found[1] if kind == "Block35" else "1"
    return f"{block}.branch{branch}.{'abc'.index(found[2])}{part}"
