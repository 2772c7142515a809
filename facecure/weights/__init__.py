"""Weights files as named tensors: PyTorch, TorchScript, Keras and dlib, by what the file itself says it is.

Nothing in a file is ever run: pickles are read by torch's or our own unpickler for tensors, nothing else.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facecure.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Weights:
    """What a weights file holds: tensors under the names of the file, in its order.

    `config` is the architecture that a whole Keras model carries, None elsewhere.
    """

    tensors: dict[str, Tensor]
    config: dict[str, Any] | None = None


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
    from facecure.weights.pytorch import read_pytorch

    return Weights(read_pytorch(data))
