"""Keras' layers in torch, each made from the config that a file carries for it.

Pictures are (N, channels, rows, columns) here and (N, rows, columns, channels) in Keras: axes in a config are Keras'.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def _as_is(x: Tensor) -> Tensor:
    return x


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _activation(config: Config) -> Callable[[Tensor], Tensor]:
    name = config.get("activation") or "linear"
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        raise InputError(f"layer {config['name']}: activation {name!r} is not known")
    return _ACTIVATIONS[name]


def _channels(axis: Any, dimensions: int) -> int:
    """Return torch's axis for one of Keras': the last is the second, rows and columns follow it."""
    axis = axis[0] if isinstance(axis, list) else axis
    axis = axis + dimensions if axis < 0 else axis
    if axis == 0 or dimensions < 3:
        return int(axis)
    return 1 if axis == dimensions - 1 else int(axis) + 1


def _padded(x: Tensor, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], value: float) -> Tensor:  # noqa: E501
    """Return the picture as TensorFlow pads it for "same": the odd pixel goes below and to the right."""
    sides: list[int] = []
    for size, k, s, d in zip(x.shape[:1:-1], kernel[::-1], stride[::-1], dilation[::-1], strict=True):
        missing = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        sides += [missing // 2, missing - missing // 2]
    return functional.pad(x, sides, value=value)


class _Convolution(KerasLayer):
    """Conv2D, DepthwiseConv2D and SeparableConv2D."""

    def __init__(self, config: Config, before: int) -> None:
        super().__init__(config)
        kind = config["class"]
        if config.get("data_format") not in (None, "channels_last"):
            raise InputError(f"layer {config['name']}: data_format {config['data_format']} is not known")
        self.kernel, self.stride = _pair(config["kernel_size"]), _pair(config.get("strides", 1))
        self.dilation = _pair(config.get("dilation_rate", 1))
        self.same, self.activation = config.get("padding", "valid") == "same", _activation(config)
        multiplier = config.get("depth_multiplier", 1)
        after = before * multiplier if kind == "DepthwiseConv2D" else config["filters"]
        self.groups = config.get("groups", 1) if kind == "Conv2D" else before
        wide = after if kind == "Conv2D" else before * multiplier
        self.weight = nn.Parameter(torch.zeros(wide, before // self.groups, *self.kernel))
        first = "kernel" if kind == "Conv2D" else "depthwise_kernel"
        self.weights.append((first, True, "weight", self._kernel if kind == "Conv2D" else self._depthwise))
        self.point: nn.Parameter | None = None
        if kind == "SeparableConv2D":
            self.point = nn.Parameter(torch.zeros(after, wide, 1, 1))
            self.weights.append(("pointwise_kernel", True, "point", self._kernel))
        self.bias: nn.Parameter | None = None
        if config.get("use_bias", True):
            self.bias = nn.Parameter(torch.zeros(after))
            self.weights.append(("bias", True, "bias", _as_is))

    @staticmethod
    def _kernel(value: Tensor) -> Tensor:
        return value.permute(3, 2, 0, 1)

    @staticmethod
    def _depthwise(value: Tensor) -> Tensor:
        return value.permute(2, 3, 0, 1).flatten(0, 1)[:, None]

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the convolved picture."""
        x = inputs[0]
        if self.same:
            x = _padded(x, self.kernel, self.stride, self.dilation, 0)
        bias = self.bias if self.point is None else None
        x = functional.conv2d(x, self.weight, bias, self.stride, 0, self.dilation, self.groups)
        if self.point is not None:
            x = functional.conv2d(x, self.point, self.bias)
        return self.activation(x)


