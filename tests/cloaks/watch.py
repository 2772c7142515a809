"""What an operation on a GPU may not do while a CUDA graph is captured, found without a GPU.

Tensors on torch's "meta" device stand for those on a GPU: they have shapes and gradients, no values, and as there, what
a tensor of the host is to them must be copied first.
"""

from __future__ import annotations

import traceback

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

DEVICE = "meta"
aten = torch.ops.aten
_COPIES = (aten._to_copy.default, aten.copy_.default, aten.clone.default)
_MADE = (aten.lift_fresh.default, aten.lift.default)  # a tensor from Python's numbers


class Watch(TorchDispatchMode):
    """Lists in `seen` the calls inside that copy between host and device or wait, by file and line."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, found)) if isinstance(x, torch.Tensor)]
        # a single number of the host is an argument of the launch, unless it is itself what is copied
        sides = {x.device.type for x in tensors if x.ndim or func in _COPIES}
        if len(sides) > 1 or (func in _MADE and sides == {DEVICE}) or func is aten._local_scalar_dense.default:
            frame = next((f for f in reversed(traceback.extract_stack()[:-1]) if "/facecure/" in f.filename), None)
            where = "autograd" if frame is None else f"{frame.filename.rpartition('/facecure/')[2]}: {frame.line}"
            self.seen.append(f"{where} ({func})")
        return found
