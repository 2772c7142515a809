"""Decoding with Pillow: the reference decoder, and the one for every format but the common JPEG."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFile

from facecure.pictures.formats import HEAD, UnreadablePicture, described, recognise
from facecure.types import U8

MAX_PIXELS = 160_000_000  # the largest camera sensors, at about 8 bytes each while a picture is decoded
_STRIP = 1 << 20  # pixels that are converted at a time
_ORIENTATION, _NEW_SUBFILE_TYPE = 0x0112, 254
_UPRIGHT = {  # EXIF 2.3, tag 274
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
_SCALES = {"L;2": 85, "L;4": 17}  # from PNG's samples of fewer bits to Pillow's
_GIANTS = threading.Lock()  # warnings are filtered for the whole process


def decode(data: bytes, admit: Callable[[int], None] = lambda pixels: None) -> U8:
    """Return a picture file's content as uint8 (H, W, 3) RGB 0…255, once `admit` has returned for its pixel count.

    EXIF orientation is applied; grey, palette and CMYK become RGB, of an animation the first frame counts. What is
    transparent shows white, as on a page: pixels that nobody sees are not told. 16-bit grey keeps its high byte, as
    Pillow does for 16-bit RGB. Raises `UnreadablePicture` with the decoder's reason.
    """
    image = opened(data)
    _check(image)
    admit(image.width * image.height)
    try:
        image = _upright(_loaded(image))
        pixels = np.empty((image.height, image.width, 3), np.uint8)
        rows = max(1, _STRIP // image.width)
        for top in range(0, image.height, rows):
            bottom = min(top + rows, image.height)
            pixels[top:bottom] = _rgb(image.crop((0, top, image.width, bottom)))
        return pixels
    except UnreadablePicture:
        raise
    except Exception as error:  # Pillow's plugins raise whatever their parser stumbles on
        raise UnreadablePicture(f"{type(error).__name__}: {error}") from error


def opened(data: bytes) -> Image.Image:
    """Return Pillow's image of a picture file, its header read and nothing decoded; raises `UnreadablePicture`.

    The plugin of the format that the first bytes tell is asked, and no other: none starts another program. Pillow's
    own limit, which speaks of attacks, is not; see `MAX_PIXELS`.
    """
    name = recognise(data[:HEAD])
    if name is None:
        raise UnreadablePicture(described(data[:HEAD]))
    try:
        return _plugin(name)(io.BytesIO(data), "")
    except UnreadablePicture:
        raise
    except Image.DecompressionBombError:
        raise UnreadablePicture(_too_large("")) from None
    except Exception as error:
        raise UnreadablePicture(f"{type(error).__name__}: {error}") from error


def _plugin(name: str) -> Callable[[io.BytesIO, str], ImageFile.ImageFile]:
    if name == "HEIF":
        try:
            import pillow_heif
        except ImportError as error:
            raise UnreadablePicture(
                'HEIC, which needs pillow-heif: pip install "facecure[heif]", or save it as JPEG'
            ) from error
        plugin: Callable[[io.BytesIO, str], ImageFile.ImageFile] = pillow_heif.HeifImageFile
        return plugin
    Image.preinit()
    if name not in Image.OPEN:
        Image.init()
    if name not in Image.OPEN:
        raise UnreadablePicture(f"{name}, which the installed Pillow does not read; save it as JPEG or PNG")
    return Image.OPEN[name][0]


def _check(image: Image.Image) -> None:
    """Raise `UnreadablePicture` for what the header tells to be too large or without a defined meaning."""
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise UnreadablePicture(_too_large(f"{image.width}×{image.height} pixels, "))
    if image.mode == "F":
        raise UnreadablePicture("floating-point samples have no defined range; save as 8-bit")
    if image.format == "TIFF":
        if image.mode == "I":
            raise UnreadablePicture("32-bit and signed samples have no defined range; save as 8-bit")
        if getattr(image, "tag_v2", {}).get(_NEW_SUBFILE_TYPE, 0) & 1:
            raise UnreadablePicture("its first picture is a preview, as in cameras' raw files; export it as JPEG")


def _too_large(size: str) -> str:
    return f"{size}beyond the {MAX_PIXELS // 1_000_000} megapixels that are decoded; save it at half its sides"


def _loaded(image: Image.Image) -> Image.Image:
    """Return the image, decoded."""
    raw = getattr(image, "tile", None)
    mode = raw[0][3] if image.format == "PNG" and raw else None
    if image.width * image.height > (Image.MAX_IMAGE_PIXELS or MAX_PIXELS):
        with _GIANTS, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image.load()
    else:
        image.load()
    clear = image.info.get("transparency")
    if clear is not None and mode in _SCALES:
        image.info["transparency"] = clear * _SCALES[mode]
    elif clear is not None and mode == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in clear)
    return image


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken metadata does not make a picture unreadable
        turn = None
    return image if turn is None else image.transpose(turn)


def _rgb(part: Image.Image) -> U8:
    """Return uint8 (H, W, 3) of a strip."""
    if part.mode.startswith("I"):
        return _grey16(part)
    if part.has_transparency_data:
        seen = Image.new("RGB", part.size, "white")
        part = part.convert("RGBA")
        seen.paste(part, mask=part)
        return np.asarray(seen)
    return np.asarray(part.convert("RGB"))


def _grey16(part: Image.Image) -> U8:
    values = np.asarray(part)
    if values.min() < 0 or values.max() > 65535:
        raise UnreadablePicture("integer samples beyond 16 bit have no defined range; save as 8-bit")
    levels = (values >> 8).astype(np.uint8)
    if "transparency" in part.info:
        levels[values == part.info["transparency"]] = 255
    return np.repeat(levels[..., None], 3, axis=2)
