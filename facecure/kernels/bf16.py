"""float32 as bfloat16: the upper half of its bits, kept as uint16 because numpy has no such type."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facecure import _core
from facecure.types import F32

BF16 = npt.NDArray[np.uint16]

_X86 = {"avx512_bf16", "amx_bf16"}  # as Linux calls them; "bf16" on Arm
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")  # oneDNN's own variables, the first one wins
_WITHOUT = {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"}


def to_bf16(values: F32) -> BF16:
    """Return finite float32 values of any shape rounded to nearest even, as bfloat16 bits."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def has_bf16() -> bool:
    """Return whether this processor multiplies bfloat16 itself, and neither oneDNN nor we are told to do without.

    Of what oneDNN is told OpenVINO's list of capabilities knows nothing. False where there is no /proc/cpuinfo.
    """
    limit = next((os.environ[name] for name in _LIMITS if os.environ.get(name)), "")
    if limit.upper() in _WITHOUT:
        return False
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return False
    words = set(next((line.split() for line in lines if line.startswith(("flags", "Features"))), []))
    wide = str(_core.build_info()["simd"]).startswith("avx512")
    return "bf16" in words or (wide and not _X86.isdisjoint(words))
