"""dlib's serialised networks: the face recognition ResNet and others of the same layers.

The layout is that of `serialize` in dlib/serialize.h and dlib/dnn/{core,layers,tensor}.h: first the loss, then one
version number per nested layer from the last to the first, the input, and each layer's own values from first to last.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
import torch
from torch import Tensor

from facecure.errors import InputError

_DEEPEST_VERSION = 3  # of a layer; the number that follows them is the length of the input's name


def read_dlib(data: bytes) -> dict[str, Tensor]:
    """Return the parameters in the order in which the network runs.

    `con0.weight`, `con0.bias`, …; `affine0.weight`, `affine0.bias`, …; `fc0.weight`; and `input.mean` (3,), what the
    network takes off RGB. Raises `InputError` for layers of another network or a file that ends early or late.
    """
    try:
        return _Reader(data).network()
    except (IndexError, ValueError, UnicodeDecodeError) as error:
        raise InputError(f"it is no dlib network of known layers, or a damaged one: {error}") from error


class _Reader:
    """A position in the file and what can be read from there."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def network(self) -> dict[str, Tensor]:
        """Return all parameters; the file must end with the last layer."""
        self._expect(self.whole(), 1, "version of the loss")
        self._skip(self.text, self.real, self.real)  # its name and two thresholds
        layers = self._nested_layers()
        self._expect(self.text(), "input_rgb_image_sized", "input")
        found = {"input.mean": torch.tensor([self.real(), self.real(), self.real()])}
        self._skip(self.whole, self.whole)  # rows and columns
        for number in range(layers):
            self._layer(found)
            if number == 0:
                self._skip(self.whole)  # samples per picture
        self._expect(self._at, len(self._data), "end of the last layer")
        return found

    def _nested_layers(self) -> int:
        """Return how many layers follow that have values; tags and skips, of version 1, have none."""
        count = 0
        while True:
            before, version = self._at, self.whole()
            if version > _DEEPEST_VERSION:
                self._at = before
                return count
            count += version > 1

    def _layer(self, found: dict[str, Tensor]) -> None:
        """Read one layer and keep its parameters."""
        name = self.text()
        kinds: dict[str, Callable[[dict[str, Tensor]], None]] = {
            "con_4": self._convolution, "affine_": self._affine, "fc_2": self._fully_connected,
            "max_pool_2": self._pool, "avg_pool_2": self._pool,
            "relu_": lambda _: None, "add_prev_": lambda _: None,
        }  # fmt: skip
        if name not in kinds:
            raise ValueError(f"a layer {name!r}")
        kinds[name](found)
        self._take(3)  # three flags of its state
        for what in ("gradient", "output", "gradient of the parameters"):
            self._expect(len(self.tensor()), 0, f"size of the cached {what}")

    def _convolution(self, found: dict[str, Tensor]) -> None:
        values = self.tensor()
        self._skip(*[self.whole] * 7)  # filters, rows, columns, strides, paddings: the network's own code has them
        shape, bias = self.shape(), self.shape()
        self._skip(*[self.real] * 4)  # multipliers of learning rate and decay
        self._keep(found, "con", values, (shape, bias[1:2]))

    def _affine(self, found: dict[str, Tensor]) -> None:
        values = self.tensor()
        gamma, beta = self.shape(), self.shape()
        self._skip(self.whole)  # whether it follows a convolution
        self._keep(found, "affine", values, (gamma[1:2], beta[1:2]))

    def _fully_connected(self, found: dict[str, Tensor]) -> None:
        self._skip(self.whole, self.whole)  # outputs, inputs
        values = self.tensor()
        shape, bias = self.shape(), self.shape()
        self._skip(self.whole, *[self.real] * 4)  # whether there is a bias; multipliers
        self._expect(prod(bias), 0, "size of the bias")
        self._keep(found, "fc", values, (shape[:2],))

    def _pool(self, found: dict[str, Tensor]) -> None:
        self._skip(*[self.whole] * 6)  # window, strides, paddings

    def _skip(self, *parts: Callable[[], object]) -> None:
        for part in parts:
            part()

    def _keep(self, found: dict[str, Tensor], kind: str, values: Tensor, shapes: tuple[list[int], ...]) -> None:
        self._expect(len(values), sum(map(prod, shapes)), f"values of a {kind} layer")
        number = sum(key.startswith(kind) for key in found) // len(shapes)
        for name, shape in zip(("weight", "bias"), shapes, strict=False):
            found[f"{kind}{number}.{name}"], values = values[: prod(shape)].reshape(shape), values[prod(shape) :]

    def whole(self) -> int:
        """Return an integer: a byte with sign and length, then that many, low first."""
        (control,) = self._take(1)
        value = int.from_bytes(self._take(control & 15), "little")
        return -value if control & 128 else value

    def real(self) -> float:
        """Return a floating-point number, stored as two integers."""
        mantissa, exponent = self.whole(), self.whole()
        return float(np.ldexp(float(mantissa), exponent))

    def text(self) -> str:
        """Return a string after its length."""
        return self._take(self.whole()).decode("ascii")

    def shape(self) -> list[int]:
        """Return the four sides of a part of a layer's parameters."""
        self._expect(self.whole(), 1, "version of a shape")
        return [self.whole() for _ in range(4)]

    def tensor(self) -> Tensor:
        """Return the float32 values of a tensor, flat."""
        self._expect(self.whole(), 2, "version of a tensor")
        count = prod(self.whole() for _ in range(4))
        return torch.from_numpy(np.frombuffer(self._take(4 * count), "<f4").astype(np.float32))

    def _take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if count < 0 or len(taken) < count:
            raise ValueError(f"{count} bytes are wanted at {self._at}, the file has {len(self._data)}")
        self._at += count
        return taken

    def _expect(self, found: object, wanted: object, what: str) -> None:
        if found != wanted:
            raise ValueError(f"{what} is {found!r} at byte {self._at}, not {wanted!r}")
