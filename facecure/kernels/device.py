"""Devices by torch's names, what runs on them, and where an array on one lies; nothing is copied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from facecure import _core
from facecure.errors import FacecureError, InputError

if TYPE_CHECKING:
    pass

_CPU, _CUDA = 1, 2  # kDLCPU, kDLCUDA
_DLPACK_KINDS = {(1, 8): "uint8", (2, 32): "float32", (2, 64): "float64", (4, 16): "bfloat16"}  # (code, bits)
_INTERFACE_KINDS = {"|u1": "uint8", "<f4": "float32", "<f8": "float64"}


class NoDevice(FacecureError):
    """A CUDA kernel was asked for where the extension has none or no device is visible."""


def cuda_devices() -> tuple[int, str]:
    """Return how many CUDA devices the extension sees and, where that is none, why. Starts the driver."""
    return _core.cuda_devices()


def refusal(number: int) -> str:
    """Return why the extension's kernels do not run on a CUDA device, by its number; "" where they do."""
    count, reason = cuda_devices()
    if number < count:
        return _core.cuda_refusal(number)
    return reason or f"the extension sees {count} CUDA devices, none of number {number}"


def require_device(number: int | None = None) -> None:
    """Raise `NoDevice` unless CUDA kernels can run, on the device of that number where one is named."""
    if reason := cuda_devices()[1] if number is None else refusal(number):
        raise NoDevice(reason)


@contextmanager
def full_float32() -> Iterator[None]:
    """Convolve and multiply float32 in torch as float32 inside, whatever the process has set.

    TF32, which cuDNN takes by itself, has 10 bits where float32 has 23; bfloat16, which a CPU may be told to take, 7.
    """
    import torch

    backends: Any = torch.backends  # torch's stubs lack what is made at import
    kinds = backends.cudnn.conv, backends.cuda.matmul, backends.mkldnn.conv, backends.mkldnn.matmul
    before = [kind.fp32_precision for kind in kinds]
    for kind in kinds:
        kind.fp32_precision = "ieee"
    try:
        yield
    finally:
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A contiguous array in device memory: `address`, `shape`, `kind`, the name of its dtype; `readonly` where told.

    `device` is the number of its device, None where nobody knows: an array without values.
    """

    address: int
    shape: tuple[int, ...]
    kind: str
    readonly: bool = False
    device: int | None = None


def view(array: Any, stream: int, device_type: int = _CUDA) -> DeviceView:
    """Return where an array lies, by DLPack or, failing that, `__cuda_array_interface__`.

    Its work so far is ordered before `stream`; it must outlive what uses the address. Raises `InputError` for arrays
    elsewhere than on a device of DLPack's `device_type`, strided, masked, of another dtype than uint8, float32, float64
    and bfloat16, or that their library does not export.
    """
    readonly, device = False, None
    if hasattr(array, "__dlpack__"):
        capsule, device = _exported(array, stream, device_type)
        address, shape, strides, code, bits, *_ = _core.dlpack_view(capsule)
        kind = _DLPACK_KINDS.get((code, bits), f"DLPack type {code} of {bits} bits")
    elif hasattr(array, "__cuda_array_interface__") and device_type == _CUDA:
        interface = array.__cuda_array_interface__
        if interface.get("mask") is not None:
            raise InputError(f"{type(array).__name__} has a mask; give the values without it")
        address, shape, kind = interface["data"][0], list(interface["shape"]), interface["typestr"]
        readonly = bool(interface["data"][1])
        steps = interface.get("strides")
        strides = None if steps is None else [step // int(kind[2:]) for step in steps]
        kind = _INTERFACE_KINDS.get(kind, kind)
        if prod(shape):
            device = _owner(array, address)
            _order(device, interface.get("stream"), stream)
    else:
        raise InputError(
            f"{type(array).__name__} is not a device array: it has no __dlpack__ or __cuda_array_interface__"
        )
    if kind not in _DLPACK_KINDS.values():
        raise InputError(f"{type(array).__name__} of {kind}; uint8, float32, float64 and bfloat16 are supported")
    step = 1
    for side, stride in zip(reversed(shape), reversed(strides or []), strict=False):
        if stride != step and side > 1 and 0 not in shape:
            raise InputError(f"{type(array).__name__} {tuple(shape)} with strides {strides} is not contiguous")
        step *= side
    return DeviceView(int(address), tuple(shape), kind, readonly, device)


def _exported(array: Any, stream: int, device_type: int) -> tuple[object, int]:
    """Return an array's DLPack capsule and the number of its device."""
    where, number = array.__dlpack_device__()  # asked first: elsewhere a stream is an error of another kind
    if where != device_type:
        place = "in host memory" if where == _CPU else f"on DLPack device type {int(where)}"
        raise InputError(
            f"{type(array).__name__} is {place}; a CUDA array is needed (DLPack device type {device_type})"
        )
    try:
        # 1 names CUDA's default stream, which as an address is 0
        capsule = array.__dlpack__(stream=stream or 1) if device_type == _CUDA else array.__dlpack__()
    except BufferError as error:  # torch: of a tensor with gradient, or of another device than the current one
        raise InputError(f"{type(array).__name__} cannot be used: {error}") from error
    return capsule, int(number)


def _owner(array: Any, address: int) -> int:
    """Return the number of the device that an array's address belongs to."""
    try:
        return _core.cuda_device_of(address)
    except RuntimeError as error:
        raise InputError(f"{type(array).__name__} is not a CUDA array: {error}") from error


def _order(device: int, producer: int | None, stream: int) -> None:
    """Let `stream` wait for what `producer` has been given: the interface, version 3; None asks for nothing."""
    if producer is not None and producer != (stream or 1):  # 1 names the default stream
        _core.cuda_order(device=device, before=producer, after=stream)
