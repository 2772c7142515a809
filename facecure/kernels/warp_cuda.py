"""`warp_faces` on a CUDA device: device arrays in and out, on the caller's stream."""

from __future__ import annotations

from typing import Any

from facecure import _core
from facecure.errors import InputError
from facecure.kernels.bf16 import to_bf16
from facecure.kernels.device import require_device, view
from facecure.kernels.normalise import Layout, Normalise
from facecure.kernels.warp import Border


def warp_faces_cuda(
    pictures: Any,
    matrices: Any,
    out: Any,
    *,
    stream: int,
    normalise: Normalise | None = None,
    layout: Layout | None = None,
    border: Border = "black",
) -> None:
    """Return nothing; enqueue on `stream` what writes into `out` the faces of `warp_faces`, bit for bit.

    All three are contiguous CUDA arrays with `__dlpack__` or `__cuda_array_interface__`: `pictures` uint8 (N, H, W, 3),
    or (H, W, 3) for all faces; `matrices` float64 (N, 2, 3), which must be finite; `out` uint8 (N, h, w, 3), or with
    `normalise` float32 or bfloat16 (N, 3, h, w). `layout`, "NHWC" or "NCHW", replaces the order above. `stream` is the
    `cudaStream_t` as an integer, of the arrays' device. Raises `NoDevice` where this cannot run, never falling back to
    the CPU, and `InputError` where the arrays do not fit together.
    """
    if border not in ("black", "replicate") or layout not in (None, "NHWC", "NCHW"):
        raise InputError(f"border is black or replicate, layout NHWC or NCHW, not {border!r} and {layout!r}")
    planar = layout == "NCHW" if layout else normalise is not None
    require_device()
    source, stack, target = (view(array, stream) for array in (pictures, matrices, out))
    devices = {one.device for one in (source, stack, target) if one.device is not None}
    if len(devices) > 1:
        raise InputError(f"the arrays are on CUDA devices {', '.join(map(str, sorted(devices)))}; they must share one")
    device = devices.pop() if devices else 0
    require_device(device)
    kinds = ("uint8",) if normalise is None else ("float32", "bfloat16")
    if source.kind != "uint8" or stack.kind != "float64" or target.kind not in kinds:
        raise InputError(
            "pictures are uint8, matrices float64, out uint8 without normalise, float32 or bfloat16 with it; not "
            f"{source.kind}, {stack.kind} and {target.kind}"
        )
    if target.readonly:
        raise InputError("out is read-only")
    sides = target.shape[2:] if planar else target.shape[1:3]
    if len(target.shape) != 4 or target.shape[1 if planar else 3] != 3 or 0 in sides:
        raise InputError(f"out must be (N, {'3, h, w' if planar else 'h, w, 3'}), h, w > 0, not {target.shape}")
    if stack.shape != (target.shape[0], 2, 3):
        raise InputError(f"matrices must be ({target.shape[0]}, 2, 3), one per face of out, not {stack.shape}")
    one = len(source.shape) == 3
    if len(source.shape) not in (3, 4) or source.shape[-1] != 3 or 0 in source.shape[-3:]:
        raise InputError(f"pictures must be (N, H, W, 3) or (H, W, 3), H, W > 0, not {source.shape}")
    if not one and source.shape[0] != target.shape[0]:
        raise InputError(f"{source.shape[0]} pictures but {target.shape[0]} faces; one per face, or one for all")
    table = None if normalise is None else to_bf16(normalise.table) if target.kind == "bfloat16" else normalise.table
    _core.warp_faces_cuda(
        pictures=source.address, matrices=stack.address, out=target.address, faces=target.shape[0],
        picture_height=source.shape[-3], picture_width=source.shape[-2], height=sides[0], width=sides[1],
        one_picture=one, replicate=border == "replicate", table=table,
        channels=(0, 1, 2) if normalise is None else normalise.channels, planar=planar, device=device, stream=stream,
    )  # fmt: skip
