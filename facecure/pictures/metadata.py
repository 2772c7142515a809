"""What a photo's file says beside its pixels, and what of it may go into the cloaked one."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

_ORIENTATION, _EXIF, _MAKER_NOTE = 0x0112, 0x8769, 0x927C


def carried(file: Path, *, exif: bool) -> dict[str, bytes]:
    """Return what Pillow's `save` is to write into a photo made from `file`, whose orientation has been applied.

    The colour profile goes along, for pixels mean nothing without it; with `exif` also camera, time and place. The
    thumbnail never does, nor a maker's note, which may hold one: they show the face uncloaked.
    """
    found = {}
    with Image.open(file) as image:
        profile = image.info.get("icc_profile")
        if profile and profile[16:20] == b"RGB ":  # of what the written pixels are
            found["icc_profile"] = profile
        if exif:
            told = image.getexif()
            told.pop(_ORIENTATION, None)
            told.get_ifd(_EXIF).pop(_MAKER_NOTE, None)
            found["exif"] = told.tobytes()
    return found
