"""What Keras' layers share: their config, their weights, axes and padding.

Pictures are (N, channels, rows, columns) here and (N, rows, columns, channels) in Keras: axes in a config are Keras'.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from facecure.errors import InputError

Config = dict[str, Any]
# what a layer's weights are called in Keras, in its order; which of them training changes; and how torch has them
Weight = tuple[str, bool, str, Callable[[Tensor], Tensor]]

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x, "relu": torch.relu, "relu6": functional.relu6, "sigmoid": torch.sigmoid,
    "tanh": torch.tanh, "elu": functional.elu, "selu": functional.selu, "softplus": functional.softplus,
    "swish": functional.silu, "silu": functional.silu, "gelu": functional.gelu,
    "hard_sigmoid": lambda x: (0.2 * x + 0.5).clamp(0, 1),
    "softmax": lambda x: functional.softmax(x, 1),
}  # fmt: skip


class KerasLayer(nn.Module):
    """A layer without weights; the ones that have some list them in `weights`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.weights: list[Weight] = []

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the layer's output."""
        raise NotImplementedError


def as_is(x: Tensor) -> Tensor:
    """Return a weight that torch has as Keras has it."""
    return x


def pair(value: Any) -> tuple[int, int]:
    """Return rows and columns, of which a config may give one value for both."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def activation(config: Config) -> Callable[[Tensor], Tensor]:
    """Return the function that a layer's config names; raises `InputError` for one that is not known."""
    name = config.get("activation") or "linear"
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        raise InputError(f"layer {config['name']}: activation {name!r} is not known")
    return _ACTIVATIONS[name]


def torch_axis(axis: Any, dimensions: int) -> int:
    """Return torch's axis for one of Keras': the last is the second, rows and columns follow it."""
    axis = axis[0] if isinstance(axis, list) else axis
    axis = axis + dimensions if axis < 0 else axis
    if axis == 0 or dimensions < 3:
        return int(axis)
    return 1 if axis == dimensions - 1 else int(axis) + 1


def padded(
    x: Tensor, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], value: float
) -> Tensor:
    """Return the picture as TensorFlow pads it for "same": the odd pixel goes below and to the right."""
    sides: list[int] = []
    for size, k, s, d in zip(x.shape[:1:-1], kernel[::-1], stride[::-1], dilation[::-1], strict=True):
        missing = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        sides += [missing // 2, missing - missing // 2]
    return functional.pad(x, sides, value=value)
