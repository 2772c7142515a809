"""What a file is, by its first bytes: a raster format that is decoded, or something else that lies among photos."""

from __future__ import annotations

import re

HEAD = 64  # bytes that tell


class UnreadablePicture(Exception):
    """What cannot be opened, is no picture, is too large, or cannot be shown as 8-bit RGB without guessing."""


# Pillow's names, in order of preference where a photo lies there in several; cameras' raw files pass for TIFF
_FORMATS = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "WEBP": rb"RIFF....WEBP",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    "PPM": rb"P[1-6]\s",
    "JPEG2000": rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n",
    "AVIF": rb"....ftyp(?:....)*?avi[fs]",
    "HEIF": rb"....ftyp(?:....)*?(?:hei[cxms]|hev[cxms]|mif1|msf1)",
    "TIFF": rb"(?:II\*\0(?!....CR)|MM\0\*|II\+\0|MM\0\+)",
}
_OTHERS = {
    "a camera's raw file; export it as JPEG": rb"II\*\0....CR|IIR[OS]|MMOR|IIU\0|FUJIFILM|....ftypcrx ",
    "a video": rb"....(?:ftyp|moov|mdat|wide|pnot)|\x1aE\xdf\xa3|RIFF....AVI |\0\0\x01[\xb3\xba]",
    "PostScript, which is not run; save it as JPEG or PNG": rb"%!PS|\xc5\xd0\xd3\xc6",
    "a PDF; save its picture as JPEG or PNG": rb"%PDF",
    "a Photoshop file; save it as JPEG or PNG": rb"8BPS",
}


def recognise(head: bytes) -> str | None:
    """Return Pillow's name of the format that a file beginning with `head` has; None for what is not decoded."""
    return _first(_FORMATS, head)


def described(head: bytes) -> str:
    """Return why a file that `recognise` does not know is no picture."""
    return (_first(_OTHERS, head) or "no known picture format") if head else "an empty file"


def preference(name: str) -> int:
    """Return the rank of a format among files of one photo, 0 the first choice."""
    return list(_FORMATS).index(name)


def _first(patterns: dict[str, bytes], head: bytes) -> str | None:
    if head[4:8] == b"ftyp":  # its first box lists what it may be taken for; what follows is anything
        head = head[: int.from_bytes(head[:4], "big")]
    return next((name for name, pattern in patterns.items() if re.match(pattern, head, re.DOTALL)), None)
