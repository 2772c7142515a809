"""An extractor's normalisation, and faces as the input of its network: `normalise_faces` and its twin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from facecure import _core
from facecure.errors import InputError
from facecure.threads import thread_count
from facecure.types import F32, U8

Layout = Literal["NHWC", "NCHW"]


class Normalise:
    """The per-channel map (v − mean) / std on uint8 values, in the order of the extractor's input planes.

    `table` is float32 (3, 256): the float64 quotient rounded once. `channels` says which RGB channel feeds each
    plane. `mean` and `std` are given in plane order, on 0…255.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], colour: Literal["RGB", "BGR"] = "RGB") -> None:
        if len(mean) != 3 or len(std) != 3 or not np.isfinite([*mean, *std]).all() or min(map(abs, std)) == 0:
            raise InputError(f"mean and std need three finite values each, std not 0; got {mean} and {std}")
        if colour not in ("RGB", "BGR"):
            raise InputError(f"colour is RGB or BGR, not {colour!r}")
        values = np.arange(256, dtype=np.float64)
        self.table: F32 = ((values - np.array(mean)[:, None]) / np.array(std)[:, None]).astype(np.float32)
        self.channels = (0, 1, 2) if colour == "RGB" else (2, 1, 0)

    def __call__(self, faces: U8) -> F32:
        """Return float32 (N, 3, H, W) of uint8 RGB faces (N, H, W, 3)."""
        planes = [self.table[p][faces[..., c]] for p, c in enumerate(self.channels)]
        return np.stack(planes, axis=1)


def normalise_faces(faces: U8, normalise: Normalise, out: F32, *, layout: Layout = "NCHW", threads: int = 1) -> None:
    """Write the normalised faces to `out`.

    `faces` uint8 (N, H, W, 3) RGB; `out` float32 (N, 3, H, W), or (N, H, W, 3) in `layout` "NHWC", contiguous. Raises
    `InputError` for other shapes or dtypes.
    """
    shape = _sides(faces, layout)
    if faces.dtype != np.uint8 or out.dtype != np.float32 or out.shape != shape or not out.flags.c_contiguous:
        raise InputError(
            f"faces must be uint8 (N, H, W, 3) and out float32 {shape}, contiguous; not {faces.dtype} {faces.shape} "
            f"and {out.dtype} {out.shape}"
        )
    _core.normalise_faces(
        pixels=np.ascontiguousarray(faces),
        table=normalise.table,
        channels=normalise.channels,
        planar=layout == "NCHW",
        out=out,
        threads=thread_count(threads),
    )


def normalise_faces_numpy(faces: U8, normalise: Normalise, out: F32, *, layout: Layout = "NCHW") -> None:
    """Write what `normalise_faces` writes, by plain numpy: the definition."""
    planes = normalise(faces)
    out[:] = planes if layout == "NCHW" else planes.transpose(0, 2, 3, 1)


def _sides(faces: U8, layout: Layout) -> tuple[int, ...]:
    if layout not in ("NHWC", "NCHW"):
        raise InputError(f"layout is NHWC or NCHW, not {layout!r}")
    if faces.ndim != 4 or faces.shape[3] != 3:
        raise InputError(f"faces must be (N, H, W, 3), not {faces.shape}")
    count, height, width, _ = faces.shape
    return (count, 3, height, width) if layout == "NCHW" else (count, height, width, 3)
