"""Decoding as it is used: the common JPEG by OpenCV's libjpeg-turbo, everything else by Pillow, the reference.

On every JPEG of the shared assets and every kind made in the tests both give the same bytes, and OpenCV is the faster
(bench/faces.py). Whatever could part them goes to Pillow: see `_plain_jpeg`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import cv2
import numpy as np

from facecure.pictures import decode_pillow
from facecure.types import U8

_HUFFMAN_8_BIT = (0xC0, 0xC1, 0xC2)  # start of frame: baseline, extended, progressive
_START_OF_SCAN, _APP1 = 0xDA, 0xE1
_ORIENTATION = 0x0112
# 0xFF once scans began, followed by none of: a stuffed 0, a restart, fill, the head of a further scan or its tables.
# Such a marker before the end is damage, by which Pillow may refuse what OpenCV fills in.
_DAMAGE = re.compile(rb"\xff(?!\x00|[\xd0-\xd7]|\xff|\xc4\x00|\xdd\x00\x04|\xda\x00[\x06\x08\x0a\x0c])")
# OpenCV's own handling of orientation knows less metadata than Pillow's, so it stays off.
_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION


def decode(data: bytes, admit: Callable[[int], None] = lambda pixels: None) -> U8:
    """Return a picture file's content as uint8 (H, W, 3) RGB 0…255: the pixels of `decode_pillow.decode`.

    `admit` is called with its number of pixels, by its header, before they are decoded. Raises `UnreadablePicture`
    where that does.
    """
    size = _plain_jpeg(data)
    if not size:
        return decode_pillow.decode(data, admit)
    admit(size)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS)
    except cv2.error:
        pixels = None
    if pixels is None:
        return decode_pillow.decode(data)  # Pillow says what is wrong with it, if anything
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels))


def _plain_jpeg(data: bytes) -> int:
    """Return the number of pixels of a whole, upright JPEG of 8-bit grey or three-channel samples, 0 for all others.

    The last bytes must be the end marker: of a truncated file OpenCV returns what there is, in part grey, where Pillow
    refuses. CMYK, arithmetic coding, rotated pictures and those beyond the limit are Pillow's.
    """
    if data[:2] != b"\xff\xd8" or data[-2:] != b"\xff\xd9":
        return 0
    at, told = 2, False  # whether there is metadata that may tell an orientation
    size = 0
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _START_OF_SCAN:
            whole = _DAMAGE.search(data, at + 2 + length, len(data) - 2) is None
            plain = size <= decode_pillow.MAX_PIXELS and whole and not (told and _turned(data))
            return size if plain else 0
        if marker in _HUFFMAN_8_BIT:
            bits, channels = data[at + 4], data[at + 9]
            if size or bits != 8 or channels not in (1, 3):
                return 0
            size = int.from_bytes(data[at + 5 : at + 7], "big") * int.from_bytes(data[at + 7 : at + 9], "big")
        told |= marker == _APP1
        at += 2 + length
    return 0


def _turned(data: bytes) -> bool:
    """Return whether Pillow finds an orientation other than upright in the metadata, EXIF or XMP."""
    try:
        return bool(decode_pillow.opened(data).getexif().get(_ORIENTATION, 1) != 1)
    except Exception:  # Pillow's plugins raise whatever their parser stumbles on
        return True
