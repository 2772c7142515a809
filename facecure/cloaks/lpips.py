"""LPIPS (arXiv 1801.03924, §3, "v0.1"): a perceptual distance, as a squared Euclidean one between embeddings.

LPIPS sums, over layers, the spatial mean of Σ_c w_c (x̂ − ŷ)², x̂ being activations divided by their length over
channels. With every x̂_c scaled by √(w_c / pixels) that is |φ(x) − φ(y)|², so φ goes where any other network goes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facecure.cloaks.surrogate import Preprocess, Surrogate
from facecure.errors import InputError
from facecure.execution import Execution
from facecure.weights.pytorch import read_pytorch

_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
# first digits of SHA-256, as torchvision puts them into its file names, and the heads' own
PUBLISHED = {
    "alex": ("7be5be79", "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"),
    "squeeze": ("b8a52dc0", "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76"),
    "vgg": ("397923af", "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"),
}


class _Fire(nn.Module):
    """SqueezeNet's module (arXiv 1602.07360, §3.2), under torchvision's parameter names."""

    def __init__(self, before: int, narrow: int, wide: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(before, narrow, 1)
        self.expand1x1 = nn.Conv2d(narrow, wide, 1)
        self.expand3x3 = nn.Conv2d(narrow, wide, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return both expansions, joined."""
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x).relu(), self.expand3x3(x).relu()], 1)


def _alex() -> tuple[nn.Sequential, tuple[int, ...]]:
    layers = nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
    )  # fmt: skip
    return layers, (1, 4, 7, 9, 11)


def _squeeze() -> tuple[nn.Sequential, tuple[int, ...]]:
    layers = nn.Sequential(
        nn.Conv2d(3, 64, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True),
        _Fire(64, 16, 64), _Fire(128, 16, 64), nn.MaxPool2d(3, 2, ceil_mode=True),
        _Fire(128, 32, 128), _Fire(256, 32, 128), nn.MaxPool2d(3, 2, ceil_mode=True),
        _Fire(256, 48, 192), _Fire(384, 48, 192), _Fire(384, 64, 256), _Fire(512, 64, 256),
    )  # fmt: skip
    return layers, (1, 4, 7, 9, 10, 11, 12)


def _vgg() -> tuple[nn.Sequential, tuple[int, ...]]:
    layers: list[nn.Module] = []
    before = 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            before = width
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers[:-1]), (3, 8, 15, 22, 29)


_TRUNKS: dict[str, Callable[[], tuple[nn.Sequential, tuple[int, ...]]]] = {
    "alex": _alex, "squeeze": _squeeze, "vgg": _vgg,
}  # fmt: skip


class LpipsNetwork(nn.Module):
    """The embedding φ of pictures −1…1 (N, 3, H, W): (N, Σ channels · pixels)."""

    def __init__(self, trunk: str) -> None:
        super().__init__()
        self.features, self._taps = _TRUNKS[trunk]()
        # buffers go where the network goes: what lies on the host cannot be copied inside a captured graph
        for name, values in (("shift", _SHIFT), ("scale", _SCALE)):
            shape = torch.tensor(values, dtype=torch.float64).reshape(3, 1, 1)
            self.register_buffer(name, shape, persistent=False)

    def load(self, backbone: dict[str, Tensor], heads: Sequence[Tensor]) -> LpipsNetwork:
        """Return itself with the weights of `features` and one non-negative weight per tapped channel."""
        self.features.load_state_dict(backbone, strict=True)
        if len(heads) != len(self._taps) or any((head < 0).any() for head in heads):
            raise InputError(f"LPIPS needs {len(self._taps)} heads of non-negative weights, not {len(heads)}")
        for number, head in enumerate(heads):  # √w, (C, 1, 1)
            self.register_buffer(f"head{number}", head.detach().float().reshape(-1, 1, 1).sqrt(), persistent=False)
        return self

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the embedding."""
        shift, scale = (self.get_buffer(name).to(pictures.dtype) for name in ("shift", "scale"))
        pictures = (pictures - shift) / scale
        parts: list[Tensor] = []
        for number, layer in enumerate(self.features):
            pictures = layer(pictures)
            if number in self._taps:
                length = torch.linalg.vector_norm(pictures, dim=1, keepdim=True) + 1e-10  # gradient 0 at 0
                pixels = pictures.shape[2] * pictures.shape[3]
                head = self.get_buffer(f"head{len(parts)}") / pixels**0.5
                parts.append((pictures / length * head).flatten(1))
        return torch.cat(parts, dim=1)


class Lpips(Surrogate):
    """LPIPS on pictures 0…255 of any size; `what` names the weights and whether they are the published ones."""

    def __init__(
        self, network: LpipsNetwork, what: dict[str, Any], *, device: str = "cpu", rows: int | None = None
    ) -> None:
        middle = [127.5] * 3
        super().__init__(network, Preprocess(None, middle, middle), Execution(device=device), name="lpips", rows=rows)
        self.what = what


def squared(embeddings: Tensor, references: Tensor) -> Tensor:
    """Return |e − r|² (N,): LPIPS, of embeddings by `Lpips`."""
    return (embeddings - references).square().sum(1)


def load_lpips(trunk: str, backbone: Path, heads: Path, *, device: str = "cpu") -> Lpips:
    """Return LPIPS from torchvision's file of an ImageNet network and LPIPS' file of linear heads.

    Other weights than the published ones are accepted and named uncalibrated in `what`: their values cannot be
    compared with published ones. Raises `InputError` where a file cannot be read or does not fit.
    """
    if trunk not in _TRUNKS:
        raise InputError(f"LPIPS is alex, squeeze or vgg, not {trunk!r}")
    (body, body_sha256), (weights, heads_sha256) = _read(backbone), _read(heads)
    network = LpipsNetwork(trunk)
    try:
        features = {key.removeprefix("features."): body[key] for key in body if not key.startswith("classifier.")}
        network.load(features, [weights[f"lin{i}.model.1.weight"] for i in range(len(weights))])
    except (RuntimeError, KeyError) as error:
        raise InputError(f"{backbone} and {heads} are not the two files of LPIPS {trunk}: {error}") from error
    first, second = PUBLISHED[trunk]
    what = {
        "trunk": trunk,
        "backbone_sha256": body_sha256,
        "heads_sha256": heads_sha256,
        "calibrated": body_sha256.startswith(first) and heads_sha256 == second,
    }
    return Lpips(network, what, device=device)


def _read(file: Path) -> tuple[dict[str, Tensor], str]:
    """Return a state dict and the SHA-256 of its file."""
    try:
        data = file.read_bytes()
        return read_pytorch(data), hashlib.sha256(data).hexdigest()
    except OSError as error:
        raise InputError(f"LPIPS weights {file}: {error.strerror}") from error
    except InputError as error:
        raise InputError(f"LPIPS weights {file}: not a torch state dict, or not one alone: {error}") from error
