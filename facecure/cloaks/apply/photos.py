"""Whole photos: where a tool's square face lies in one, and how its cloak comes back into it (§4, §5, Merging)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from facecure.types import F32, F64, U8

_MARGIN, _SEVERAL = 0.7, 1.5  # of v0.3: share of the box, less where there are several faces
_BORDER = 30  # pixels that v1.0's square is larger than the box


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
        found = np.empty((self.side, self.side, 3), np.float32)
        found[:] = colour
        found[self.y : self.y + len(crop), self.x : self.x + crop.shape[1]] = crop
        return found

    def add(self, photo: F32, change: F32) -> None:
        """Add the part of a square's change, float32 (side, side, 3), that lies in the box to the photo, in place."""
        height, width = self.bottom - self.top, self.right - self.left
        inner = change[self.y : self.y + height, self.x : self.x + width]
        photo[self.top : self.bottom, self.left : self.right] += inner

    def inside(self, points: F64, size: int) -> F64:
        """Return pixel indices of the photo (N, 2) as those of the tool's face of `size` pixels."""
        scale = size / self.side
        found: F64 = (points + 0.5 - (self.left - self.x, self.top - self.y)) * scale - 0.5
        return found


def frame(tool: str, box: F64, size: tuple[int, int], several: bool) -> Frame:
    """Return the frame of a detected box (left, top, right, bottom) by a tool's own geometry; `size` of the photo.

    v0.3 widens the box by a margin and pads it to a square at the right and the bottom; v1.0 centres the box in a
    square 30 pixels larger, of the box's mean colour. Their detector was MTCNN; a box of another one frames alike.
    """
    if tool == "fawkes-v0.3":
        margin = _MARGIN / _SEVERAL if several else _MARGIN
        extra = (box[2:] - box[:2]) * margin / 2
        box = np.concatenate([box[:2] - extra, box[2:] + extra])
    limits = np.array(size)
    corner = np.clip(box[:2].astype(int), 0, limits - 1)
    left, top = corner.tolist()
    right, bottom = np.clip(np.ceil(box[2:]).astype(int), corner + 1, limits).tolist()
    height, width = bottom - top, right - left
    if tool == "fawkes-v0.3":
        return Frame(left, top, right, bottom, max(height, width), 0, 0, "black")
    side = max(height, width) + _BORDER
    return Frame(left, top, right, bottom, side, (side - width) // 2, (side - height) // 2, "mean")
