"""The backbones of face.evoLVe that LowKey's four files hold: IR and ResNet, 112×112 (docs/protocol.md §9)."""

from __future__ import annotations

from torch import Tensor, nn

from facecure.extractors.networks.network import Network

_WIDTHS = (64, 128, 256, 512)


class _IrBlock(nn.Module):
    """Batch norm, convolution, PReLU, convolution, batch norm; the shortcut is projected where the width changes."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        if before != after:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )  # fmt: skip
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(before),
            nn.Conv2d(before, after, 3, padding=1, bias=False), nn.PReLU(after),
            nn.Conv2d(after, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        return self.res_layer(x) + self.shortcut_layer(x)  # type: ignore[no-any-return]


class Ir(Network):
    """Faces (N, 3, 112, 112) to raw embeddings (N, 512) by `blocks` per stage."""

    anchor = "input_layer.0.weight"
    blocks: tuple[int, ...]

    def __init__(self) -> None:
        super().__init__()
        self.input_layer = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64))
        # in this order, which the numbers in the files' names follow
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(512), nn.Dropout(), nn.Flatten(), nn.Linear(512 * 7 * 7, 512), nn.BatchNorm1d(512)
        )
        units: list[nn.Module] = []
        before = 64
        for width, count in zip(_WIDTHS, self.blocks, strict=True):
            units += [_IrBlock(before, width, 2), *(_IrBlock(width, width, 1) for _ in range(count - 1))]
            before = width
        self.body = nn.Sequential(*units)

    def forward(self, faces: Tensor) -> Tensor:
        """Return the raw embeddings."""
        return self.output_layer(self.body(self.input_layer(faces)))  # type: ignore[no-any-return]


class Ir50(Ir):
    """IR-50."""

    blocks = (3, 4, 14, 3)


class Ir101(Ir):
    """IR-101."""

    blocks = (3, 13, 30, 3)


class Ir152(Ir):
    """IR-152, of LowKey's `Backbone_IR_152_*`."""

    blocks = (3, 8, 36, 3)


class _Bottleneck(nn.Module):
    """The bottleneck of ResNet (arXiv 1512.03385, figure 5), its stride in the middle convolution."""

    def __init__(self, before: int, narrow: int, stride: int) -> None:
        super().__init__()
        after = 4 * narrow
        self.conv1, self.bn1 = nn.Conv2d(before, narrow, 1, bias=False), nn.BatchNorm2d(narrow)
        self.conv2, self.bn2 = nn.Conv2d(narrow, narrow, 3, stride, 1, bias=False), nn.BatchNorm2d(narrow)
        self.conv3, self.bn3 = nn.Conv2d(narrow, after, 1, bias=False), nn.BatchNorm2d(after)
        shortcut = [nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)]
        self.downsample = nn.Sequential(*(shortcut if before != after else []))  # an empty one is the identity

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())).relu()
        return (self.bn3(self.conv3(y)) + self.downsample(x)).relu()  # type: ignore[no-any-return]


class ResNet(Network):
    """Faces (N, 3, 112, 112) to raw embeddings (N, 512) by ImageNet's ResNet and a head like IR's."""

    anchor = "layer1.0.conv1.weight"
    blocks: tuple[int, ...]

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.relu, self.maxpool = nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        before = 64
        for number, (narrow, count) in enumerate(zip(_WIDTHS, self.blocks, strict=True), 1):
            sizes = [(before, narrow, 1 if number == 1 else 2), *[(4 * narrow, narrow, 1)] * (count - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*(_Bottleneck(*size) for size in sizes)))
            before = 4 * narrow
        self.bn_o1, self.fc, self.bn_o2 = nn.BatchNorm2d(2048), nn.Linear(2048 * 4 * 4, 512), nn.BatchNorm1d(512)

    def forward(self, x: Tensor) -> Tensor:
        """Return the raw embeddings."""
        for layer in self.children():
            x = layer(x.flatten(1) if layer is self.fc else x)
        return x


class ResNet50(ResNet):
    """ResNet-50."""

    blocks = (3, 4, 6, 3)


class ResNet101(ResNet):
    """ResNet-101."""

    blocks = (3, 4, 23, 3)


class ResNet152(ResNet):
    """ResNet-152, of LowKey's `Backbone_ResNet_152_*`."""

    blocks = (3, 8, 36, 3)
