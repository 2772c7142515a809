"""Decoding with Pillow: the reference decoder, and the one for every format but the common JPEG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from facecure.types import U8


class UnreadablePicture(Exception):
    """Bytes that are no picture, or one whose values cannot be shown as 8-bit RGB without guessing."""


def decode(data: bytes) -> U8:
    """Return a picture file's content as uint8 (H, W, 3) RGB 0…255.

    EXIF orientation is applied; grey, palette and CMYK become RGB, alpha is dropped, of an animation the first frame
    counts. 16-bit grey keeps its high byte, as Pillow does for 16-bit RGB. Raises `UnreadablePicture` with the
    decoder's reason.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            upright = ImageOps.exif_transpose(image)
            if upright.mode == "F":
                raise UnreadablePicture("floating-point samples have no defined range; save as 8-bit")
            if upright.mode.startswith("I"):
                return _grey16(upright)
            upright.info.pop("transparency", None)  # dropped like alpha; Pillow warns where a palette has it in bytes
            return np.array(upright.convert("RGB"))
    except UnreadablePicture:
        raise
    except UnidentifiedImageError as error:
        raise UnreadablePicture("no known picture format" if data else "an empty file") from error
    except Exception as error:  # Pillow's plugins raise whatever their parser stumbles on
        raise UnreadablePicture(f"{type(error).__name__}: {error}") from error


def _grey16(image: Image.Image) -> U8:
    values = np.array(image)
    if values.min() < 0 or values.max() > 65535:
        raise UnreadablePicture("integer samples beyond 16 bit have no defined range; save as 8-bit")
    return np.repeat((values >> 8).astype(np.uint8)[..., None], 3, axis=2)
