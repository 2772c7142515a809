"""Tiny surrogates with and without golden weights, and the golden arrays by run."""

from __future__ import annotations

import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from facecure.cloaks.surrogate import Preprocess, Surrogate  # noqa: E402
from facecure.execution import Execution  # noqa: E402
from facecure.types import FaceGeometry  # noqa: E402


class Tiny(nn.Module):
    """The golden extractors: three strided convolutions with ReLU or PReLU, mean, linear layer."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(3):
            kernel = torch.from_numpy(weights[f"c{i}_w"].transpose(3, 2, 0, 1).copy())
            convolution = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, 2, 1)
            convolution.weight.data, convolution.bias.data = kernel, torch.from_numpy(weights[f"c{i}_b"].copy())
            bend: nn.Module = nn.ReLU()
            if f"c{i}_alpha" in weights:
                bend = nn.PReLU(len(kernel))
                bend.weight.data = torch.from_numpy(weights[f"c{i}_alpha"].copy())
            layers += [convolution, bend]
        self.features, self.head = nn.Sequential(*layers), nn.Linear(*weights["d_w"].shape)
        self.head.weight.data = torch.from_numpy(weights["d_w"].T.copy())
        self.head.bias.data = torch.from_numpy(weights["d_b"].copy())

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


def random_weights(seed: int, bend: str) -> dict[str, np.ndarray]:
    rng, weights = np.random.default_rng(seed), {}
    for i, (before, after) in enumerate(((3, 8), (8, 16), (16, 32))):
        weights[f"c{i}_w"] = rng.normal(0, (2 / (9 * before)) ** 0.5, (3, 3, before, after)).astype(np.float32)
        weights[f"c{i}_b"] = rng.normal(0, 0.05, after).astype(np.float32)
        if bend == "prelu":
            weights[f"c{i}_alpha"] = rng.uniform(0.1, 0.3, after).astype(np.float32)
    weights["d_w"] = rng.normal(0, 0.2, (32, 64)).astype(np.float32)
    weights["d_b"] = rng.normal(0, 0.05, 64).astype(np.float32)
    return weights


def made_surrogate(
    network, size=(112, 112), mean=(127.5,) * 3, std=(128.0,) * 3, colour="RGB", border="black", device="cpu",
    precision="fp32", **options,
) -> Surrogate:  # fmt: skip
    """Return a surrogate of a network's input size, None for any."""
    geometry = None if size is None else FaceGeometry(*size, border=border)
    execution = Execution(device=device, precision=precision)
    return Surrogate(network, Preprocess(geometry, mean, std, colour), execution, **options)


@pytest.fixture
def tiny():
    """Return a function that makes a surrogate with random weights."""

    def make(seed: int = 0, bend: str = "relu", **options) -> Surrogate:
        return made_surrogate(Tiny(random_weights(seed, bend)), **{"name": f"tiny{seed}"} | options)

    return make


def golden_runs(golden, file: str) -> dict[str, dict[str, np.ndarray]]:
    """Return the arrays of every run in a golden file, by run; those that belong to no run under ""."""
    found: dict[str, dict[str, np.ndarray]] = {"": {}}
    with np.load(golden / file, allow_pickle=False) as arrays:
        for key in arrays.files:
            run, _, name = key.partition("/")
            found.setdefault(run if name else "", {})[name or run] = arrays[key]
    return found


def golden_surrogate(weights: dict[str, np.ndarray], name: str, **options) -> Surrogate:
    return made_surrogate(Tiny(weights), name=name, **options)


def planes(pictures: np.ndarray):
    """Return float32 (N, 3, H, W) of pictures (N, H, W, 3)."""
    return torch.from_numpy(np.ascontiguousarray(np.asarray(pictures, np.float32).transpose(0, 3, 1, 2)))


def rows(pictures) -> np.ndarray:
    """Return (N, H, W, 3) of planes."""
    return pictures.detach().numpy().transpose(0, 2, 3, 1)


def golden_alex(golden) -> dict[str, np.ndarray]:
    """Return the AlexNet stand-in of the golden LPIPS, made by the recipe that comes with the traces."""
    arrays = golden_runs(golden, "lowkey.npz")
    sys.path.insert(0, str(golden))
    try:
        import recipe
    finally:
        sys.path.remove(str(golden))
    weights = recipe.alex_lpips_weights(int(arrays[""]["alex_seed"]))
    assert recipe.sha256(weights) == str(arrays[""]["alex_sha256"])
    return weights
