"""First bytes tell what a file is."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from facecure.pictures.formats import HEAD, described, preference, recognise

PIXELS = Image.fromarray(np.full((9, 7, 3), 90, np.uint8))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "PPM", "TIFF", "JPEG2000", "AVIF"])
def test_what_pillow_writes_is_recognised(form):
    if form not in Image.SAVE:
        Image.init()
    if form not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {form}")
    file = io.BytesIO()
    PIXELS.save(file, form)
    assert recognise(file.getvalue()[:HEAD]) == form


@pytest.mark.parametrize(
    ("head", "form"),
    [
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (b"II+\0\x08\0\0\0", "TIFF"),
        (b"P4\n9 7\n", "PPM"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heixmiaf", "HEIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42\0\0\0\x18ftypheic", None),  # what follows the first box is no brand
        (b"P7\n9 7\n", None),
        (b"BMW is a brand of cars", None),
        (b"RIFF\0\0\0\0WAVEfmt ", None),
        (b"\xff\xd8", None),
        (b"", None),
    ],
)
def test_other_heads(head, form):
    assert recognise(head) == form


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"", "an empty file"),
        (b"<?xml version='1.0'?>", "no known picture format"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", "a video"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "a video"),
        (b"\0\0\0\x08wide\0\0\0\x10mdat", "a video"),
        (b"\x1aE\xdf\xa3", "a video"),
        (b"\0\0\0\x18ftypcrx \0\0\0\0crx isom", "raw file; export it as JPEG"),
        (b"II*\0\x10\0\0\0CR\2\0", "raw file; export it as JPEG"),
        (b"FUJIFILMCCD-RAW", "raw file; export it as JPEG"),
        (b"%!PS-Adobe", "PostScript"),
        (b"%PDF-1.7", "PDF"),
        (b"8BPS\0\1", "Photoshop"),
    ],
)
def test_what_is_no_picture_is_called_by_its_name(head, reason):
    assert recognise(head) is None
    assert reason in described(head)


def test_a_jpeg_comes_before_what_raw_files_pass_for():
    assert preference("JPEG") < preference("PNG") < preference("HEIF") < preference("TIFF")
