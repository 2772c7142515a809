"""Decoded pictures as a cloaking tool sees them: its own face, and where its surrogates look in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from facecure.cloaks.apply.photos import Frame, frame
from facecure.errors import InputError
from facecure.extractors.spec import ExtractorSpec
from facecure.pictures.align import align_matrix, cut_face, stretch
from facecure.pictures.load import Loaded
from facecure.pictures.metadata import Metadata
from facecure.types import F32, F64, U8, FaceGeometry, Sample

if TYPE_CHECKING:
    from torch import Tensor

    from facecure.cloaks.catalogue import Choice
    from facecure.cloaks.loop import Cloak


@dataclass(frozen=True, slots=True)
class Place:
    """Where a face lies in a whole photo: the photo's pixels uint8 (H, W, 3), the frame, and how many faces it has."""

    photo: U8
    frame: Frame
    faces: int


@dataclass(frozen=True, slots=True)
class ToolFace:
    """One face of a sample in a tool's size: `pixels` uint8 (H, W, 3) RGB.

    `matrices`, one per surrogate, map a point of its input to the face's, float64 (2, 3) with pixel centres at +0.5;
    None where it sees the face as a whole. `place` is None where the picture is a face already. `metadata` is that of a
    photo.
    """

    sample: Sample
    sha256: str
    pixels: U8
    matrices: tuple[F64 | None, ...]
    place: Place | None = None
    metadata: Metadata = field(default_factory=Metadata)


class Tool:
    """A cloak with the way pictures come to it.

    Under `facecure-2021` Fawkes' faces are stretched in contrast and fitted twice (§1.4, Q3), and surrogates see all of
    a face; under `corrected` it is resized once, and surrogates that align see it aligned. LowKey's `warp` variant
    always aligns, in the photo itself.
    """

    def __init__(
        self, choice: Choice, cloak: Cloak[Any], specs: Sequence[ExtractorSpec], *, whole: bool = False
    ) -> None:
        if whole and choice.name in ("lowkey", "lowkey-4"):
            raise InputError(f"{choice.name} cloaks faces only; for whole photos there is {choice.name}-warp")
        self.choice, self.cloak = choice, cloak
        self._specs = [spec.geometry for spec in specs]
        self.released = cloak.protocol == "facecure-2021"
        self._stretched = self.released and choice.name.startswith("fawkes")
        self._fit = None
        if cloak.size is not None:
            self._fit = FaceGeometry(cloak.size, cloak.size, interpolation="bicubic", stretch=self._stretched)
        self.whole = whole and cloak.size is not None

    @property
    def geometry(self) -> FaceGeometry | None:
        """Return how pictures are to be cut for `faces`; None: not at all."""
        return None if self.whole else self._fit

    def aligned(self, surrogate: int) -> bool:
        """Return whether a surrogate, by its number, sees the face aligned."""
        return self._specs[surrogate].mode == "align" and (self._fit is None or not self.released)

    @property
    def needs_landmarks(self) -> bool:
        """Return whether faces have to be found: to be cut out of photos, or to be shown aligned."""
        return self.whole or any(map(self.aligned, range(len(self._specs))))

    def faces(self, loaded: Loaded, cut: U8) -> list[ToolFace]:
        """Return a sample's faces, one unless photos are cloaked as a whole; `cut` is its picture in `geometry`.

        Raises `LinAlgError` on impossible landmarks.
        """
        if self.whole:
            several = len(loaded.found) > 1
            frames = [frame(self.choice.name, found.box, loaded.size, several) for found in loaded.found]
            return [
                self._face(
                    loaded, self._fitted(f.square(cut)), f.inside(found.landmarks, self.cloak.size or 0),
                    Place(cut, f, len(frames)),
                )
                for f, found in zip(frames, loaded.found, strict=True)
            ]  # fmt: skip
        pixels = self._fitted(cut) if self._stretched else cut  # a crop is fitted twice: once on loading
        landmarks = None
        if loaded.found:
            scale = np.array([pixels.shape[1], pixels.shape[0]]) / loaded.size
            landmarks = (loaded.found[0].landmarks + 0.5) * scale - 0.5
        return [self._face(loaded, pixels, landmarks, None)]

    def _fitted(self, picture: U8 | F32) -> U8:
        """Return a picture in the tool's size, stretched in contrast where the released code does."""
        assert self._fit is not None
        levels = stretch(picture) if self._stretched else np.rint(picture).astype(np.uint8)
        return cut_face(levels, replace(self._fit, stretch=False), None)

    def change(self, face: ToolFace, cloaked: U8) -> F32:
        """Return what a cloak adds to its frame's square, float32 (side, side, 3) in grey levels.

        The released code fits both pictures to the square, each stretched by itself, and subtracts (Q4).
        """
        assert face.place is not None
        side = face.place.frame.side
        if self._stretched:
            back = FaceGeometry(side, side, interpolation="bicubic", stretch=True)
            return cut_face(cloaked, back, None).astype(np.float32) - cut_face(face.pixels, back, None)
        difference = cloaked.astype(np.float32) - face.pixels
        planes = [Image.fromarray(difference[..., c]).resize((side, side), Image.Resampling.BICUBIC) for c in range(3)]
        return np.stack([np.asarray(plane) for plane in planes], axis=-1)

    def _face(self, loaded: Loaded, pixels: U8, landmarks: F64 | None, place: Place | None) -> ToolFace:
        matrices = tuple(self._matrix(landmarks, i) for i in range(len(self._specs)))
        return ToolFace(loaded.sample, loaded.sha256, pixels, matrices, place, loaded.metadata)

    def _matrix(self, landmarks: F64 | None, surrogate: int) -> F64 | None:
        if not self.aligned(surrogate):
            return None
        assert landmarks is not None
        matrix = align_matrix(landmarks, self._specs[surrogate])
        if self._fit is None and self.released:
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
