"""The compiled extension: checked entry points without defaults; call them through facecure.kernels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

def warp_faces(
    *,
    pictures: Sequence[npt.NDArray[np.uint8]],
    matrices: npt.NDArray[np.float64],
    height: int,
    width: int,
    replicate: bool,
    table: npt.NDArray[np.float32] | None,
    channels: Sequence[int],
    threads: int,
    simd: str | None,
) -> npt.NDArray[Any]: ...
def build_info() -> dict[str, Any]: ...
