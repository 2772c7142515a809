"""Instruction sets at hand, and sources for DSSIM with every window laid out."""

from __future__ import annotations

import numpy as np
import pytest

from facecure import _core
from facecure.kernels import DssimSource

from .stand_ins import two_devices as two_devices

SIMD = ["scalar", "avx2", "avx512"]
AVAILABLE = SIMD[: SIMD.index(_core.build_info()["simd"]) + 1]
BITS = [*AVAILABLE, "device"]  # the last: what the CUDA twin computes, on the CPU


@pytest.fixture(autouse=True)
def _many_cpus(many_cpus):
    """Numbers of threads are the tests' own here."""


def window() -> np.ndarray:
    weights = np.exp(-np.square(np.arange(11) - 5) / (2 * 1.5**2))
    return (weights / weights.sum()).astype(np.float32)


def made(planes: int, height: int, width: int, kind: str = "noise") -> tuple[DssimSource, np.ndarray]:
    rng = np.random.default_rng([planes, height, width])
    s = {
        "noise": rng.integers(0, 256, (planes, height, width)).astype(np.float64),
        "black": np.zeros((planes, height, width)),
        "white": np.full((planes, height, width), 255.0),
    }[kind]
    weights = np.outer(window(), window()).astype(np.float64)

    def mean(values):
        if not planes:
            return np.empty((0, height - 10, width - 10))
        windows = np.lib.stride_tricks.sliding_window_view(values, (11, 11), axis=(1, 2))
        return np.einsum("pyxij,ij->pyx", windows, weights)

    centred = s - 128
    variance = mean(centred**2) - mean(centred) ** 2
    maps = centred, mean(centred), 2 * variance + 58.5225
    source = DssimSource(*(m.astype(np.float32) for m in maps), window())
    return source, rng.normal(0, 6, s.shape).astype(np.float32)
