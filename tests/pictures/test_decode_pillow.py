"""Whatever the format, a picture decodes to upright 8-bit RGB or says why not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from facecure.pictures.decode_pillow import UnreadablePicture, decode

RGB = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
GREY = RGB[..., 0]
ALPHA = RGB[..., 1:2]
RGBA = np.concatenate([RGB, ALPHA], axis=2)
WIDE = np.array([[0, 255, 256], [257, 0x7FFF, 0xFFFF]], np.uint16)  # 16 bits


def encoded(image: Image.Image | np.ndarray, form: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, form, **options)
    return file.getvalue()


def in_three_channels(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=2)


def of_mode(mode: str, pixels: np.ndarray) -> Image.Image:
    return Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes())


def palette(**options) -> bytes:
    """Return a PNG of palette indices 0…34, whose colours are the pixels of RGB in order."""
    image = of_mode("P", np.arange(35, dtype=np.uint8).reshape(7, 5))
    image.putpalette(RGB.tobytes())
    return encoded(image, **options)


LOSSLESS = {
    "rgb_png": (encoded(RGB), RGB),
    "rgb_bmp": (encoded(RGB, "BMP"), RGB),
    "rgb_webp": (encoded(RGB, "WEBP", lossless=True), RGB),
    "rgb_tiff": (encoded(RGB, "TIFF"), RGB),
    "rgb_tiff_lzw": (encoded(RGB, "TIFF", compression="tiff_lzw"), RGB),
    "grey_png": (encoded(GREY), in_three_channels(GREY)),
    "grey_with_alpha": (encoded(of_mode("LA", np.dstack([GREY, ALPHA]))), in_three_channels(GREY)),
    "rgb_with_alpha": (encoded(RGBA), RGB),
    "rgb_with_a_transparent_colour": (encoded(RGB, transparency=tuple(map(int, RGB[0, 0]))), RGB),
    "grey_with_a_transparent_level": (encoded(GREY, transparency=int(GREY[0, 0])), in_three_channels(GREY)),
    "palette": (palette(), RGB),
    "palette_with_a_transparent_entry": (palette(transparency=3), RGB),
    "palette_with_alpha": (palette(transparency=bytes(range(35))), RGB),
    "palette_gif": (encoded(of_mode("L", GREY), "GIF"), in_three_channels(GREY)),
    "bilevel": (encoded(GREY > 127), in_three_channels(np.where(GREY > 127, 255, 0))),
    "grey16_png": (encoded(WIDE), in_three_channels(WIDE // 256)),
    "grey16_tiff": (encoded(WIDE, "TIFF"), in_three_channels(WIDE // 256)),
    "grey16_big_endian_tiff": (encoded(of_mode("I;16B", WIDE.byteswap()), "TIFF"), in_three_channels(WIDE // 256)),
    "grey32_tiff_of_16_bit_values": (encoded(WIDE.astype(np.int32), "TIFF"), in_three_channels(WIDE // 256)),
    "one_pixel": (encoded(RGB[:1, :1]), RGB[:1, :1]),
    "one_row": (encoded(RGB[:1]), RGB[:1]),
    "one_column": (encoded(RGB[:, :1]), RGB[:, :1]),
}


@pytest.mark.parametrize(("data", "expected"), LOSSLESS.values(), ids=LOSSLESS)
def test_lossless_pictures_become_their_rgb_values(data, expected):
    pixels = decode(data)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("form", ["TIFF", "JPEG"])
def test_cmyk_becomes_rgb(form):
    ink = np.zeros((8, 8, 4), np.uint8)
    ink[:, :4, 0] = 255  # cyan beside black
    ink[:, 4:, 3] = 255
    pixels = decode(encoded(of_mode("CMYK", ink), form, **({"quality": 100} if form == "JPEG" else {})))
    np.testing.assert_allclose(pixels[:, :4], np.broadcast_to([0, 255, 255], (8, 4, 3)), atol=3)
    np.testing.assert_allclose(pixels[:, 4:], 0, atol=3)


@pytest.mark.parametrize("grey", [False, True])
def test_jpeg_is_near_its_source(grey):
    ramp = np.add.outer(np.arange(0, 128, 4), np.arange(0, 128, 4)).astype(np.uint8)
    pixels = decode(encoded(ramp if grey else in_three_channels(ramp), "JPEG", quality=95))
    assert np.abs(pixels.astype(int) - in_three_channels(ramp)).max() <= 4


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_counts(form):
    first, second = (Image.fromarray(in_three_channels(np.full((6, 4), level, np.uint8))) for level in (40, 200))
    options = {"lossless": True} if form == "WEBP" else {}
    data = encoded(first, form, save_all=True, append_images=[second], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 2
    np.testing.assert_array_equal(decode(data), np.full((6, 4, 3), 40))


ORIENTATIONS = {  # EXIF 2.3, tag 274: where the stored row 0 and column 0 lie, undone
    0: lambda stored: stored,  # not defined: left as it is
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored, 1),
    9: lambda stored: stored,
}


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize(("orientation", "upright"), ORIENTATIONS.items())
def test_orientation_is_applied(orientation, upright, form):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.zeros((16, 24, 3), np.uint8)
    stored[:8, :8], stored[:8, 8:16], stored[8:, :8] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(form, {})
    pixels = decode(encoded(stored, form, exif=exif, **options))
    expected = upright(stored)
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).max() <= (3 if form == "JPEG" else 0)


def test_orientation_is_applied_to_16_bit_grey():
    exif = Image.Exif()
    exif[0x0112] = 6
    np.testing.assert_array_equal(decode(encoded(WIDE, exif=exif)), np.rot90(in_three_channels(WIDE // 256), -1))


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_broken_metadata_does_not_make_a_picture_unreadable(exif):
    flat = np.full((8, 8, 3), 90, np.uint8)
    np.testing.assert_array_equal(decode(encoded(flat, "JPEG", exif=exif)), flat)


NOISE = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
UNREADABLE = {
    "empty": (b"", "empty file"),
    "text": (b"identity,path\nAdam,x.jpg\n", "no known picture format"),
    "zeros": (bytes(1000), "no known picture format"),
    "jpeg_head": (encoded(NOISE, "JPEG")[:20], "."),
    "truncated_jpeg": (encoded(NOISE, "JPEG")[:-2000], "truncated"),
    "truncated_png": (encoded(NOISE)[:-2000], "."),
    "truncated_webp": (encoded(NOISE, "WEBP")[:-500], "."),
    "truncated_gif": (encoded(NOISE, "GIF")[:-500], "."),
    "truncated_bmp": (encoded(NOISE, "BMP")[:-500], "."),
    "float_tiff": (encoded(np.ones((4, 4), np.float32), "TIFF"), "floating-point"),
    "wide_integers": (encoded(np.full((4, 4), 65536, np.int32), "TIFF"), "16 bit"),
    "negative_integers": (encoded(np.full((4, 4), -1, np.int32), "TIFF"), "16 bit"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no known picture format"),
}


@pytest.mark.parametrize(("data", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_picture_is_unreadable_with_a_reason(data, reason):
    with pytest.raises(UnreadablePicture, match=reason):
        decode(data)


def test_a_decompression_bomb_is_unreadable(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UnreadablePicture, match="DecompressionBomb"):
        decode(encoded(NOISE))
