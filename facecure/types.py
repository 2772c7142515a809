"""The dataclasses that travel the way of the data; frozen, validated once, numpy at the border."""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from facecure.errors import DigestMismatch, InputError

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

Role = Literal["clean", "cloaked", "unprotected", "distractor"]
ProtocolName = Literal["corrected", "facecure-2021"]
Named = str | os.PathLike[str]  # a file or folder, or a name of the zoo


def digest_of(value: object) -> str:
    """Hex SHA-256 of a JSON-serialisable value, independent of key order.

    >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture of one identity.

    `key` joins a cloaked picture to its clean one inside an identity; `cloak` names the cloak that a
    `cloaked` or `unprotected` sample belongs to and is empty otherwise.
    """

    identity: str
    path: Path
    key: str
    role: Role = "clean"
    cloak: str = ""

    @property
    def order(self) -> tuple[str, str, str]:
        """Return what samples are sorted by: identity, then file name, in one Unicode form."""
        return self.identity, unicodedata.normalize("NFC", self.path.name), str(self.path)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A picture that takes part although something is odd about it.

    The reason starts with its kind, as an exclusion's does: `near-duplicate`, `uncloaked`, `look-alike`, …
    """

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A picture that does not take the part it was named for, and why.

    The reason starts with its kind: `unreadable`, `no face`, `unpaired`, `duplicate`, …
    """

    path: Path
    reason: str

    @property
    def stated(self) -> dict[str, str]:
        """What JSON says of it."""
        return {"path": str(self.path), "reason": self.reason}


@dataclass(frozen=True, slots=True)
class FaceGeometry:
    """How the pixels of a face are cut from a picture; part of the extractor's digest.

    `crop` resizes the whole picture, as the study does with FaceScrub crops. `align` maps five landmarks onto
    `template` (x, y in `canvas` pixels; eyes, nose, mouth corners; image-left first) by a similarity and takes
    `region` (x0, y0, x1, y1 of the canvas) in one bilinear warp. `box` crops what the detector frames, widened so that
    `margin` pixels of the face's width and height lie outside the frame, half on each side, and resizes that:
    facenet-pytorch's way (`extract_face` in its `models/utils/detect_face.py`).
    """

    width: int
    height: int
    mode: Literal["crop", "align", "box"] = "crop"
    canvas: tuple[float, ...] | None = None
    template: tuple[tuple[float, float], ...] | None = None
    region: tuple[float, ...] | None = None
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    border: Literal["black", "replicate"] = "black"
    padding: float = 0.0
    stretch: bool = False
    margin: int = 0

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise InputError(f"face size must be positive, not {self.width}×{self.height}")
        if self.padding < 0:
            raise InputError(f"padding is a share of the picture's sides, not {self.padding}")
        if self.margin and self.mode != "box":
            raise InputError('margin belongs to face mode "box"')
        if not 0 <= self.margin < min(self.width, self.height):
            raise InputError(f"margin is a number of the face's own pixels, fewer than its sides, not {self.margin}")
        if self.mode != "align":
            if self.mode == "box" and (self.padding or self.stretch or self.border != "black"):
                raise InputError('padding, stretch and border do not belong to face mode "box"')
            if self.canvas or self.template or self.region:
                raise InputError('canvas, template and region belong to face mode "align"')
            return
        if self.canvas is None or self.template is None or len(self.template) != 5:
            raise InputError('face mode "align" needs a canvas [width, height] and a template of five [x, y] points')
        if self.interpolation != "bilinear" or self.padding or self.stretch:
            raise InputError('interpolation "bicubic", padding and stretch belong to face mode "crop"')
        x0, y0, x1, y1 = self.region or (0, 0, *self.canvas)
        if not (x0 < x1 and y0 < y1):
            raise InputError(f"region [x0, y0, x1, y1] is empty: {self.region}")

    @property
    def found(self) -> bool:
        """Return whether a detector has to find the face first."""
        return self.mode != "crop"

    def values(self) -> dict[str, Any]:
        """Return every field that changes pixels; a margin only where there is one, which older digests lack."""
        return {key: value for key, value in asdict(self).items() if key != "margin" or self.mode == "box"}

    @property
    def digest(self) -> str:
        """Hex SHA-256 of every field that changes pixels."""
        return digest_of(self.values())


@dataclass(frozen=True, slots=True)
class Faces:
    """Cut pictures: `pixels` uint8 (N, H, W, 3) RGB 0…255, all in one geometry."""

    pixels: U8
    geometry: FaceGeometry

    def __post_init__(self) -> None:
        shape = (self.geometry.height, self.geometry.width, 3)
        if self.pixels.dtype != np.uint8 or self.pixels.shape[1:] != shape:
            raise InputError(
                f"faces must be uint8 (N, {', '.join(map(str, shape))}), not {self.pixels.dtype} {self.pixels.shape}"
            )


@dataclass(frozen=True, slots=True)
class Embeddings:
    """What an extractor makes of faces: `vectors` float32 (N, D), finite; unit rows where its spec normalises.

    `extractor` is the digest of weights and preprocessing: vectors of different digests say nothing about each other.
    """

    vectors: F32
    extractor: str

    def __post_init__(self) -> None:
        if self.vectors.dtype != np.float32 or self.vectors.ndim != 2:
            raise InputError(f"embeddings must be float32 (N, D), not {self.vectors.dtype} {self.vectors.shape}")
        if not np.isfinite(self.vectors).all():
            raise InputError("embeddings must be finite")

    def of(self, extractor: str) -> F32:
        """Return the vectors; raises `DigestMismatch` unless they are of the extractor with this digest."""
        if self.extractor != extractor:
            raise DigestMismatch(
                f"these embeddings are of the extractor {self.extractor[:16]}, not of {extractor[:16]}: vectors of two "
                "extractors say nothing about each other; embed again"
            )
        return self.vectors


@dataclass(frozen=True, slots=True)
class Outcome:
    """Counts for one protected identity under one cloak, summed over splits.

    `revealed_by` maps a cloaked picture (its row in the embedding table) to (probes it identified,
    probes that no other cloaked picture would have identified). `probe_rows` are the probes and `identified_rows` those
    of them that were identified, for tests of pairs.
    """

    identity: str
    probes: int = 0
    identified: int = 0
    clean_identified: int = 0
    enrolled: int = 0
    enrolled_identified: int = 0
    control_probes: int = 0
    control_errors: int = 0
    revealed_by: tuple[tuple[int, int, int], ...] = ()
    probe_rows: tuple[int, ...] = ()
    identified_rows: tuple[int, ...] = ()
