"""What a cloak changed, measured on the picture as written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from facecure.errors import InputError
from facecure.types import F64, U8

if TYPE_CHECKING:
    from facecure.cloaks.surrogate import Surrogate

FRAME = 5  # outermost pixels, which DSSIM hardly sees (Q8)
# column of the manifest: what people read
MEASURES = {
    "dssim": "DSSIM",
    "max_delta": "largest change, grey levels",
    "mean_delta": "mean change, grey levels",
    "frame_share": "share of it in the 5-pixel frame",
}


def measured(
    clean: U8, cloaked: U8, surrogates: Sequence[Surrogate], matrices: Sequence[F64 | None]
) -> dict[str, float]:
    """Return what a written picture changed: `MEASURES`, and `shift_NAME` per surrogate.

    A shift is the Euclidean distance of unit embeddings, 0…2, each surrogate looking where its matrix, float64
    (2, 3), says. Raises `InputError` where both pictures differ in size.
    """
    import torch

    from facecure.cloaks.steps.dssim import Dssim
    from facecure.cloaks.surrogate import unit

    if clean.shape != cloaked.shape:
        raise InputError(f"a cloaked picture was written as {cloaked.shape}, not {clean.shape}")
    delta = cloaked.astype(np.int64) - clean
    size = np.abs(delta)
    both = torch.from_numpy(np.stack([clean, cloaked]).transpose(0, 3, 1, 2).astype(np.float32))
    dssim, _ = Dssim(both[:1])(both[1:] - both[:1])
    inner = size[FRAME:-FRAME, FRAME:-FRAME].sum()
    values = {
        "dssim": float(dssim[0]),
        "max_delta": float(size.max()),
        "mean_delta": float(size.mean()),
        "frame_share": float(1 - inner / size.sum()) if size.any() else 0.0,
    }
    for surrogate, matrix in zip(surrogates, matrices, strict=True):
        grid = surrogate.grid(None if matrix is None else np.stack([matrix, matrix]), (clean.shape[1], clean.shape[0]))
        vectors = unit(surrogate.embed(both.to(surrogate.device), grid))
        values[f"shift_{surrogate.name}"] = float((vectors[0] - vectors[1]).norm())
    return values


def combined(faces: Sequence[dict[str, float]]) -> dict[str, str]:
    """Return the measures of a picture from those of its faces, as text: the most visible, the least moved of each."""
    values = {key: (min if key.startswith("shift_") else max)(face[key] for face in faces) for key in faces[0]}
    return {key: f"{value:.6g}" for key, value in values.items()}
