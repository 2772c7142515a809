"""MobileFaceNet (arXiv 1804.07573, table 1) under the parameter names of two published state dicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor, nn

from facecure.extractors.networks.network import Network

# expansion, width, blocks, stride of the first
_PLAN = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


class _Unit(nn.Module):
    """Convolution, batch norm and, unless linear, PReLU."""

    def __init__(
        self, before: int, after: int, kernel: int | tuple[int, int], stride: int = 1, padding: int = 0,
        groups: int = 1, *, linear: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(after)
        self.prelu: nn.Module = nn.Identity() if linear else nn.PReLU(after)

    def forward(self, x: Tensor) -> Tensor:
        """Return the unit's output."""
        return self.prelu(self.bn(self.conv(x)))  # type: ignore[no-any-return]


class _Bottleneck(nn.Module):
    """Layers with a shortcut where the shape stays."""

    def __init__(self, layers: nn.Sequential, shortcut: bool) -> None:
        super().__init__()
        self.conv, self._shortcut = layers, shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        y: Tensor = self.conv(x)
        return x + y if self._shortcut else y


def _bottlenecks(layers: Callable[[int, int, int, int], nn.Sequential]) -> Iterator[_Bottleneck]:
    """Yield the fifteen bottlenecks; `layers` makes one from widths before, within and after, and stride."""
    before = 64
    for expansion, after, blocks, first in _PLAN:
        for stride in (first, *[1] * (blocks - 1)):
            yield _Bottleneck(layers(before, expansion * before, after, stride), stride == 1 and before == after)
            before = after


def _prelu_layers(before: int, wide: int, after: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.PReLU(wide),
        nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.PReLU(wide),
        nn.Conv2d(wide, after, 1, bias=False), nn.BatchNorm2d(after),
    )  # fmt: skip


def _relu6_layers(before: int, wide: int, after: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(before, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()),
        nn.Sequential(nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()),
        nn.Conv2d(wide, after, 1, bias=False),
        nn.BatchNorm2d(after),
    )


class MobileFaceNetPReLU(Network):
    """MobileFaceNet for 112×96 faces (xiaoccer, CASIA-WebFace, 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _Unit(3, 64, 3, 2, 1)
        self.dw_conv1 = _Unit(64, 64, 3, 1, 1, 64)
        self.blocks = nn.Sequential(*_bottlenecks(_prelu_layers))
        self.conv2 = _Unit(128, 512, 1)
        self.linear7 = _Unit(512, 512, (7, 6), groups=512, linear=True)
        self.linear1 = _Unit(512, 128, 1, linear=True)

    def forward(self, faces: Tensor) -> Tensor:
        """Return raw embeddings (N, 128) of normalised faces (N, 3, 112, 96)."""
        wide = self.conv2(self.blocks(self.dw_conv1(self.conv1(faces))))
        return self.linear1(self.linear7(wide)).flatten(1)  # type: ignore[no-any-return]


class _Separable(nn.Module):
    """Depthwise and pointwise convolution, each with batch norm and ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(64, 64, 3, 1, 1, groups=64, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.pointwise = nn.Conv2d(64, 64, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output."""
        return self.bn2(self.pointwise(self.bn1(self.depthwise(x)).relu())).relu()  # type: ignore[no-any-return]


class _Global(nn.Module):
    """One weight per place and channel instead of pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(512, 512, 7, groups=512, bias=False)
        self.bn = nn.BatchNorm2d(512)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 512, 1, 1)."""
        return self.bn(self.depthwise(x))  # type: ignore[no-any-return]


class MobileFaceNetReLU6(Network):
    """MobileFaceNet for 112×112 faces (foamliu, MS-Celeb-1M refined, 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(3, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU6())
        self.dw_conv = _Separable()
        self.features = nn.Sequential(*_bottlenecks(_relu6_layers))
        self.conv2 = nn.Sequential(nn.Conv2d(128, 512, 1, bias=False), nn.BatchNorm2d(512), nn.ReLU6())
        self.gdconv = _Global()
        self.conv3 = nn.Conv2d(512, 128, 1)
        self.bn = nn.BatchNorm2d(128)

    def forward(self, faces: Tensor) -> Tensor:
        """Return raw embeddings (N, 128) of normalised faces (N, 3, 112, 112)."""
        wide = self.conv2(self.features(self.dw_conv(self.conv1(faces))))
        return self.bn(self.conv3(self.gdconv(wide))).flatten(1)  # type: ignore[no-any-return]
