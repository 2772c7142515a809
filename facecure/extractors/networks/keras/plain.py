"""Keras' layers without weights."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from facecure.errors import InputError
from facecure.extractors.networks.keras.layer import Config, KerasLayer, activation, padded, pair, torch_axis


class Relu(KerasLayer):
    """Keras' ReLU with its maximum, threshold and slope below it."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the activation: f(x) = x from the threshold to the maximum, slope · (x − threshold) below."""
        highest, slope, threshold = (self.config.get(k) for k in ("max_value", "negative_slope", "threshold"))
        threshold = float(threshold or 0)
        x = torch.where(inputs[0] >= threshold, inputs[0], float(slope or 0) * (inputs[0] - threshold))
        return x if highest is None else x.clamp(max=float(highest))


class LeakyRelu(KerasLayer):
    """LeakyReLU."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the activation."""
        return functional.leaky_relu(inputs[0], float(self.config.get("alpha", 0.3)))


class Activation(KerasLayer):
    """A function of each value."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.activation = activation(config)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the activation."""
        return self.activation(inputs[0])


class Softmax(KerasLayer):
    """Softmax over an axis."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return values that sum to one."""
        return functional.softmax(inputs[0], torch_axis(self.config.get("axis", -1), inputs[0].ndim))


class ZeroPadding(KerasLayer):
    """Zeros around the picture."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the picture with zeros around it."""
        rows, columns = (pair(side) for side in pair(self.config["padding"]))
        return functional.pad(inputs[0], (*columns, *rows))


class Pooling(KerasLayer):
    """MaxPooling2D and AveragePooling2D."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return maxima or means of windows; "same" padding is no part of a mean."""
        x = inputs[0]
        size = pair(self.config["pool_size"])
        stride = pair(self.config.get("strides") or size)
        largest = self.config["class"] == "MaxPooling2D"
        pool = functional.max_pool2d if largest else functional.avg_pool2d
        if self.config.get("padding", "valid") != "same":
            return pool(x, size, stride)
        if largest:
            return pool(padded(x, size, stride, (1, 1), float("-inf")), size, stride)
        counted = padded(torch.ones_like(x[:1, :1]), size, stride, (1, 1), 0.0)
        return pool(padded(x, size, stride, (1, 1), 0.0), size, stride) / pool(counted, size, stride)


class GlobalPooling(KerasLayer):
    """GlobalAveragePooling2D and GlobalMaxPooling2D."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return one value per channel."""
        keep = bool(self.config.get("keepdims", False))
        if self.config["class"] == "GlobalMaxPooling2D":
            return inputs[0].amax((2, 3), keepdim=keep)
        return inputs[0].mean((2, 3), keepdim=keep)


class Flatten(KerasLayer):
    """Flat values in Keras' order."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return rows, columns and channels in Keras' order."""
        x = inputs[0]
        return (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).flatten(1)


class Reshape(KerasLayer):
    """The same values under another shape."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return values in Keras' order under another shape: flat, or rows, columns and channels."""
        x = inputs[0]
        flat = (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).flatten(1)
        target = list(self.config["target_shape"])
        if -1 in target:  # the side that Keras leaves to be found, as torch is to find the batch
            target[target.index(-1)] = flat.shape[1] // max(1, prod(side for side in target if side != -1))
        if len(target) not in (1, 3) or prod(target) != flat.shape[1]:
            asked = self.config["target_shape"]
            raise InputError(f"layer {self.config['name']}: Reshape of {flat.shape[1]} values to {asked} is not known")
        return flat if len(target) == 1 else flat.reshape(-1, *target).permute(0, 3, 1, 2)


class Same(KerasLayer):
    """What does nothing outside training."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the input: dropout and the like rest outside training."""
        return inputs[0]


class Rescaling(KerasLayer):
    """A factor and a summand, each one value or one per channel; buffers, so that they go where the network goes."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        for name, default in (("scale", 1.0), ("offset", 0.0)):
            values = torch.tensor(config.get(name, default), dtype=torch.float32).reshape(-1, 1, 1)
            self.register_buffer(name, values, persistent=False)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the input times `scale` plus `offset`."""
        return inputs[0] * self.get_buffer("scale") + self.get_buffer("offset")


class Merge(KerasLayer):
    """Layers of several inputs."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return several inputs as one."""
        kind = self.config["class"]
        if kind == "Concatenate":
            return torch.cat(inputs, torch_axis(self.config.get("axis", -1), inputs[0].ndim))
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
