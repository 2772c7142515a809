"""How a picture becomes the faces that a cloak works on, where surrogates look in them, and how a cloak goes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from facecure.cloaks.apply.batch import FaceBatch
from facecure.cloaks.frame import Frame
from facecure.cloaks.options import CloakOptions
from facecure.cloaks.registry import Part
from facecure.errors import InputError
from facecure.pictures.align import align_matrix, cut_face, stretch
from facecure.pictures.load import Loaded
from facecure.pictures.metadata import Metadata
from facecure.types import F32, F64, U8, FaceGeometry, Sample

if TYPE_CHECKING:
    from facecure.cloaks.cloak import Cloak
    from facecure.cloaks.surrogate import Surrogate


@dataclass(frozen=True, slots=True)
class Place:
    """Where a face lies in a whole photo: the photo's pixels uint8 (H, W, 3), the frame, and how many faces it has."""

    photo: U8
    frame: Frame
    faces: int


@dataclass(frozen=True, slots=True)
class SourceFace:
    """One face of a sample in a cloak's size: `pixels` uint8 (H, W, 3) RGB.

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


class Fitting:
    """One cloak of a run, with the way pictures come to it and back.

    Under `facecure-2021` Fawkes' faces are stretched in contrast and fitted twice (§1.4, Q3), and surrogates see all of
    a face; under `corrected` it is resized once, and surrogates that align see it aligned. A cloak without a size of
    its own, such as LowKey's -warp variants, always aligns, in the photo itself.
    """

    def __init__(self, part: Part, cloak: Cloak[Any], *, whole: bool = False) -> None:
        if whole and cloak.for_photos:
            raise InputError(f"{part} cloaks faces only; for whole photos there is {cloak.for_photos}")
        self.part, self.cloak = part, cloak
        self._released = cloak.options.released
        self._stretched = self._released and cloak.stretches
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
        geometry = self.cloak.surrogates[surrogate].geometry
        aligns = geometry is not None and geometry.mode == "align"
        return aligns and (self._fit is None or not self._released)

    @property
    def needs_landmarks(self) -> bool:
        """Return whether faces have to be found: to be cut out of photos, or to be shown aligned."""
        return self.whole or any(map(self.aligned, range(len(self.cloak.surrogates))))

    def faces(self, loaded: Loaded, cut: U8) -> list[SourceFace]:
        """Return a sample's faces, one unless photos are cloaked as a whole; `cut` is its picture in `geometry`.

        Raises `LinAlgError` on impossible landmarks.
        """
        if self.whole:
            several = len(loaded.found) > 1
            frames = [self.cloak.frame(loaded.size, found.box, several) for found in loaded.found]
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
        """Return a picture in the cloak's size, stretched in contrast where the released code does."""
        assert self._fit is not None
        levels = stretch(picture) if self._stretched else np.rint(picture).astype(np.uint8)
        return cut_face(levels, replace(self._fit, stretch=False), None)

    def change(self, face: SourceFace, cloaked: U8) -> F32:
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

    def _face(self, loaded: Loaded, pixels: U8, landmarks: F64 | None, place: Place | None) -> SourceFace:
        return SourceFace(loaded.sample, loaded.sha256, pixels, self.matrices(landmarks), place, loaded.metadata)

    def matrices(self, landmarks: F64 | None) -> tuple[F64 | None, ...]:
        """Return where each surrogate looks in a face, given its five landmarks as pixel indices, float64 (5, 2).

        They may be None where no surrogate sees the face aligned. Raises `LinAlgError` on impossible landmarks.
        """
        return tuple(self._matrix(landmarks, i) for i in range(len(self.cloak.surrogates)))

    def _matrix(self, landmarks: F64 | None, surrogate: int) -> F64 | None:
        if not self.aligned(surrogate):
            return None
        geometry = self.cloak.surrogates[surrogate].geometry
        assert landmarks is not None
        assert geometry is not None
        matrix = align_matrix(landmarks, geometry)
        if self._fit is None and self._released:
            # the released warp takes the matrix of pixel indices for one of pixel centres at +0.5 (§6)
            matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
        return matrix


def fitting_of(part: Part, surrogates: Sequence[Surrogate], options: CloakOptions, *, whole: bool = False) -> Fitting:
    """Return the fitting of a named cloak against surrogates."""
    return Fitting(part, part.cloak(surrogates, part.cloak.modes.get(part.mode), options), whole=whole)


def batch_of(faces: Sequence[SourceFace]) -> FaceBatch:
    """Return faces of one size as a batch."""
    return batch(np.stack([face.pixels for face in faces]), [face.matrices for face in faces])


def batch(pixels: U8, matrices: Sequence[tuple[F64 | None, ...]]) -> FaceBatch:
    """Return the batch of uint8 faces (N, H, W, 3), given each face's matrices."""
    return FaceBatch(pixels, [_stacked(column) for column in zip(*matrices, strict=True)])


def _stacked(matrices: Sequence[F64 | None]) -> F64 | None:
    present = [matrix for matrix in matrices if matrix is not None]
    return np.stack(present) if present else None
