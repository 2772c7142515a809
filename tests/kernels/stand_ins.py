"""What stands for a CUDA device, its arrays and the extension where there is none."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from facecure import _core

CUDA = 2  # DLPack's number
FUNCTIONS = ("warp_faces_cuda", "dssim_planes_cuda", "fawkes_step_cuda", "lowkey_step_cuda", "cuda_order")


@pytest.fixture
def two_devices(monkeypatch):
    """Let the extension see two devices; return the calls of its CUDA functions: name and arguments."""
    calls: list[tuple[str, dict]] = []
    monkeypatch.setattr(_core, "cuda_devices", lambda: (2, ""))
    monkeypatch.setattr(_core, "cuda_refusal", lambda device: "", raising=False)
    # addresses from 2^20 on are the second device's, odd ones the host's
    monkeypatch.setattr(_core, "cuda_device_of", _device_of, raising=False)
    for name in FUNCTIONS:
        monkeypatch.setattr(_core, name, lambda name=name, **given: calls.append((name, given)), raising=False)
    return calls


def _device_of(address: int) -> int:
    if address % 2:
        raise RuntimeError("an address is in no CUDA device's memory")
    return address >> 20


class Exported:
    """An array that says by DLPack that it is on a device; the memory is numpy's."""

    def __init__(self, array: np.ndarray, number: int = 0, kind: int = CUDA, error: Exception | None = None) -> None:
        self.array, self.place, self.error, self.streams = array, (kind, number), error, []

    def __dlpack_device__(self):
        return self.place

    def __dlpack__(self, stream=None):
        self.streams.append(stream)
        if self.error:
            raise self.error
        return self.array.__dlpack__()


def interfaced(shape, typestr: str, address: int = 4096, **more) -> SimpleNamespace:
    """Return an array that says by CUDA's array interface where it is."""
    interface = {"shape": shape, "typestr": typestr, "data": (address, False), "version": 3} | more
    return SimpleNamespace(__cuda_array_interface__=interface)
