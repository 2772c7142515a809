"""Keras' layers with weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facecure.errors import InputError
from facecure.extractors.networks.keras.layer import Config, KerasLayer, activation, as_is, padded, pair, torch_axis
from facecure.extractors.networks.keras.names import kernel, matrix


class Convolution(KerasLayer):
    """Conv2D, DepthwiseConv2D and SeparableConv2D."""

    def __init__(self, config: Config, before: int) -> None:
        super().__init__(config)
        kind = config["class"]
        if config.get("data_format") not in (None, "channels_last"):
            raise InputError(f"layer {config['name']}: data_format {config['data_format']} is not known")
        self.kernel, self.stride = pair(config["kernel_size"]), pair(config.get("strides", 1))
        self.dilation = pair(config.get("dilation_rate", 1))
        self.same, self.activation = config.get("padding", "valid") == "same", activation(config)
        multiplier = config.get("depth_multiplier", 1)
        after = before * multiplier if kind == "DepthwiseConv2D" else config["filters"]
        self.groups = config.get("groups", 1) if kind == "Conv2D" else before
        wide = after if kind == "Conv2D" else before * multiplier
        self.weight = nn.Parameter(torch.zeros(wide, before // self.groups, *self.kernel))
        first = "kernel" if kind == "Conv2D" else "depthwise_kernel"
        self.weights.append((first, True, "weight", kernel if kind == "Conv2D" else self._depthwise))
        self.point: nn.Parameter | None = None
        if kind == "SeparableConv2D":
            self.point = nn.Parameter(torch.zeros(after, wide, 1, 1))
            self.weights.append(("pointwise_kernel", True, "point", kernel))
        self.bias: nn.Parameter | None = None
        if config.get("use_bias", True):
            self.bias = nn.Parameter(torch.zeros(after))
            self.weights.append(("bias", True, "bias", as_is))

    @staticmethod
    def _depthwise(value: Tensor) -> Tensor:
        return value.permute(2, 3, 0, 1).flatten(0, 1)[:, None]

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the convolved picture."""
        x = inputs[0]
        if self.same:
            x = padded(x, self.kernel, self.stride, self.dilation, 0)
        bias = self.bias if self.point is None else None
        x = functional.conv2d(x, self.weight, bias, self.stride, 0, self.dilation, self.groups)
        if self.point is not None:
            x = functional.conv2d(x, self.point, self.bias)
        return self.activation(x)


class Dense(KerasLayer):
    """A fully connected layer."""

    def __init__(self, config: Config, before: int) -> None:
        super().__init__(config)
        self.activation = activation(config)
        self.weight = nn.Parameter(torch.zeros(config["units"], before))
        self.weights.append(("kernel", True, "weight", matrix))
        self.bias: nn.Parameter | None = None
        if config.get("use_bias", True):
            self.bias = nn.Parameter(torch.zeros(config["units"]))
            self.weights.append(("bias", True, "bias", as_is))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the product."""
        if inputs[0].ndim != 2:
            raise InputError(f"layer {self.config['name']}: Dense on {inputs[0].ndim} axes is not known")
        return self.activation(functional.linear(inputs[0], self.weight, self.bias))


class BatchNorm(KerasLayer):
    """BatchNormalization over channels."""

    def __init__(self, config: Config, before: int) -> None:
        super().__init__(config)
        self.epsilon = config.get("epsilon", 1e-3)
        for name, asked, there, start in (("gamma", "scale", "weight", 1), ("beta", "center", "bias", 0)):
            self.register_buffer(there, torch.full((before,), float(start)), persistent=config.get(asked, True))
            if config.get(asked, True):
                self.weights.append((name, True, there, as_is))
        for name, there in (("moving_mean", "running_mean"), ("moving_variance", "running_var")):
            self.register_buffer(there, torch.ones(before))
            self.weights.append((name, False, there, as_is))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the normalised channels."""
        x = inputs[0]
        axis = self.config.get("axis", -1)
        if torch_axis(axis, x.ndim) != 1:
            raise InputError(f"layer {self.config['name']}: BatchNormalization over axis {axis} is not known")
        mean, variance, weight, bias = (
            getattr(self, name) for name in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(x, mean, variance, weight, bias, False, 0.0, self.epsilon)


class Normalization(KerasLayer):
    """(x − mean) / √variance with values that were measured once; a count of what was measured is kept beside them."""

    def __init__(self, config: Config, before: int) -> None:
        super().__init__(config)
        given = [config.get(name) for name in ("mean", "variance")]
        for name, value in zip(("mean", "variance"), given, strict=True):
            start = torch.ones(before) if value is None else torch.tensor(value, dtype=torch.float32).flatten()
            self.register_buffer(name, start.expand(before).clone(), persistent=value is None)
            if value is None:
                self.weights.append((name, False, name, lambda v: v.flatten()))
        if given[0] is None:
            self.register_buffer("count", torch.zeros(()))
            self.weights.append(("count", False, "count", lambda v: v.float()))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the normalised channels."""
        shape = [1, -1, *[1] * (inputs[0].ndim - 2)]
        deviation = torch.as_tensor(self.variance).sqrt().clamp(min=1e-7)
        return (inputs[0] - torch.as_tensor(self.mean).reshape(shape)) / deviation.reshape(shape)


class PRelu(KerasLayer):
    """PReLU with one slope per channel."""

    def __init__(self, config: Config, before: int) -> None:
        super().__init__(config)
        if config.get("shared_axes") not in ([1, 2], (1, 2)):
            raise InputError(f"layer {config['name']}: PReLU with a slope per pixel is not known")
        self.weight = nn.Parameter(torch.zeros(before))
        self.weights.append(("alpha", True, "weight", lambda value: value.flatten()))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the activation."""
        return functional.prelu(inputs[0], self.weight)
