"""How cloaked pictures are written: formats, file names, and what a format cannot hold."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import Literal, get_args

from PIL import Image

from facecure.errors import InputError
from facecure.types import U8

Format = Literal["png", "jpeg", "webp"]
QUALITY = 95  # of JPEG, without chroma subsampling, and WebP
_LONGEST_SIDES = {"jpeg": 65500, "webp": 16383}
_ENDINGS = {"png": "png", "jpeg": "jpg", "webp": "webp"}


@dataclass(frozen=True, slots=True)
class CloakOutput:
    """How cloaked pictures are written.

    Without `whole` pictures are face crops, and become faces in the cloak's size. With it they are photos: every face
    that the detector finds is cut out by the cloak's own geometry, cloaked and put back. `image_format` is png, or jpeg
    or webp at quality 95. Photos keep their colour profile, and with `keep_exif` what the camera wrote, the place
    included, but never its thumbnail. `trace` is a file for one JSON line per picture and iteration. Raises
    `InputError` for an unknown format.
    """

    whole: bool = False
    image_format: Format = "png"
    keep_exif: bool = False
    trace: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if self.image_format not in get_args(Format):
            raise InputError(f"image_format is png, jpeg or webp, not {self.image_format!r}")

    @property
    def ending(self) -> str:
        """Return that of the files."""
        return _ENDINGS[self.image_format]

    def oversized(self, pixels: U8) -> str:
        """Return why a picture of this size cannot be written in the format; empty where it can."""
        side, most = max(pixels.shape[:2]), _LONGEST_SIDES.get(self.image_format)
        if most is None or side <= most:
            return ""
        return f"too large: a side of {side} pixels, beyond {most} of {self.image_format}, which png has not"


def encoded(pixels: U8, image_format: Format, **metadata: bytes) -> bytes:
    """Return an image file of uint8 (H, W, 3) RGB pixels, with no other metadata than this, as Pillow takes it."""
    options = {"png": {}, "jpeg": {"quality": QUALITY, "subsampling": 0}, "webp": {"quality": QUALITY}}[image_format]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, image_format.upper(), **options, **metadata)
    return file.getvalue()
