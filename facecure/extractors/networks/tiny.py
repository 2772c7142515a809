"""Three small extractors of different architecture for synthetic faces: 64×64 in, 64 values out, below 1 MB each."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from facecure.extractors.networks.network import Network

SIZE, EMBEDDING = 64, 64


class Plain(Network):
    """Four strided convolutions with ReLU and a linear head, after the networks of the 2010s."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 16, 32, 64, 80)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(80 * 4 * 4, EMBEDDING)

    def forward(self, faces: Tensor) -> Tensor:
        """Return raw embeddings (N, 64) of normalised faces (N, 3, 64, 64)."""
        return self.head(self.features(faces).flatten(1))  # type: ignore[no-any-return]


class _Bottleneck(nn.Module):
    """Expand, depthwise 3×3, project; a shortcut where the shape stays (MobileNetV2, arXiv 1801.04381, §3.3)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        wide = 2 * before
        self.body = nn.Sequential(
            nn.Conv2d(before, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.PReLU(wide),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.PReLU(wide),
            nn.Conv2d(wide, after, 1, bias=False), nn.BatchNorm2d(after),
        )  # fmt: skip
        self.shortcut = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        y: Tensor = self.body(x)
        return x + y if self.shortcut else y


class Mobile(Network):
    """Inverted bottlenecks and a global depthwise convolution, after MobileFaceNet (arXiv 1804.07573)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.PReLU(16))
        plan = ((16, 32, 2), (32, 48, 2), (48, 48, 1), (48, 64, 2), (64, 64, 1))
        self.blocks = nn.Sequential(*(_Bottleneck(*row) for row in plan))
        self.head = nn.Sequential(
            nn.Conv2d(64, 64, 4, groups=64, bias=False), nn.BatchNorm2d(64), nn.Flatten(), nn.Linear(64, EMBEDDING)
        )

    def forward(self, faces: Tensor) -> Tensor:
        """Return raw embeddings (N, 64) of normalised faces (N, 3, 64, 64)."""
        return self.head(self.blocks(self.stem(faces)))  # type: ignore[no-any-return]


class _Mixing(nn.Module):
    """Mixing over patches, then over channels (MLP-Mixer, arXiv 2105.01601)."""

    def __init__(self, patches: int, width: int) -> None:
        super().__init__()
        self.norm_patches, self.norm_width = nn.LayerNorm(width), nn.LayerNorm(width)
        self.over_patches = nn.Sequential(nn.Linear(patches, 96), nn.GELU(), nn.Linear(96, patches))
        self.over_width = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return mixed tokens (N, patches, width)."""
        x = x + self.over_patches(self.norm_patches(x).transpose(1, 2)).transpose(1, 2)
        return x + self.over_width(self.norm_width(x))  # type: ignore[no-any-return]


class Mixer(Network):
    """Patches of 8×8 through four mixing layers: no convolution over the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 72, 8, 8)
        self.layers = nn.Sequential(*(_Mixing((SIZE // 8) ** 2, 72) for _ in range(4)))
        self.norm = nn.LayerNorm(72)
        self.head = nn.Linear(72 * 16, EMBEDDING)

    def forward(self, faces: Tensor) -> Tensor:
        """Return raw embeddings (N, 64) of normalised faces (N, 3, 64, 64)."""
        tokens = self.norm(self.layers(self.patches(faces).flatten(2).transpose(1, 2)))  # (N, 64, 72)
        grid = tokens.transpose(1, 2).reshape(-1, 72, 8, 8)
        return self.head(nn.functional.avg_pool2d(grid, 2).flatten(1))  # type: ignore[no-any-return]


NETWORKS: dict[str, type[nn.Module]] = {"plain": Plain, "mobile": Mobile, "mixer": Mixer}
