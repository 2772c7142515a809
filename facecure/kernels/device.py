"""Devices by torch's names, and where an array on one lies; nothing is copied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facecure import _core
from facecure.errors import FacecureError, InputError, MissingDependency

if TYPE_CHECKING:
    import torch

_CUDA = 2  # kDLCUDA
_DLPACK_KINDS = {(1, 8): "uint8", (2, 32): "float32", (2, 64): "float64", (4, 16): "bfloat16"}  # (code, bits)
_INTERFACE_KINDS = {"|u1": "uint8", "<f4": "float32", "<f8": "float64"}


class NoDevice(FacecureError):
    """A CUDA kernel was asked for where the extension has none or no device is visible."""


def require_device() -> None:
    """Return where CUDA kernels can run; raises `NoDevice` elsewhere."""
    built = _core.build_info()
    if not built["cuda"]:
        raise NoDevice("the extension was built without CUDA; install it where nvcc is found, with FACECURE_CUDA=ON")
    if not built["cuda_devices"]:
        raise NoDevice("no CUDA device is visible")


def torch_device(name: str) -> torch.device:
    """Return the torch device of that name; raises `MissingDependency` or `InputError` where it cannot be used."""
    try:
        import torch
    except ImportError as error:
        raise MissingDependency("torch", "cpu") from error
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # builds without CUDA raise the latter
        raise InputError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from error


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A contiguous array in device memory: `address`, `shape`, `kind`, the name of its dtype; `readonly` where told."""

    address: int
    shape: tuple[int, ...]
    kind: str
    readonly: bool = False


def view(array: Any, stream: int, device_type: int = _CUDA) -> DeviceView:
    """Return where an array lies, by DLPack or, failing that, `__cuda_array_interface__`.

    Its work so far is ordered before `stream`; it must outlive what uses the address. Raises `InputError` for arrays
    elsewhere than on a device of DLPack's `device_type`, strided, or of another dtype than uint8, float32, float64 and
    bfloat16.
    """
    readonly = False
    if hasattr(array, "__dlpack__"):
        # 1 names CUDA's default stream, which as an address is 0
        capsule = array.__dlpack__(stream=stream or 1) if device_type == _CUDA else array.__dlpack__()
        address, shape, strides, code, bits, where, _ = _core.dlpack_view(capsule)
        if where != device_type:
            raise InputError(f"{type(array).__name__} is on DLPack device type {where}, not {device_type} (CUDA is 2)")
        kind = _DLPACK_KINDS.get((code, bits), f"DLPack type {code} of {bits} bits")
    elif hasattr(array, "__cuda_array_interface__") and device_type == _CUDA:
        interface = array.__cuda_array_interface__
        address, shape, kind = interface["data"][0], list(interface["shape"]), interface["typestr"]
        readonly = bool(interface["data"][1])
        steps = interface.get("strides")
        strides = None if steps is None else [step // int(kind[2:]) for step in steps]
        kind = _INTERFACE_KINDS.get(kind, kind)
    else:
        raise InputError(f"{type(array).__name__} is no device array: it has no __dlpack__ or __cuda_array_interface__")
    if kind not in _DLPACK_KINDS.values():
        raise InputError(f"{type(array).__name__} of {kind}; uint8, float32, float64 and bfloat16 are supported")
    step = 1
    for side, stride in zip(reversed(shape), reversed(strides or []), strict=False):
        if stride != step and side > 1 and 0 not in shape:
            raise InputError(f"{type(array).__name__} {tuple(shape)} with strides {strides} is not contiguous")
        step *= side
    return DeviceView(int(address), tuple(shape), kind, readonly)
