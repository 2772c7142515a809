"""VGG-16 for faces (Parkhi et al., BMVC 2015, configuration D) from DeepFace's `vgg_face_weights.h5`."""

from __future__ import annotations

from torch import Tensor, nn

from facecure.extractors.networks.keras.names import convolution
from facecure.extractors.networks.network import Network

_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # width, convolutions


class VggFaceLogits(Network):
    """Faces (N, 3, 224, 224) to the 2,622 identities' logits before softmax: DeepFace until December 2023."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width, count in _STAGES:
            for _ in range(count):
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
                before = width
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.fc6 = nn.Conv2d(512, 4096, 7)
        self.fc7 = nn.Conv2d(4096, 4096, 1)
        self.fc8 = nn.Conv2d(4096, 2622, 1)

    def forward(self, faces: Tensor) -> Tensor:
        """Return the logits (N, 2622)."""
        return self.fc8(self._fc7(faces)).flatten(1)  # type: ignore[no-any-return]

    def _fc7(self, faces: Tensor) -> Tensor:
        return self.fc7(self.fc6(self.features(faces)).relu()).relu()  # type: ignore[no-any-return]

    def official(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return Keras' tensors under this network's names: its layers have automatic ones, so their order tells."""
        layers = list(dict.fromkeys(key.partition(":")[0] for key in tensors))
        mine = [name for name, module in self.named_modules() if isinstance(module, nn.Conv2d)]
        if len(layers) != len(mine):
            return tensors  # of another network
        found: dict[str, Tensor] = {}
        for key, value in tensors.items():
            layer, _, kind = key.partition(":")
            found |= convolution(mine[layers.index(layer)], kind, value)
        return found


class VggFaceDescriptor(VggFaceLogits):
    """Faces to the descriptor before the classifier (N, 4096): DeepFace since January 2024."""

    def forward(self, faces: Tensor) -> Tensor:
        """Return the descriptors, ≥ 0."""
        return self._fc7(faces).flatten(1)
