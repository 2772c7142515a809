"""Whatever the format, a picture decodes to upright 8-bit RGB or says why not."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from facecure.pictures import decode_pillow
from facecure.pictures.decode_pillow import decode
from facecure.pictures.formats import UnreadablePicture

RGB = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
GREY = RGB[..., 0]
ALPHA = RGB[..., 1:2]
RGBA = np.concatenate([RGB, ALPHA], axis=2)
WIDE = np.array([[0, 255, 256], [257, 0x7FFF, 0xFFFF]], np.uint16)  # 16 bits


def encoded(image: Image.Image | np.ndarray, form: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, form, **options)
    return file.getvalue()


def on_white(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return the colours seen on a white page, uint8 (H, W, 3) for alpha (H, W, 1)."""
    return np.rint((rgb * alpha.astype(float) + 255 * (255.0 - alpha)) / 255).astype(np.uint8)


def in_three_channels(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=2)


def of_mode(mode: str, pixels: np.ndarray) -> Image.Image:
    return Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes())


def palette(**options) -> bytes:
    """Return a PNG of palette indices 0…34, whose colours are the pixels of RGB in order."""
    image = of_mode("P", np.arange(35, dtype=np.uint8).reshape(7, 5))
    image.putpalette(RGB.tobytes())
    return encoded(image, **options)


def without(number: int) -> np.ndarray:
    """Return RGB with one pixel white."""
    pixels = RGB.copy()
    pixels.reshape(-1, 3)[number] = 255
    return pixels


