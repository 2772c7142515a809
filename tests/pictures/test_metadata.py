"""What of a photo's metadata may go along: never the picture that it hides."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from facecure.pictures.metadata import carried

FLAT = np.full((16, 24, 3), 90, np.uint8)


def with_thumbnail() -> bytes:
    """Return EXIF with an orientation, a model and a JPEG thumbnail in its second directory."""
    thumbnail = io.BytesIO()
    Image.fromarray(FLAT).save(thumbnail, "JPEG")
    exif = Image.Exif()
    exif[0x0112], exif[0x0110] = 6, "model"
    first = exif.tobytes()[6:]
    second = len(first)
    entries = int.from_bytes(first[8:10], "little" if first[:2] == b"II" else "big")
    order = "little" if first[:2] == b"II" else "big"
    link = 10 + 12 * entries
    data = thumbnail.getvalue()
    directory = (2).to_bytes(2, order)
    for tag, value in ((0x0201, second + 2 + 24 + 4), (0x0202, len(data))):
        directory += tag.to_bytes(2, order) + (4).to_bytes(2, order) + (1).to_bytes(4, order) + value.to_bytes(4, order)
    return b"Exif\0\0" + first[:link] + second.to_bytes(4, order) + first[link + 4 :] + directory + bytes(4) + data


def test_a_thumbnail_stays_behind(tmp_path):
    file = tmp_path / "photo.jpg"
    Image.fromarray(FLAT).save(file, exif=with_thumbnail())
    with Image.open(file) as image:
        assert image.getexif().get_ifd(ExifTags.IFD.IFD1)[0x0202] > 100
    found = carried(file, exif=True)
    assert b"\xff\xd8\xff" not in found["exif"]
    again = Image.Exif()
    again.load(found["exif"])
    assert again[0x0110] == "model"
    assert 0x0112 not in again


def test_nothing_is_carried_unless_there_is_something(tmp_path):
    file = tmp_path / "photo.png"
    Image.fromarray(FLAT).save(file)
    assert carried(file, exif=False) == {}
    assert set(carried(file, exif=True)) <= {"exif"}


@pytest.mark.parametrize(("kind", "kept"), [("sRGB", True), ("LAB", False)])
def test_a_colour_profile_goes_along_where_it_is_that_of_the_pixels(tmp_path, kind, kept):
    file = tmp_path / "photo.jpg"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile(kind)).tobytes()
    Image.fromarray(FLAT).save(file, icc_profile=profile)
    assert ("icc_profile" in carried(file, exif=False)) == kept
