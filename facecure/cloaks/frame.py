"""Whole photos: where a cloak's square face lies in one, and how the cloak comes back into it (§4, §5, Merging)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from facecure.types import F32, F64, U8


@dataclass(frozen=True, slots=True)
class Frame:
    """A box of a photo, `left` … `bottom` in pixels, laid into a square of `side` pixels at (`x`, `y`)."""

    left: int
    top: int
    right: int
    bottom: int
    side: int
    x: int
    y: int
    fill: Literal["black", "mean"]

    def square(self, photo: U8) -> F32:
        """Return float32 (side, side, 3): the box of the photo, black or its mean colour around."""
        crop = photo[self.top : self.bottom, self.left : self.right]
        colour = crop.mean(axis=(0, 1)) if self.fill == "mean" else np.zeros(3)
        pixels = np.empty((self.side, self.side, 3), np.float32)
        pixels[:] = colour
        pixels[self.y : self.y + len(crop), self.x : self.x + crop.shape[1]] = crop
        return pixels

    def add(self, photo: F32, change: F32) -> None:
        """Add the part of a square's change, float32 (side, side, 3), that lies in the box to the photo, in place."""
        height, width = self.bottom - self.top, self.right - self.left
        inner = change[self.y : self.y + height, self.x : self.x + width]
        photo[self.top : self.bottom, self.left : self.right] += inner

    def inside(self, points: F64, size: int) -> F64:
        """Return pixel indices of the photo (N, 2) as those of the cloak's face of `size` pixels."""
        scale = size / self.side
        moved: F64 = (points + 0.5 - (self.left - self.x, self.top - self.y)) * scale - 0.5
        return moved


def box_in(photo: tuple[int, int], box: F64) -> tuple[int, int, int, int]:
    """Return a detected box's left, top, right, bottom in whole pixels of a photo (width, height), one at least."""
    limits = np.array(photo)
    corner = np.clip(box[:2].astype(int), 0, limits - 1)
    left, top = corner.tolist()
    right, bottom = np.clip(np.ceil(box[2:]).astype(int), corner + 1, limits).tolist()
    return left, top, right, bottom


def centred(photo: tuple[int, int], box: F64, border: int = 0) -> Frame:
    """Return a box's frame in the middle of a square `border` pixels larger, of the box's mean colour."""
    left, top, right, bottom = box_in(photo, box)
    height, width = bottom - top, right - left
    side = max(height, width) + border
    return Frame(left, top, right, bottom, side, (side - width) // 2, (side - height) // 2, "mean")
