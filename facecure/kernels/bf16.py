"""float32 as bfloat16: the upper half of its bits, kept as uint16 because numpy has no such type."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from facecure.types import F32

BF16 = npt.NDArray[np.uint16]


def to_bf16(values: F32) -> BF16:
    """Return finite float32 values of any shape rounded to nearest even, as bfloat16 bits."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
