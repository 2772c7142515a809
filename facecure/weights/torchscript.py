"""TorchScript archives, such as OpenAI's CLIP files: their tensors, without the program beside them.

`torch.jit.load` would compile that program and run its `__setstate__`. The archive is a zip: `data.pkl` is a pickle of
the modules' attributes, `data/<key>` the values of each storage (torch/csrc/jit/docs/serialization.md).
"""

from __future__ import annotations

import pickle
import zipfile
from typing import Any

import torch
from torch import Tensor

from facecure.errors import InputError

_STORAGES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}  # fmt: skip


def read_torchscript(archive: zipfile.ZipFile) -> dict[str, Tensor]:
    """Return parameters and buffers under the names that the module's `state_dict` gives them.

    Raises `InputError` where the archive is damaged or its pickle asks for anything but modules and tensors.
    """
    (root,) = {name.split("/")[0] for name in archive.namelist() if name.endswith("/constants.pkl")}
    try:
        with archive.open(f"{root}/data.pkl") as stream:
            module = _Unpickler(stream, archive, f"{root}/data").load()
    except (pickle.UnpicklingError, KeyError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise InputError(
            f"it is a TorchScript archive that holds more than a module, or is damaged: {error}"
        ) from error
    return dict(_tensors(module, ""))


class _Module:
    """Stands for a module of any class: the attributes that the pickle gives it."""


def _tensors(module: Any, prefix: str) -> list[tuple[str, Tensor]]:
    found: list[tuple[str, Tensor]] = []
    for name, value in vars(module).items():
        if isinstance(value, Tensor):
            found.append((prefix + name, value))
        elif isinstance(value, _Module):
            found += _tensors(value, f"{prefix}{name}.")
    return found


class _Unpickler(pickle.Unpickler):
    """Makes `_Module`s and tensors, and refuses everything else."""

    def __init__(self, stream: Any, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(stream)
        self._archive, self._folder = archive, folder

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return _Module
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if module == "torch.jit._pickle" and name.startswith("build_"):
            return list
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")

    def persistent_load(self, pid: Any) -> Tensor:
        _, dtype, key, _, count = pid
        values = bytearray(self._archive.read(f"{self._folder}/{key}"))
        flat = torch.frombuffer(values, dtype=dtype) if values else torch.empty(0, dtype=dtype)
        if len(flat) < count:
            raise ValueError(f"storage {key} has {len(flat)} values, not {count}")
        return flat


def _tensor(flat: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    """Return a view of a storage; the last arguments, gradient and hooks, do not matter here."""
    return flat.as_strided(size, stride, offset).clone()  # raises where it reaches beyond the storage