class _Dense(KerasLayer):
    def __init__(self, config: Config, before: int) -> None:
        super().__init__(config)
        self.activation = _activation(config)
        self.weight = nn.Parameter(torch.zeros(config["units"], before))
        self.weights.append(("kernel", True, "weight", lambda value: value.T))
        self.bias: nn.Parameter | None = None
        if config.get("use_bias", True):
            self.bias = nn.Parameter(torch.zeros(config["units"]))
            self.weights.append(("bias", True, "bias", _as_is))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the product."""
        if inputs[0].ndim != 2:
            raise InputError(f"layer {self.config['name']}: Dense on {inputs[0].ndim} axes is not known")
        return self.activation(functional.linear(inputs[0], self.weight, self.bias))


class _BatchNorm(KerasLayer):
    def __init__(self, config: Config, before: int) -> None:
        super().__init__(config)
        self.epsilon = config.get("epsilon", 1e-3)
        for name, asked, there, start in (("gamma", "scale", "weight", 1), ("beta", "center", "bias", 0)):
            self.register_buffer(there, torch.full((before,), float(start)), persistent=config.get(asked, True))
            if config.get(asked, True):
                self.weights.append((name, True, there, _as_is))
        for name, there in (("moving_mean", "running_mean"), ("moving_variance", "running_var")):
            self.register_buffer(there, torch.ones(before))
            self.weights.append((name, False, there, _as_is))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the normalised channels."""
        x = inputs[0]
        axis = self.config.get("axis", -1)
        if _channels(axis, x.ndim) != 1:
            raise InputError(f"layer {self.config['name']}: BatchNormalization over axis {axis} is not known")
        mean, variance, weight, bias = (
            getattr(self, name) for name in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(x, mean, variance, weight, bias, False, 0.0, self.epsilon)


class _Normalization(KerasLayer):
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


class _PRelu(KerasLayer):
    def __init__(self, config: Config, before: int) -> None:
        super().__init__(config)
        if config.get("shared_axes") not in ([1, 2], (1, 2)):
            raise InputError(f"layer {config['name']}: PReLU with a slope per pixel is not known")
        self.weight = nn.Parameter(torch.zeros(before))
        self.weights.append(("alpha", True, "weight", lambda value: value.flatten()))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the activation."""
        return functional.prelu(inputs[0], self.weight)


class _Relu(KerasLayer):
    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the activation: f(x) = x from the threshold to the maximum, slope · (x − threshold) below."""
        highest, slope, threshold = (self.config.get(k) for k in ("max_value", "negative_slope", "threshold"))
        threshold = float(threshold or 0)
        x = torch.where(inputs[0] >= threshold, inputs[0], float(slope or 0) * (inputs[0] - threshold))
        return x if highest is None else x.clamp(max=float(highest))


class _LeakyRelu(KerasLayer):
    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the activation."""
        return functional.leaky_relu(inputs[0], float(self.config.get("alpha", 0.3)))


class _Activation(KerasLayer):
    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.activation = _activation(config)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the activation."""
        return self.activation(inputs[0])


class _Softmax(KerasLayer):
    def forward(self, *inputs: Tensor) -> Tensor:
        """Return values that sum to one."""
        return functional.softmax(inputs[0], _channels(self.config.get("axis", -1), inputs[0].ndim))


class _ZeroPadding(KerasLayer):
    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the picture with zeros around it."""
        rows, columns = (_pair(side) for side in _pair(self.config["padding"]))
        return functional.pad(inputs[0], (*columns, *rows))


class _Pooling(KerasLayer):
    def forward(self, *inputs: Tensor) -> Tensor:
        """Return maxima or means of windows; "same" padding is no part of a mean."""
        x = inputs[0]
        size = _pair(self.config["pool_size"])
        stride = _pair(self.config.get("strides") or size)
        largest = self.config["class"] == "MaxPooling2D"
        pool = functional.max_pool2d if largest else functional.avg_pool2d
        if self.config.get("padding", "valid") != "same":
            return pool(x, size, stride)  # type: ignore[no-any-return]
        padded = _padded(x, size, stride, (1, 1), float("-inf") if largest else 0.0)
        if largest:
            return pool(padded, size, stride)  # type: ignore[no-any-return]
        counted = _padded(torch.ones_like(x[:1, :1]), size, stride, (1, 1), 0.0)
        return pool(padded, size, stride) / pool(counted, size, stride)  # type: ignore[no-any-return]


class _GlobalPooling(KerasLayer):
    def forward(self, *inputs: Tensor) -> Tensor:
        """Return one value per channel."""
        keep = bool(self.config.get("keepdims", False))
        if self.config["class"] == "GlobalMaxPooling2D":
            return inputs[0].amax((2, 3), keepdim=keep)
        return inputs[0].mean((2, 3), keepdim=keep)


class _Flatten(KerasLayer):
    def forward(self, *inputs: Tensor) -> Tensor:
        """Return rows, columns and channels in Keras' order."""
        x = inputs[0]
        return (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).flatten(1)


class _Reshape(KerasLayer):
    def forward(self, *inputs: Tensor) -> Tensor:
        """Return values in Keras' order under another shape: flat, or rows, columns and channels."""
        x = inputs[0]
        flat = (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).flatten(1)
        target = list(self.config["target_shape"])
        if len(target) == 1:
            return flat
        if len(target) != 3:
            raise InputError(f"layer {self.config['name']}: Reshape to {target} is not known")
        return flat.unflatten(1, target).permute(0, 3, 1, 2)


class _Same(KerasLayer):
    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the input: dropout and the like rest outside training."""
        return inputs[0]


class _Rescaling(KerasLayer):
    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the input times `scale` plus `offset`, each one value or one per channel."""
        x = inputs[0]
        scale, offset = (
            torch.as_tensor(self.config.get(key, default), dtype=x.dtype, device=x.device).reshape(-1, 1, 1)
            for key, default in (("scale", 1.0), ("offset", 0.0))
        )
        return x * scale + offset


class _Merge(KerasLayer):
    def forward(self, *inputs: Tensor) -> Tensor:
        """Return several inputs as one."""
        kind = self.config["class"]
        if kind == "Concatenate":
            return torch.cat(inputs, _channels(self.config.get("axis", -1), inputs[0].ndim))
        result = inputs[0]
        for other in inputs[1:]:
            if kind == "Multiply":
                result = result * other
            elif kind == "Subtract":
                result = result - other
            elif kind == "Maximum":
                result = torch.maximum(result, other)
            else:
                result = result + other
        return result / len(inputs) if kind == "Average" else result


_WITH_WEIGHTS: dict[str, type[Any]] = {
    **dict.fromkeys(("Conv2D", "DepthwiseConv2D", "SeparableConv2D"), _Convolution),
    "Dense": _Dense, "BatchNormalization": _BatchNorm, "Normalization": _Normalization, "PReLU": _PRelu,
}  # fmt: skip
_WITHOUT: dict[str, type[KerasLayer]] = {
    "Activation": _Activation, "ReLU": _Relu, "LeakyReLU": _LeakyRelu, "Softmax": _Softmax,
    "ZeroPadding2D": _ZeroPadding, **dict.fromkeys(("MaxPooling2D", "AveragePooling2D"), _Pooling),
    **dict.fromkeys(("GlobalAveragePooling2D", "GlobalMaxPooling2D"), _GlobalPooling), "Flatten": _Flatten,
    "Reshape": _Reshape, "Rescaling": _Rescaling,
    **dict.fromkeys(("Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "InputLayer"), _Same),
    # EfficientNet's dropout of whole samples, under the name that its Keras port registers
    "FixedDropout": _Same,
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Average", "Maximum", "Concatenate"), _Merge),
}  # fmt: skip


def make_layer(kind: str, config: Config, shapes: Sequence[Sequence[int]]) -> KerasLayer:
    """Return a Keras layer of a class by its config; `shapes` (C, …) of one input picture each tell its width.

    Raises `InputError` naming a class that is not known. Lambda holds Python code, which is never run.
    """
    config = {**config, "class": kind}
    if kind in _WITH_WEIGHTS:
        return _WITH_WEIGHTS[kind](config, shapes[0][0])  # type: ignore[no-any-return]
    if kind in _WITHOUT:
        return _WITHOUT[kind](config)
    if kind == "Lambda":
        raise InputError(
            f"layer {config['name']} is a Lambda: Python code inside the file, which is never run. If you trust its "
            "source, convert it where nothing can be harmed (a container without network) and use the result with a "
            "spec of your own:\n"
            "  pip install tf-keras tf2onnx && TF_USE_LEGACY_KERAS=1 python -m tf2onnx.convert --keras FILE.h5 "
            "--output FILE.onnx --opset 17 --inputs-as-nchw INPUT"
        )
    raise InputError(f"layer {config.get('name')} is of class {kind}, which is not known")
