"""`warp_faces` on a CUDA device: device arrays in and out, on the caller's stream."""

from __future__ import annotations

from typing import Any

from facecure import _core
from facecure.errors import FacecureError, InputError
from facecure.kernels.warp import Border


class NoDevice(FacecureError):
    """The CUDA kernel was asked for where the extension has none or no device is visible."""


def warp_faces_cuda(pictures: Any, matrices: Any, out: Any, *, stream: int, border: Border = "black") -> None:
    """Return nothing; enqueue on `stream` what writes into `out` the uint8 faces of `warp_faces`, bit for bit.

    All three are contiguous device arrays with `__cuda_array_interface__`: `pictures` uint8 (N, H, W, 3), or (H, W, 3)
    for all faces; `matrices` float64 (N, 2, 3), which must be finite; `out` uint8 (N, h, w, 3). `stream` is the
    `cudaStream_t` as an integer; work that made the arrays must be ordered before it. Raises `NoDevice` where this
    cannot run, never falling back to the CPU.
    """
    built = _core.build_info()
    if not built["cuda"]:
        raise NoDevice("the extension was built without CUDA; install it where nvcc is found, with FACECURE_CUDA=ON")
    if not built["cuda_devices"]:
        raise NoDevice("no CUDA device is visible")
    if border not in ("black", "replicate"):
        raise InputError(f"border is black or replicate, not {border!r}")
    (p, source), (m, stack), (o, target) = (
        _device(array, name, kind)
        for array, name, kind in ((pictures, "pictures", "|u1"), (matrices, "matrices", "<f8"), (out, "out", "|u1"))
    )
    one = len(source) == 3
    shapes = len(target) == 4 and target[3] == 3 and stack == (target[0], 2, 3) and min(target[1:]) > 0
    if not shapes or source[-1:] != (3,) or len(source) not in (3, 4) or 0 in source[-3:]:
        raise InputError(f"pictures {source}, matrices {stack} and out {target} do not fit together")
    if not one and source[0] != target[0]:
        raise InputError(f"{source[0]} pictures but {target[0]} faces; give one picture per face, or one for all")
    _core.warp_faces_cuda(
        pictures=p, matrices=m, out=o, faces=target[0], picture_height=source[-3], picture_width=source[-2],
        height=target[1], width=target[2], one_picture=one, replicate=border == "replicate", stream=stream,
    )  # fmt: skip


def _device(array: Any, name: str, kind: str) -> tuple[int, tuple[int, ...]]:
    """Return address and shape of a contiguous device array of the type `kind`."""
    interface = getattr(array, "__cuda_array_interface__", None)
    if interface is None:
        raise InputError(f"{name} must be a device array with __cuda_array_interface__, not {type(array).__name__}")
    shape, strides = tuple(interface["shape"]), interface.get("strides")
    step, dense = int(kind[2:]), []
    for side in reversed(shape):
        dense.append(step)
        step *= side
    if interface["typestr"] != kind or (strides is not None and tuple(strides) != tuple(reversed(dense))):
        raise InputError(f"{name} must be contiguous and of type {kind}, not {interface['typestr']} by {strides}")
    if name == "out" and interface["data"][1]:
        raise InputError("out is read-only")
    return int(interface["data"][0]), shape
