"""Decoded pictures as a cloaking tool sees them: its own face, and where its surrogates look in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facecure.extractors.spec import ExtractorSpec
from facecure.pictures.align import align_matrix, cut_face
from facecure.pictures.load import Loaded
from facecure.types import F64, U8, FaceGeometry, Sample

if TYPE_CHECKING:
    from torch import Tensor

    from facecure.cloaks.catalogue import Choice
    from facecure.cloaks.loop import Cloak


@dataclass(frozen=True, slots=True)
class ToolFace:
    """One sample's face in a tool's size: `pixels` uint8 (H, W, 3) RGB.

    `matrices`, one per surrogate, map a point of its input to the face's, float64 (2, 3) with pixel centres at +0.5;
    None where it sees the face as a whole.
    """

    sample: Sample
    sha256: str
    pixels: U8
    matrices: tuple[F64 | None, ...]


class Tool:
    """A cloak with the way pictures come to it.

    Under `facecure-2021` Fawkes' faces are stretched in contrast and fitted twice (§1.4, Q3), and surrogates see all of
    a face; under `corrected` it is resized once, and surrogates that align see it aligned. LowKey's `warp` variant
    always aligns, in the photo itself.
    """

    def __init__(self, choice: Choice, cloak: Cloak[Any], specs: Sequence[ExtractorSpec], protocol: str) -> None:
        self.choice, self.cloak = choice, cloak
        self._specs = [spec.geometry for spec in specs]
        self._released = protocol == "facecure-2021"
        self._twice = self._released and choice.name.startswith("fawkes")
        self.geometry = None
        if cloak.size is not None:
            self.geometry = FaceGeometry(cloak.size, cloak.size, interpolation="bicubic", stretch=self._twice)

    def aligned(self, surrogate: int) -> bool:
        """Return whether a surrogate, by its number, sees the face aligned."""
        return self._specs[surrogate].mode == "align" and (self.geometry is None or not self._released)

    @property
    def needs_landmarks(self) -> bool:
        """Return whether any surrogate sees the face aligned."""
        return any(map(self.aligned, range(len(self._specs))))

    def face(self, loaded: Loaded, cut: U8) -> ToolFace:
        """Return a sample's face; `cut` is its picture in `geometry`. Raises `LinAlgError` on impossible landmarks."""
        pixels = cut_face(cut, self.geometry, None) if self.geometry and self._twice else cut
        matrices = tuple(self._matrix(loaded, i, pixels) for i in range(len(self._specs)))
        return ToolFace(loaded.sample, loaded.sha256, pixels, matrices)

    def _matrix(self, loaded: Loaded, surrogate: int, pixels: U8) -> F64 | None:
        if not self.aligned(surrogate):
            return None
        assert loaded.landmarks is not None
        scale = np.array([pixels.shape[1], pixels.shape[0]]) / loaded.size
        matrix = align_matrix((loaded.landmarks + 0.5) * scale - 0.5, self._specs[surrogate])
        if self.geometry is None and self._released:
            # the released warp takes the matrix of pixel indices for one of pixel centres at +0.5 (§6)
            matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
        return matrix

    def pixels(self, faces: Sequence[ToolFace]) -> Tensor:
        """Return faces of one size as float32 (N, 3, H, W) on the surrogates' device."""
        import torch

        stack = np.stack([face.pixels for face in faces]).transpose(0, 3, 1, 2)
        return torch.from_numpy(stack.astype(np.float32)).to(self.cloak.surrogates[0].device)

    def grids(self, faces: Sequence[ToolFace]) -> list[Tensor | None]:
        """Return, per surrogate, where its input pixels lie in faces of one size; None where it sees them whole."""
        height, width = faces[0].pixels.shape[:2]
        found: list[Tensor | None] = []
        for number, surrogate in enumerate(self.cloak.surrogates):
            stack = [matrix for face in faces if (matrix := face.matrices[number]) is not None]
            found.append(surrogate.grid(np.stack(stack), (width, height)) if stack else None)
        return found
