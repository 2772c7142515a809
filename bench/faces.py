"""A 250-pixel JPEG to an aligned, normalised 112×112 tensor on one CPU thread: Pillow's way against ours.

Pillow's way: decode, `Image.transform` with the same affine matrix, normalise with numpy to float32 NCHW. Ours: decode
and the fused `warp_faces`. The pictures are made on the spot; real ones, where the shared assets are, are timed beside.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from PIL import Image, ImageDraw

from facecure.kernels import Normalise, warp_faces
from facecure.pictures.decode import decode
from facecure.types import F32, F64, U8

TARGET = 1.7
SIZE = 112
MEAN, STD = 127.5, 128.0
NORMALISE = Normalise([MEAN] * 3, [STD] * 3)


def run(quick: bool) -> dict[str, object]:
    """Return the measurements; quick takes fewer pictures."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(112)
    count = 60 if quick else 400
    made = [jpeg(rng) for _ in range(count)]
    faces = matrices(rng, count)
    worst = max(error(data, matrix) for data, matrix in zip(made, faces, strict=True))
    ours, theirs = timed(made, faces)
    result: dict[str, object] = {
        "ours_s": ours,
        "reference_s": theirs,
        "target": TARGET,
        "correct": worst <= 1,
        "reference": "Pillow: open, convert, transform (affine, bilinear); numpy: normalise. Seconds per picture",
        "pictures": count,
        "worst_levels": round(worst, 4),
    }
    real = [file.read_bytes() for file in real_files()[:count]]
    if real:
        away = max(error(data, matrix) for data, matrix in zip(real, faces, strict=False))
        ours, theirs = timed(real, faces)
        result["correct"] = max(worst, away) <= 1
        result["real"] = {
            "pictures": len(real), "ours_s": ours, "reference_s": theirs, "ratio": round(theirs / ours, 2),
            "worst_levels": round(away, 4),
        }  # fmt: skip
    return result


def our_way(data: bytes, matrix: F64) -> F32:
    """Return the face as float32 (1, 3, 112, 112)."""
    return warp_faces(decode(data), matrix, (SIZE, SIZE), normalise=NORMALISE, threads=1)


def pillow_way(data: bytes, matrix: F64) -> F32:
    """Return the same by Pillow and numpy."""
    with Image.open(io.BytesIO(data)) as image:
        face = image.convert("RGB").transform(
            (SIZE, SIZE), Image.Transform.AFFINE, tuple(matrix.ravel()), Image.Resampling.BILINEAR
        )
    planes = (np.asarray(face, np.float32) - np.float32(MEAN)) / np.float32(STD)
    return np.ascontiguousarray(planes.transpose(2, 0, 1)[None])


def timed(pictures: Sequence[bytes], faces: F64) -> tuple[float, float]:
    """Return the median seconds per picture of our and of Pillow's way, in turn, so that both meet the same machine."""
    ways: list[Callable[[bytes, F64], F32]] = [our_way, pillow_way]
    spent: list[list[float]] = [[], []]
    for data, matrix in zip(pictures, faces, strict=False):
        for way, times in zip(ways, spent, strict=True):
            started = time.perf_counter()
            way(data, matrix)
            times.append(time.perf_counter() - started)
    ours, theirs = (median(times[len(times) // 10 :]) for times in spent)  # the first ones warm up
    print(f"{len(pictures)} pictures: ours {ours * 1e6:.0f} µs, Pillow {theirs * 1e6:.0f} µs", file=sys.stderr)
    return round(ours, 7), round(theirs, 7)


def error(data: bytes, matrix: F64) -> float:
    """Return the largest distance in grey levels from a float64 interpolation of Pillow's pixels."""
    with Image.open(io.BytesIO(data)) as image:
        pixels: U8 = np.pad(np.asarray(image.convert("RGB")), ((1, 2), (1, 2), (0, 0)))  # black around
    centres = np.arange(SIZE) + 0.5
    x, y = np.meshgrid(centres, centres)
    px, py = (np.clip(row[0] * x + row[1] * y + row[2] - 0.5, -1, 250) + 1 for row in matrix)
    j, i = np.floor(px).astype(int), np.floor(py).astype(int)
    fx, fy = (px - j)[..., None], (py - i)[..., None]
    value = (pixels[i, j] * (1 - fx) + pixels[i, j + 1] * fx) * (1 - fy)
    value += (pixels[i + 1, j] * (1 - fx) + pixels[i + 1, j + 1] * fx) * fy
    levels = our_way(data, matrix)[0].transpose(1, 2, 0).astype(np.float64) * STD + MEAN
    return float(np.abs(levels - value).max())


def matrices(rng: np.random.Generator, count: int) -> F64:
    """Return face → picture similarities (count, 2, 3) such as alignment gives: near the middle, slightly turned."""
    angle, scale = rng.normal(0, 0.15, count), rng.uniform(0.8, 1.2, count)
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    middle = 125 + rng.normal(0, 4, (count, 2))
    shift = middle - SIZE / 2 * np.stack([a - b, a + b], axis=1)
    return np.stack([np.stack([a, -b, shift[:, 0]], axis=1), np.stack([b, a, shift[:, 1]], axis=1)], axis=1)


def jpeg(rng: np.random.Generator) -> bytes:
    """Return a 250×250 JPEG of shapes under noise."""
    image = Image.new("RGB", (250, 250), tuple(rng.integers(0, 256, 3)))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        (x0, x1), (y0, y1) = np.sort(rng.integers(0, 250, (2, 2)))
        draw.ellipse((x0, y0, x1, y1), fill=tuple(rng.integers(0, 256, 3)))
    noisy = np.clip(np.asarray(image) + rng.normal(0, 6, (250, 250, 1)), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, "JPEG", quality=90)
    return file.getvalue()


def real_files() -> list[Path]:
    """Return the 250-pixel LFW pictures of the shared assets, none where there are no assets."""
    assets = Path(os.environ.get("FACECURE_ASSETS", Path(__file__).parents[2] / "shared" / "assets"))
    return sorted(f for folder in sorted(assets.glob("lfw*")) for f in folder.rglob("*.jpg"))
