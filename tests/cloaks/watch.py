"""What an operation on a GPU may not do while a CUDA graph is captured, found without a GPU.

Tensors on torch's "meta" device stand for those on a GPU: they have shapes and gradients, no values, and as there, what
the host holds must be copied to them first.
"""

from __future__ import annotations

import traceback
from typing import Self

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

DEVICE = "meta"
aten = torch.ops.aten
_COPIES = (aten._to_copy.default, aten.copy_.default, aten.clone.default)
_MADE = (torch.tensor, torch.as_tensor, torch.asarray, torch.from_numpy, torch.Tensor.new_tensor)
_INDEXED = (torch.Tensor.__getitem__, torch.Tensor.__setitem__)


class _Calls(TorchFunctionMode):
    """Tells of tensors made from Python's numbers or numpy's, as indices too."""

    def __init__(self, tell) -> None:
        self._tell = tell

    def __torch_function__(self, func, types, args=(), kwargs=None):
        index = args[1] if func in _INDEXED else ()
        parts = index if isinstance(index, tuple) else (index,)
        if func in _MADE or any(isinstance(part, list | np.ndarray) for part in parts):
            self._tell(func)
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    """Tells of operations between the host and the device."""

    def __init__(self, tell) -> None:
        super().__init__()
        self._tell = tell

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, found)) if isinstance(x, torch.Tensor)]
        # a single number of the host is an argument of the launch, unless it is itself what is copied
        if len({x.device.type for x in tensors if x.ndim or func in _COPIES}) > 1:
            self._tell(func)
        return found


class Watch:
    """Lists in `seen` the calls inside that copy between host and device, by file and line."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._modes = _Calls(self._tell), _Operations(self._tell)

    def __enter__(self) -> Self:
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(self, *error) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)

    def _tell(self, func) -> None:
        frame = next((f for f in reversed(traceback.extract_stack()) if "/facecure/" in f.filename), None)
        where = "" if frame is None else f"{frame.filename.rpartition('/facecure/')[2]}:{frame.lineno} {frame.line}: "
        self.seen.append(where + func.__name__)
