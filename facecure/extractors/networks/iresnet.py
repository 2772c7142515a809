"""iResNets, the "improved residual units" of ArcFace (arXiv 1801.07698): InsightFace's, MagFace's, DeepFace's."""

from __future__ import annotations

import re

from torch import Tensor, nn

from facecure.extractors.networks.keras.names import batch_norm, convolution, dense
from facecure.extractors.networks.network import Network

_WIDTHS = (64, 128, 256, 512)


class _Block(nn.Module):
    """Batch norm before the first convolution and after both; no activation after the sum."""

    def __init__(self, before: int, after: int, stride: int, epsilon: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(before, epsilon)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after, epsilon)
        self.prelu = nn.PReLU(after)
        self.conv2 = nn.Conv2d(after, after, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(after, epsilon)
        shortcut = [nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after, epsilon)]
        self.downsample = nn.Sequential(*(shortcut if stride > 1 else []))  # an empty one is the identity

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        y: Tensor = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        return y + self.downsample(x)  # type: ignore[no-any-return]


class IResNet(Network):
    """Faces (N, 3, 112, 112) to raw embeddings (N, 512); `epsilon` of all batch norms differs between publishers."""

    anchor = "layer1.0.bn1.weight"
    beyond = (
        r"(module\.)?(fc|parallel_fc)\.weight"  # MagFace's classifier, beside features.module.… or module.features.…
    )
    epsilon = 1e-5  # InsightFace, recognition/arcface_torch
    blocks: tuple[int, ...]

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64, self.epsilon)
        self.prelu = nn.PReLU(64)
        before = 64
        for number, (width, count) in enumerate(zip(_WIDTHS, self.blocks, strict=True), 1):
            sizes = [(before, width, 2), *[(width, width, 1)] * (count - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*(_Block(*size, self.epsilon) for size in sizes)))
            before = width
        self.bn2 = nn.BatchNorm2d(512, self.epsilon)
        self.fc = nn.Linear(512 * 7 * 7, 512)
        self.features = nn.BatchNorm1d(512, self.epsilon)

    def forward(self, x: Tensor) -> Tensor:
        """Return the raw embeddings."""
        for layer in self.children():
            x = layer(x.flatten(1) if layer is self.fc else x)
        return x


class IResNet18(IResNet):
    """InsightFace's iResNet-18."""

    blocks = (2, 2, 2, 2)


class IResNet34(IResNet):
    """InsightFace's iResNet-34."""

    blocks = (3, 4, 6, 3)


class IResNet50(IResNet):
    """InsightFace's iResNet-50."""

    blocks = (3, 4, 14, 3)


class IResNet100(IResNet):
    """InsightFace's iResNet-100."""

    blocks = (3, 13, 30, 3)


class MagFace18(IResNet18):
    """MagFace's iResNet-18."""

    epsilon = 2e-5


class MagFace50(IResNet50):
    """MagFace's iResNet-50."""

    epsilon = 2e-5


class MagFace100(IResNet100):
    """MagFace's iResNet-100: the length of its embedding is the quality of the face."""

    epsilon = 2e-5


class ArcFaceKeras(IResNet34):
    """DeepFace's ArcFace: an iResNet-34 from Keras_insightface, `arcface_weights.h5`.

    The layers of its head have automatic names there, but for the last; their kinds tell them apart.
    """

    epsilon = 2e-5

    def official(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return Keras' tensors under this network's names."""
        found: dict[str, Tensor] = {}
        for key, value in tensors.items():
            layer, _, kind = key.partition(":")
            name = _from_keras(layer)
            if name is None:
                found[key] = value
            elif name == "fc" and kind.endswith("kernel"):
                # Keras flattens rows, columns, channels; torch channels, rows, columns
                by_place = value.reshape(7, 7, 512, -1).permute(2, 0, 1, 3).flatten(0, 2)
                found |= dense(name, kind, by_place)
            elif name == "fc":
                found |= dense(name, kind, value)
            elif name.endswith("prelu"):
                found[f"{name}.weight"] = value.flatten()
            elif re.search(r"(bn\d?|downsample\.1|features)$", name):
                found |= batch_norm(name, kind, value)
            else:
                found |= convolution(name, kind, value)
        return found


_PARTS = {
    "0_conv": "downsample.0", "0_bn": "downsample.1", "1_bn": "bn1", "1_conv": "conv1", "2_bn": "bn2",
    "1_prelu": "prelu", "2_conv": "conv2", "3_bn": "bn3",
}  # fmt: skip


def _from_keras(layer: str) -> str | None:
    """Return the module that a Keras layer becomes, None for one that is not known."""
    if found := re.fullmatch(r"conv([2-5])_block(\d+)_(\d_(?:conv|bn|prelu))", layer):
        part = _PARTS.get(found[3])
        return part and f"layer{int(found[1]) - 1}.{int(found[2]) - 1}.{part}"
    if layer in ("conv1_conv", "conv1_bn", "conv1_prelu"):
        return {"conv": "conv1", "bn": "bn1", "prelu": "prelu"}[layer.removeprefix("conv1_")]
    if layer == "embedding":
        return "features"
    if re.fullmatch(r"batch_normalization(_\d+)?", layer):
        return "bn2"
    return "fc" if re.fullmatch(r"dense(_\d+)?", layer) else None
