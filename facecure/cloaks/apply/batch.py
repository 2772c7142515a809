"""Faces in, cloaked faces out: what folders and arrays share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facecure.types import F32, F64, U8, digest_of

if TYPE_CHECKING:
    from torch import Tensor

    from facecure.cloaks.cloak import Cloak
    from facecure.cloaks.loop import Record
    from facecure.cloaks.surrogate import Surrogate


@dataclass(frozen=True, slots=True)
class FaceBatch:
    """Faces of one size, uint8 (N, H, W, 3) RGB, and where surrogates look in them.

    `matrices`, one per surrogate, map a point of its input to the face's, float64 (N, 2, 3) with pixel centres at +0.5;
    None where it sees faces whole.
    """

    pixels: U8
    matrices: Sequence[F64 | None]

    def __getitem__(self, rows: slice) -> FaceBatch:
        """Return some of the faces."""
        return FaceBatch(self.pixels[rows], [None if m is None else m[rows] for m in self.matrices])

    def pictures(self, surrogates: Sequence[Surrogate]) -> Tensor:
        """Return the faces as float32 (N, 3, H, W) on the surrogates' device."""
        import torch

        planes = self.pixels.transpose(0, 3, 1, 2).astype(np.float32)
        return torch.from_numpy(planes).to(surrogates[0].device)

    def grids(self, surrogates: Sequence[Surrogate]) -> list[Tensor | None]:
        """Return, per surrogate, where its input pixels lie in the faces; None where it sees them whole."""
        size = self.pixels.shape[2], self.pixels.shape[1]
        return [s.grid(matrices, size) for s, matrices in zip(surrogates, self.matrices, strict=True)]


def cloak_batch(
    cloak: Cloak[Any],
    faces: FaceBatch,
    seeds: Sequence[int],
    targets: FaceBatch | None = None,
    each: Callable[[Record], object] = lambda record: None,
) -> U8:
    """Return cloaked faces, uint8 (N, H, W, 3) RGB; `seeds` are one per face, `each` is handed every record."""
    from facecure.cloaks.cloak import Sources
    from facecure.cloaks.loop import cloaked

    surrogates = cloak.surrogates
    sources = Sources(faces.pictures(surrogates), faces.grids(surrogates), seeds)
    if targets is not None:
        sources = Sources(
            sources.pictures, sources.grids, seeds, targets.pictures(surrogates), targets.grids(surrogates)
        )
    return quantised(cloaked(cloak, sources, each).cpu().numpy(), truncate=cloak.options.released)


def quantised(pictures: F32, *, truncate: bool) -> U8:
    """Return float pictures (N, 3, H, W) 0…255 as uint8 (N, H, W, 3): cut off as the tools do (Q30), or rounded."""
    levels = np.floor(pictures) if truncate else np.rint(pictures)
    return np.ascontiguousarray(np.clip(levels, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1))


def seed_of(*parts: object) -> int:
    """Return 64 bits that depend on the parts alone."""
    return int(digest_of([str(part) for part in parts])[:16], 16)
