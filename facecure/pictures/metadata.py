"""What a photo's file says beside its pixels, and what of it may go into the cloaked one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image

from facecure.pictures.decode_pillow import opened

_PARTS = {None: ExifTags.TAGS, ExifTags.IFD.Exif: ExifTags.TAGS, ExifTags.IFD.GPSInfo: ExifTags.GPSTAGS}
_MAKER_NOTE, _XMP, _PHOTOSHOP = 0x927C, 0x02BC, 0x8649  # any of them may hold a preview
_BEHIND = {0x0112, _MAKER_NOTE, _XMP, _PHOTOSHOP, *ExifTags.IFD}  # with the orientation and what links the parts
_LONGEST = 65533  # bytes of one segment of a JPEG
_LONGEST_PROFILE = 1 << 23  # of its segments together, and half


@dataclass(frozen=True, slots=True)
class Metadata:
    """What Pillow's `save` may write into a photo: colour `profile` and `exif`, empty for none.

    `dropped` says what of the EXIF could not be written again.
    """

    profile: bytes = b""
    exif: bytes = b""
    dropped: str = ""

    def options(self, *, exif: bool) -> dict[str, bytes]:
        """Return the arguments for `save`, with or without the EXIF."""
        found = {"icc_profile": self.profile, "exif": self.exif if exif else b""}
        return {key: value for key, value in found.items() if value}


def metadata_of(data: bytes) -> Metadata:
    """Return what may go into a photo made from a picture file that decodes, whose orientation has been applied.

    The colour profile goes along, for pixels mean nothing without it. Of the EXIF the thumbnail never does, nor what
    may hold one, a maker's note, XMP and Photoshop's block: they show the face uncloaked. An entry that Pillow cannot
    write again, cameras and editors write many kinds, stays behind alone.
    """
    profile = b""
    try:
        image = opened(data)
        profile = image.info.get("icc_profile") or b""
        if profile[16:20] != b"RGB " or len(profile) > _LONGEST_PROFILE:  # of what the written pixels are
            profile = b""
        told = image.getexif()
    except Exception as error:  # Pillow's parsers raise whatever they stumble on
        return Metadata(profile, b"", f"all, {type(error).__name__}")
    exif, dropped = _rewritten(told)
    if len(exif) > _LONGEST:
        exif, dropped = b"", ["all, longer than a photo can hold"]
    return Metadata(profile, exif, ", ".join(dropped))


def _rewritten(told: Image.Exif) -> tuple[bytes, list[str]]:
    """Return the entries that can be written as EXIF, and the names of the others."""
    kept, dropped = _like(told), []
    for part, names in _PARTS.items():
        try:
            entries = told if part is None else told.get_ifd(part)
        except Exception:  # as above
            dropped.append(str(part and part.name))
            continue
        for tag in [tag for tag in entries if tag not in _BEHIND]:
            try:
                value = entries[tag]
                _put(_like(told), part, tag, value).tobytes()
            except Exception:  # as above
                dropped.append(names.get(tag, f"tag {tag}"))
            else:
                _put(kept, part, tag, value)
    return (kept.tobytes() if len(kept) else b""), dropped


def _like(told: Image.Exif) -> Image.Exif:
    """Return EXIF without entries, in the same byte order."""
    empty = Image.Exif()
    empty.endian = told.endian
    return empty


def _put(exif: Image.Exif, part: ExifTags.IFD | None, tag: int, value: Any) -> Image.Exif:
    if part is None:
        exif[tag] = value
    else:
        exif[part] = {**exif.get(part, {}), tag: value}
    return exif
