"""Keras' weights in torch's axes, one layer's weight at a time; unknown ones keep a name that nothing loads."""

from __future__ import annotations

from torch import Tensor

_BATCH_NORM = {
    "gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var",
}  # fmt: skip


def _last(kind: str) -> str:
    """Return `kernel` of `kernel`, or of `inner/kernel` as some files have it."""
    return kind.rpartition("/")[2]


def kernel(value: Tensor) -> Tensor:
    """Return a convolution's weight: Keras has rows, columns, inputs, outputs."""
    return value.permute(3, 2, 0, 1)


def matrix(value: Tensor) -> Tensor:
    """Return a fully connected layer's weight: Keras has inputs, outputs."""
    return value.T


def convolution(name: str, kind: str, value: Tensor) -> dict[str, Tensor]:
    """Return one of a convolution's weights."""
    if _last(kind) == "kernel" and value.ndim == 4:
        return {f"{name}.weight": kernel(value)}
    return {f"{name}.{_last(kind)}": value}


def dense(name: str, kind: str, value: Tensor) -> dict[str, Tensor]:
    """Return one of a fully connected layer's weights."""
    if _last(kind) == "kernel" and value.ndim == 2:
        return {f"{name}.weight": matrix(value)}
    return {f"{name}.{_last(kind)}": value}


def batch_norm(name: str, kind: str, value: Tensor) -> dict[str, Tensor]:
    """Return one of a batch norm's four values."""
    return {f"{name}.{_BATCH_NORM.get(_last(kind), kind)}": value}
