"""Whichever decoder is taken, the pixels and the refusals are Pillow's."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import facecure.pictures.decode as module
from facecure.pictures import decode_pillow
from facecure.pictures.decode import decode
from facecure.pictures.formats import UnreadablePicture


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return smooth colours under some noise, so that chroma upsampling and rounding matter."""
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([3 * x + y, 2 * y, 255 - x - y], axis=2) % 256
    return np.clip(smooth + np.random.default_rng(seed).normal(0, 9, smooth.shape), 0, 255).astype(np.uint8)


def jpeg(pixels: np.ndarray, mode: str = "RGB", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "JPEG", **{"quality": 90} | options)
    return file.getvalue()


def oriented(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


@pytest.fixture
def by_pillow(monkeypatch):
    """Record the calls that reach Pillow."""
    calls, real = [], decode_pillow.decode
    monkeypatch.setattr(module.decode_pillow, "decode", lambda data, *rest: (calls.append(data), real(data, *rest))[1])
    return calls


PLAIN = {
    **{f"chroma_{s}_quality_{q}": {"subsampling": s, "quality": q} for s in (0, 1, 2) for q in (40, 75, 100)},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "progressive_with_restarts": {"progressive": True, "restart_marker_rows": 1},
    "optimised": {"optimize": True},
    "rgb_stored_as_such": {"keep_rgb": True},
    "upright_exif": {"exif": oriented(1)},
    "comment": {"comment": b"\xff\xd9 \xff\xda"},
    "profile": {"icc_profile": bytes(70000)},
}


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (8, 16), (33, 47), (250, 250)], ids=str)
@pytest.mark.parametrize("options", PLAIN.values(), ids=PLAIN)
def test_common_jpeg_has_pillows_pixels_without_pillow(options, size, by_pillow):
    data = jpeg(scene(*size), **options)
    expected = decode_pillow.decode(data)
    by_pillow.clear()
    pixels = decode(data)
    assert not by_pillow
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("progressive", [False, True])
def test_grey_jpeg_has_pillows_pixels_without_pillow(progressive, by_pillow):
    data = jpeg(scene(31, 45), "L", progressive=progressive)
    expected = decode_pillow.decode(data)
    by_pillow.clear()
    np.testing.assert_array_equal(decode(data), expected)
    assert not by_pillow


OTHER = {
    "cmyk": jpeg(scene(16, 24), "CMYK"),
    **{f"orientation_{value}": jpeg(scene(16, 24), exif=oriented(value)) for value in range(2, 9)},
    "trailing_bytes": jpeg(scene(16, 24)) + b"\0\0",
    "fill_before_a_marker": jpeg(scene(16, 24)).replace(b"\xff\xc0", b"\xff\xff\xc0"),
}


@pytest.mark.parametrize("data", OTHER.values(), ids=OTHER)
def test_unusual_jpeg_is_pillows(data, by_pillow):
    np.testing.assert_array_equal(decode(data), decode_pillow.decode(data))
    assert by_pillow


def test_too_many_pixels_are_refused_by_the_header(monkeypatch):
    monkeypatch.setattr(decode_pillow, "MAX_PIXELS", 383)
    asked = []
    with pytest.raises(UnreadablePicture, match="24×16 pixels, beyond"):
        decode(jpeg(scene(16, 24)), asked.append)
    assert asked == []


@pytest.mark.parametrize(
    "data", [jpeg(scene(16, 24)), jpeg(scene(16, 24), exif=oriented(6)), jpeg(scene(16, 24), "CMYK")]
)
def test_the_number_of_pixels_is_told_once_before_they_are_decoded(data, monkeypatch):
    asked = []
    decode(data, asked.append)
    assert asked == [384]

    def refuse(pixels):
        raise LookupError

    monkeypatch.setattr(module.cv2, "imdecode", None)
    with pytest.raises(LookupError):
        decode(data, refuse)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("exif", [b"", b"Exif\0\0garbage"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_every_truncation_is_treated_as_pillow_does(progressive, exif):
    whole = jpeg(scene(40, 40), progressive=progressive, exif=exif)
    for length in range(0, len(whole), 7):
        assert_like_pillow(whole[:length])
        if length > 2:
            assert_like_pillow(whole[:length] + b"\xff\xd9")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}], ids=str)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damage_is_treated_as_pillow_does(options):
    rng = np.random.default_rng(3)
    whole = jpeg(scene(40, 56), **options)
    for _ in range(400):
        damaged = bytearray(whole)
        damaged[rng.integers(2, len(whole) - 2)] = rng.integers(256)
        start = rng.integers(600, len(whole) - 40)
        if rng.random() < 0.3:
            del damaged[start : start + rng.integers(1, 30)]
        assert_like_pillow(bytes(damaged))


def outcome(decoder, data: bytes) -> np.ndarray:
    """Return the pixels, or the reason for having none as an array."""
    try:
        return decoder(data)
    except UnreadablePicture as reason:
        return np.array(str(reason))


def assert_like_pillow(data: bytes) -> None:
    np.testing.assert_array_equal(outcome(decode, data), outcome(decode_pillow.decode, data))


@pytest.mark.shared
@pytest.mark.slow
def test_real_jpegs_have_pillows_pixels(assets: Path):
    files = [f for f in sorted(assets.rglob("*")) if f.suffix.lower() in (".jpg", ".jpeg")]
    assert files
    for file in files:
        data = file.read_bytes()
        np.testing.assert_array_equal(decode(data), decode_pillow.decode(data), err_msg=str(file))
