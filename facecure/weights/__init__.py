"""Weights files as named tensors: PyTorch, safetensors, TorchScript, Keras and dlib, by what the file says it is.

Nothing in a file is ever run: pickles are read by torch's or our own unpickler for tensors, nothing else.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from facecure.errors import InputError, MissingDependency

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Weights:
    """What a weights file holds: tensors under the names of the file, in its order.

    `config` is the architecture that a whole Keras model carries, None elsewhere. A checkpoint of PyTorch may hold
    further state dicts: `others`, by the keys that lead to them; `key` leads to `tensors`.
    """

    tensors: dict[str, Tensor]
    config: dict[str, Any] | None = None
    key: str = ""
    others: dict[str, dict[str, Tensor]] = field(default_factory=dict)

    @property
    def states(self) -> dict[str, dict[str, Tensor]]:
        """Return all state dicts by the keys that lead to them; "" is the file itself."""
        return {self.key: self.tensors, **self.others}


def read_weights(data: bytes) -> Weights:
    """Return what a file's bytes hold; raises `InputError` saying what they are not."""
    if data.startswith(b"\x89HDF\r\n\x1a\n"):
        from facecure.weights.keras import read_keras

        return read_keras(data)
    if data.startswith(b"\x01\x01\x01\x0dloss_metric_"):
        from facecure.weights.dlib import read_dlib

        return Weights(read_dlib(data))
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                from facecure.weights.torchscript import read_torchscript

                return Weights(read_torchscript(archive))
    if data.lstrip()[:1] == b"<":
        raise InputError("it is a web page, not a weights file; the server answered with something else than the file")
    if _is_safetensors(data):
        return Weights(_read_safetensors(data))
    from facecure.weights.pytorch import read_states

    (key, tensors), *others = read_states(data).items()
    return Weights(tensors, key=key, others=dict(others))


def _is_safetensors(data: bytes) -> bool:
    """Return whether the bytes begin as safetensors do: the length of a JSON object, and that."""
    return len(data) > 8 and 8 + int.from_bytes(data[:8], "little") <= len(data) and data[8:9] == b"{"


def _read_safetensors(data: bytes) -> dict[str, Tensor]:
    try:
        from safetensors.torch import load
    except ImportError as error:
        raise MissingDependency("safetensors", "cpu") from error
    try:
        return dict(load(data))
    except Exception as error:  # the package's own kinds
        raise InputError(f"it is no safetensors file, or a damaged one: {error}") from error
