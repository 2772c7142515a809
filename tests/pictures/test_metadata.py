"""What of a photo's metadata may go along: never the picture that it hides, and all that can be written again."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from facecure.pictures.metadata import metadata_of

FLAT = np.full((16, 24, 3), 90, np.uint8)


def photo(form: str = "JPEG", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(FLAT).save(file, form, **options)
    return file.getvalue()


def entries(exif: bytes) -> Image.Exif:
    found = Image.Exif()
    found.load(exif)
    return found


def raw(*fields: tuple[int, int, int, bytes]) -> bytes:
    """Return EXIF of a model and these fields: tag, type, count and up to four bytes."""
    rows = sorted([(0x0110, 2, 3, b"me\0"), *fields])
    packed = b"".join(struct.pack(">HHI4s", *row) for row in rows)
    return b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", len(rows)) + packed + bytes(4)


def with_thumbnail() -> bytes:
    """Return EXIF with an orientation, a model and a JPEG thumbnail in its second directory."""
    exif = Image.Exif()
    exif[0x0112], exif[0x0110] = 6, "model"
    first = exif.tobytes()[6:]
    second = len(first)
    count = int.from_bytes(first[8:10], "little" if first[:2] == b"II" else "big")
    order = "little" if first[:2] == b"II" else "big"
    link = 10 + 12 * count
    data = photo()
    directory = (2).to_bytes(2, order)
    for tag, value in ((0x0201, second + 2 + 24 + 4), (0x0202, len(data))):
        directory += tag.to_bytes(2, order) + (4).to_bytes(2, order) + (1).to_bytes(4, order) + value.to_bytes(4, order)
    return b"Exif\0\0" + first[:link] + second.to_bytes(4, order) + first[link + 4 :] + directory + bytes(4) + data


def test_a_thumbnail_stays_behind():
    data = photo(exif=with_thumbnail())
    with Image.open(io.BytesIO(data)) as image:
        assert image.getexif().get_ifd(ExifTags.IFD.IFD1)[0x0202] > 100
    found = metadata_of(data)
    assert b"\xff\xd8\xff" not in found.exif
    assert dict(entries(found.exif)) == {0x0110: "model"}
    assert found.dropped == ""


@pytest.mark.parametrize("tag", [0x02BC, 0x8649, 0x014A])
def test_what_may_hold_a_preview_stays_behind(tag):
    assert dict(entries(metadata_of(photo(exif=raw((tag, 1, 4, b"abcd")))).exif)) == {0x0110: "me"}


def test_camera_time_and_place_go_along():
    exif = Image.Exif()
    exif[0x0110] = "model"
    exif[ExifTags.IFD.Exif] = {0x829A: 0.5, 0x9003: "2021:07:14 10:00:00", 0x927C: b"maker's note"}
    exif[ExifTags.IFD.GPSInfo] = {1: "N", 2: (49.0, 59.0, 9.5)}
    again = entries(metadata_of(photo(exif=exif)).exif)
    assert again[0x0110] == "model"
    assert again.get_ifd(ExifTags.IFD.Exif) == {0x829A: 0.5, 0x9003: "2021:07:14 10:00:00"}
    assert again.get_ifd(ExifTags.IFD.GPSInfo) == {1: "N", 2: (49.0, 59.0, 9.5)}


def test_an_entry_that_cannot_be_written_stays_behind_alone():
    found = metadata_of(photo(exif=raw((0x011A, 2, 3, b"72\0"), (0x0131, 2, 4, b"abc\0"))))
    assert dict(entries(found.exif)) == {0x0110: "me", 0x0131: "abc"}
    assert found.dropped == "XResolution"


@pytest.mark.parametrize("kind", range(1, 14))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_pair_of_tag_and_type_loses_the_others(kind):
    """Every tag that EXIF or TIFF gives a meaning, in a type that it may not have."""
    size = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}[kind]
    count = max(1, 4 // size)
    for tag in sorted(set(ExifTags.TAGS) - {0x0110}):
        found = metadata_of(photo(exif=raw((tag, kind, count, b"\0\0\0\1"))))
        assert entries(found.exif)[0x0110] == "me", tag
        photo(exif=found.exif)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\0\1"]
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_broken_metadata_is_left_out(exif):
    assert metadata_of(photo(exif=exif)).options(exif=True) == {}


def test_a_file_of_which_pillow_knows_no_metadata_has_none():
    """OpenCV may decode what Pillow does not open."""
    found = metadata_of(b"\xff\xd8\xff, and nothing more")
    assert (found.options(exif=True), found.dropped.split(",")[0]) == ({}, "all")


def test_more_than_a_photo_can_hold_is_left_out_and_said():
    exif = Image.Exif()
    exif[0x010E] = "long " * 14000
    found = metadata_of(photo("PNG", exif=exif))
    assert (found.exif, found.dropped) == (b"", "all, longer than a photo can hold")


def test_nothing_is_carried_unless_there_is_something():
    for exif in (False, True):
        assert metadata_of(photo("PNG")).options(exif=exif) == {}
    assert metadata_of(photo(exif=raw())).options(exif=False) == {}


@pytest.mark.parametrize(("kind", "kept"), [("sRGB", True), ("LAB", False)])
def test_a_colour_profile_goes_along_where_it_is_that_of_the_pixels(kind, kept):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile(kind)).tobytes()
    assert ("icc_profile" in metadata_of(photo(icc_profile=profile)).options(exif=False)) == kept