LOSSLESS = {
    "rgb_png": (encoded(RGB), RGB),
    "rgb_bmp": (encoded(RGB, "BMP"), RGB),
    "rgb_webp": (encoded(RGB, "WEBP", lossless=True), RGB),
    "rgb_tiff": (encoded(RGB, "TIFF"), RGB),
    "rgb_tiff_lzw": (encoded(RGB, "TIFF", compression="tiff_lzw"), RGB),
    "grey_png": (encoded(GREY), in_three_channels(GREY)),
    "grey_with_alpha": (encoded(of_mode("LA", np.dstack([GREY, ALPHA]))), on_white(in_three_channels(GREY), ALPHA)),
    "rgb_with_alpha": (encoded(RGBA), on_white(RGB, ALPHA)),
    "rgb_with_alpha_webp": (encoded(RGBA, "WEBP", lossless=True, exact=True), on_white(RGB, ALPHA)),
    "rgb_with_alpha_tiff": (encoded(RGBA, "TIFF"), on_white(RGB, ALPHA)),
    "opaque_alpha": (encoded(np.dstack([RGB, np.full_like(GREY, 255)])), RGB),
    "hidden_pixels": (encoded(np.dstack([RGB, np.zeros_like(GREY)])), np.full_like(RGB, 255)),
    "rgb_with_a_transparent_colour": (encoded(RGB, transparency=tuple(map(int, RGB[0, 0]))), without(0)),
    "grey_with_a_transparent_level": (
        encoded(GREY, transparency=int(GREY[0, 0])),
        in_three_channels(np.where(GREY[0, 0] == GREY, 255, GREY)),
    ),
    "grey16_with_a_transparent_level": (
        encoded(WIDE, transparency=257),
        in_three_channels(np.where(WIDE == 257, 255, WIDE // 256)),
    ),
    "palette": (palette(), RGB),
    "palette_with_a_transparent_entry": (palette(transparency=3), without(3)),
    "palette_with_alpha": (palette(transparency=bytes(range(35))), on_white(RGB, np.arange(35).reshape(7, 5, 1))),
    "palette_gif": (encoded(of_mode("L", GREY), "GIF"), in_three_channels(GREY)),
    "bilevel": (encoded(GREY > 127), in_three_channels(np.where(GREY > 127, 255, 0))),
    "grey16_png": (encoded(WIDE), in_three_channels(WIDE // 256)),
    "grey16_tiff": (encoded(WIDE, "TIFF"), in_three_channels(WIDE // 256)),
    "grey16_big_endian_tiff": (encoded(of_mode("I;16B", WIDE.byteswap()), "TIFF"), in_three_channels(WIDE // 256)),
    "grey16_pgm": (b"P5 3 2 65535\n" + WIDE.astype(">u2").tobytes(), in_three_channels(WIDE // 256)),
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
    **{
        f"32_bit_integers_of_{level}": (encoded(np.full((4, 4), level, np.int32), "TIFF"), "no defined range")
        for level in (0, 255, 65535, 65536, -1)
    },
    "preview": (encoded(NOISE, "TIFF", tiffinfo={254: 1}), "preview, as in cameras' raw files"),
    "photoshop": (b"8BPS\0\1" + bytes(100), "Photoshop"),
    "pdf": (b"%PDF-1.4\n", "PDF"),
    "video": (b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(100), "a video"),
    "raw": (b"II*\0\x10\0\0\0CR\2\0" + bytes(100), "raw file"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no known picture format"),
}


@pytest.mark.parametrize(("data", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_picture_is_unreadable_with_a_reason(data, reason):
    with pytest.raises(UnreadablePicture, match=reason):
        decode(data)


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(depth: int, colour: int, rows: bytes, width: int, clear: bytes = b"") -> bytes:
    """Return a PNG of one row."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, colour, 0, 0, 0))
    told = png_chunk(b"tRNS", clear) if clear else b""
    return (
        b"\x89PNG\r\n\x1a\n" + header + told + png_chunk(b"IDAT", zlib.compress(b"\0" + rows)) + png_chunk(b"IEND", b"")
    )


CLEAR = {  # of PNG: sample depth, colour type, row, width, transparent value; levels seen
    "2_bit": (2, 0, b"\x1b", 4, b"\0\2", [0, 85, 255, 255]),
    "4_bit": (4, 0, b"\x0f\x20", 3, b"\0\x0f", [0, 255, 34]),
    "1_bit": (1, 0, b"\x40", 2, b"\0\0", [255, 255]),
    "8_bit": (8, 0, b"\x05\x06", 2, b"\0\5", [255, 6]),
    "rgb_16_bit": (16, 2, b"\x12\x34" * 3 + b"\x56\x78" * 3, 2, b"\x12\x34" * 3, [255, 0x56]),
}


@pytest.mark.parametrize(("depth", "colour", "row", "width", "clear", "seen"), CLEAR.values(), ids=CLEAR)
def test_a_transparent_level_of_any_depth_shows_white(depth, colour, row, width, clear, seen):
    np.testing.assert_array_equal(decode(png(depth, colour, row, width, clear))[0, :, 0], seen)


def test_what_lies_under_transparency_makes_no_difference():
    hidden = np.dstack([RGB, np.where(GREY > 127, 255, 0).astype(np.uint8)])
    other = hidden.copy()
    other[hidden[..., 3] == 0, :3] = 7
    np.testing.assert_array_equal(decode(encoded(hidden)), decode(encoded(other)))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_too_many_pixels_are_refused_by_the_header_with_the_cure(form, monkeypatch):
    monkeypatch.setattr(decode_pillow, "MAX_PIXELS", 64 * 64 - 1)
    asked = []
    with pytest.raises(UnreadablePicture, match=r"64×64 pixels, beyond the \d+ megapixels that are decoded; save it"):
        decode(encoded(NOISE, form), asked.append)
    assert asked == []


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP", "GIF"])
def test_pillows_own_limit_neither_refuses_nor_warns(form, compression, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64 - 1)  # at twice this it refuses
    data = encoded(NOISE, form, **({"compression": compression} if form == "TIFF" else {}))
    assert decode(data).shape == (64, 64, 3)


def test_a_small_file_of_too_many_pixels_is_refused():
    """A PNG of some kilobytes that needs gigabytes, of the size that phones make."""
    with pytest.raises(UnreadablePicture, match="16320×12240 pixels, beyond the 160 megapixels"):
        decode(png_of(16320, 12240))


def png_of(width: int, height: int) -> bytes:
    """Return a black bilevel PNG."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    rows = zlib.compress(bytes(height * (1 + width // 8)), 1)
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "head", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\xc5\xd0\xd3\xc6" + bytes(28)]
)
def test_postscript_starts_no_program(head, monkeypatch):
    def started(*args, **options):
        raise AssertionError(args)

    monkeypatch.setattr(subprocess, "Popen", started)
    with pytest.raises(UnreadablePicture, match="PostScript"):
        decode(head + b"showpage\n")


def test_a_heic_photo_is_read():
    pillow_heif = pytest.importorskip("pillow_heif")
    smooth = np.add.outer(np.arange(64), np.arange(96)).astype(np.uint8)
    file = io.BytesIO()
    try:
        pillow_heif.from_pillow(Image.fromarray(in_three_channels(smooth))).save(file, quality=90)
    except Exception as error:  # built without an encoder
        pytest.skip(str(error))
    assert np.abs(decode(file.getvalue()).astype(int) - in_three_channels(smooth)).max() <= 6
    assert "HEIF" not in Image.OPEN


def test_without_pillow_heif_a_heic_photo_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnreadablePicture, match=r"facecure\[heif\]"):
        decode(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))


def test_an_entry_that_cannot_be_written_does_not_make_a_turned_photo_unreadable():
    entries = [(0x0112, 3, 1, b"\0\6\0\0"), (0x011A, 2, 3, b"72\0\0")]  # upright by a quarter turn; a text
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", len(entries))
    exif += b"".join(struct.pack(">HHI", tag, kind, count) + value for tag, kind, count, value in entries) + bytes(4)
    with pytest.raises((TypeError, AttributeError)):
        Image.open(io.BytesIO(encoded(RGB, exif=exif))).getexif().tobytes()
    np.testing.assert_array_equal(decode(encoded(RGB, exif=exif)), np.rot90(RGB, -1))


def test_strips_leave_no_seams(monkeypatch):
    whole = decode(encoded(RGBA))
    monkeypatch.setattr(decode_pillow, "_STRIP", 12)
    np.testing.assert_array_equal(decode(encoded(RGBA)), whole)
